from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from veilscore.models.errors import BoundError
from veilscore.models.horizontal.fixed_point import FixedPoint
from veilscore.models.horizontal.rounds import change_format, gradient_format
from veilscore.models.horizontal.terms import MOST_ROWS, Members, Privacy, Terms

LARGEST = st.floats(1e-6, 1e9)
MEMBERS = st.integers(2, 1024)


@given(LARGEST, MEMBERS)
def test_the_largest_numbers_of_all_members_do_not_wrap(
    largest: float, members: int
) -> None:
    coded = FixedPoint.fitting(largest, members)
    word = int(coded.encode(np.array([largest]))[0])
    assert 0 <= members * word < 1 << 63
    assert members * (Fraction(largest) * 2**coded.bits + 1) < 1 << 63


@given(LARGEST, MEMBERS)
def test_no_finer_unit_of_up_to_40_bits_would_do_with_a_bit_to_spare(
    largest: float, members: int
) -> None:
    bits = FixedPoint.fitting(largest, members).bits
    finer = Fraction(largest) * members * 2 ** (bits + 3)
    assert bits == 40 or finer >= 1 << 63


@given(st.lists(st.floats(-1000, 1000), min_size=2, max_size=50))
def test_a_sum_is_exact_but_for_half_a_unit_a_member(values: list[float]) -> None:
    coded = FixedPoint.fitting(1000, len(values))
    total = np.zeros(1, np.uint64)
    for value in values:
        total += coded.encode(np.array([value]))
    error = Fraction(float(coded.decode(total)[0])) - sum(map(Fraction, values))
    # And the sum is rounded to a double once.
    assert abs(error) <= Fraction(coded.unit) * len(values) / 2 + Fraction(1, 2**36)


@pytest.mark.parametrize("value", [1.1, np.nan, -np.inf])
def test_a_number_out_of_bounds_is_not_encoded(value: float) -> None:
    with pytest.raises(BoundError, match="beyond 1"):
        FixedPoint.fitting(1, 10).encode(np.array([0.5, value]))


def test_contracts_whose_sums_could_wrap_are_refused_at_the_start() -> None:
    members = Members(most=1024, most_rows=MOST_ROWS)
    change_format(Terms(run="r", members=members, longest_change=2.0))
    with pytest.raises(BoundError, match="1024 numbers"):
        change_format(Terms(run="r", members=members, longest_change=1e9))


def test_noise_has_room_beside_gradients() -> None:
    privacy = Privacy(clip=1.0, noise=1e6, count_noise=1.0)
    terms = Terms(run="r", members=Members(most=10, most_rows=100), privacy=privacy)
    assert gradient_format(privacy, terms).largest > 9 * 1e6 / 2**0.5
