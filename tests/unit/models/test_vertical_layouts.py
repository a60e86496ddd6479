"""Widths are proven before encryption: the largest sums fit, or no plan does.

By linearity a sum of N equal rows is N times the row, so the largest sums of millions
of rows are formed without forming the rows.
"""

from collections.abc import Callable, Sequence

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from veilscore.models.errors import BoundError, ProtocolError
from veilscore.models.vertical.layout import (
    SCORE_BITS,
    SCORE_LIMIT,
    CrossLayout,
    RowLayout,
    ScoreLayout,
    rotated_bound,
    to_signed,
)
from veilscore.models.vertical.raking import HEAVIEST
from veilscore.models.woe import WOE_CODE_LIMIT

MOST_ROWS, MOST_COLUMNS = 10**8, 64
LEAST_BITS, MOST_BITS = 16, 4096

quick = settings(max_examples=60, deadline=None)
sizes = st.tuples(
    st.integers(1, MOST_ROWS), st.integers(0, 20), st.integers(20, MOST_COLUMNS)
)
signs = st.sampled_from([-1, 0, 1])
Plan = Callable[[int, int, int, int], RowLayout | CrossLayout]


def smallest_modulus(bits: int) -> int:
    return 1 << bits - 1 | 1


def fits(plan: Plan, rows: int, own: int, most: int, bits: int) -> bool:
    try:
        plan(rows, own, most, smallest_modulus(bits))
    except BoundError:
        return False
    return True


def least_bits(plan: Plan, rows: int, own: int, most: int) -> int:
    """Return the size of the smallest key that has a plan."""
    low, high = LEAST_BITS, MOST_BITS
    while low < high:
        middle = (low + high) // 2
        if fits(plan, rows, own, most, middle):
            high = middle
        else:
            low = middle + 1
    return low


def packed(layout: RowLayout | CrossLayout, slots: Sequence[int]) -> list[int]:
    """Return the plaintexts of one row."""
    groups = layout.pack(np.array([slots], np.int64).reshape(1, len(slots)))
    return [plaintext for (plaintext,) in groups]


def signed(value: int, modulus: int) -> int:
    """Return the sum as it is decrypted."""
    return to_signed(value % modulus, modulus)


@quick
@given(size=sizes, larger=st.integers(0, 500), data=st.data())
def test_the_largest_sums_of_labelled_rows_come_back(
    size: tuple[int, int, int], larger: int, data: st.DataObject
) -> None:
    rows, own, most = size
    bits = least_bits(RowLayout.plan, rows, own, most) + larger
    n = smallest_modulus(bits)
    layout = RowLayout.plan(rows, own, most, n)
    codes = [data.draw(signs) * WOE_CODE_LIMIT for _ in range(own)]
    bad = data.draw(st.integers(0, 1))
    sums = [rows * plaintext for plaintext in packed(layout, [1, bad, *codes])]
    for random_bits in (0, data.draw(st.integers(0, (1 << layout.mask_bits) - 1))):
        masked = sums[0] + layout.count_mask(random_bits)
        assert 0 < masked < n
        assert layout.read_counts(masked % n) == (rows, rows * bad)
    weight = data.draw(st.sampled_from([-1, 1])) * rotated_bound(most)
    moments = [signed(weight * value, n) for value in sums]
    expected = [rows * weight * value for value in (1, bad, *codes)]
    assert layout.read_moments(moments, "bureau") == expected


def test_a_mask_reaches_the_modulus_and_never_passes_it() -> None:
    for bits in (2048, 3072):
        n = smallest_modulus(bits)
        layout = RowLayout.plan(MOST_ROWS, 3, MOST_COLUMNS, n)
        highest = layout.count_mask((1 << layout.mask_bits) - 1)
        most = MOST_ROWS * sum(map(abs, packed(layout, [1, 1, *[WOE_CODE_LIMIT] * 3])))
        assert highest + most < n < highest << 3


@quick
@given(size=sizes, larger=st.integers(0, 500), data=st.data())
def test_the_largest_cross_moments_come_back(
    size: tuple[int, int, int], larger: int, data: st.DataObject
) -> None:
    rows, own, most = size
    bits = least_bits(CrossLayout.plan, rows, own, most) + larger
    n = smallest_modulus(bits)
    layout = CrossLayout.plan(rows, own, most, n)
    bound = rotated_bound(most)
    codes = [data.draw(signs) * 2 * bound * HEAVIEST for _ in range(own)]
    weight = data.draw(st.sampled_from([-1, 1])) * bound
    sums = [signed(rows * weight * value, n) for value in packed(layout, codes)]
    assert layout.read(sums, "bureau") == [rows * weight * code for code in codes]


@pytest.mark.parametrize("plan", [RowLayout.plan, CrossLayout.plan])
@quick
@given(size=sizes)
def test_a_key_that_is_a_bit_too_short_is_refused_before_a_run(
    plan: Plan, size: tuple[int, int, int]
) -> None:
    bits = least_bits(plan, *size)
    assert LEAST_BITS < bits < MOST_BITS
    with pytest.raises(BoundError) as caught:
        plan(*size, smallest_modulus(bits - 1))
    assert caught.value.remedy
    rows, own, most = size
    assert least_bits(plan, 4 * rows, own, most) > bits


@quick
@given(
    scores=st.lists(st.sampled_from([1 - SCORE_LIMIT, -1, 0, SCORE_LIMIT - 1])),
    holders=st.integers(1, 16),
    bits=st.integers(2048, 2200),
)
def test_the_largest_scores_of_16_holders_come_back(
    scores: list[int], holders: int, bits: int
) -> None:
    n = smallest_modulus(bits)
    layout = ScoreLayout.plan(n)
    packed = layout.pack(scores)
    assert len(packed) == layout.plaintexts(len(scores))
    joint = layout.unpack(
        [holders * value % n for value in packed], len(scores), n, "bureau"
    )
    assert joint == [holders * score for score in scores]


@pytest.mark.parametrize("score", [SCORE_LIMIT, -SCORE_LIMIT, 1 << SCORE_BITS])
def test_a_score_that_16_holders_could_not_add_up_is_refused(score: int) -> None:
    layout = ScoreLayout.plan(smallest_modulus(2048))
    with pytest.raises(BoundError, match="partial score"):
        layout.pack([0, score])


@quick
@given(
    values=st.lists(st.integers(1 - SCORE_LIMIT, SCORE_LIMIT - 1), min_size=1),
    place=st.integers(0, 2000),
    sign=st.sampled_from([-1, 1]),
)
def test_whatever_is_left_above_the_slots_is_noticed(
    values: Sequence[int], place: int, sign: int
) -> None:
    n = smallest_modulus(2048)
    layout = ScoreLayout.plan(n)
    values = values[: layout.slots]
    used = len(values) * SCORE_BITS
    left = sign << used + place % (2046 - used)
    with pytest.raises(ProtocolError) as caught:
        layout.unpack([(layout.pack(values)[0] + left) % n], len(values), n, "bureau")
    assert caught.value.party == "bureau"
