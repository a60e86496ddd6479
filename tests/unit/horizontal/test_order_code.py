import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from veilscore.models.errors import DataError
from veilscore.models.horizontal.order_code import LARGEST, codes, numbers, places

NUMBERS = st.floats(-LARGEST, LARGEST, allow_nan=False)
SINGLES = st.floats(-LARGEST, LARGEST, allow_nan=False, width=32)


def code(value: float) -> int:
    return int(codes(np.array([value]), column="c")[0])


@given(NUMBERS, NUMBERS)
def test_codes_are_in_the_order_of_the_numbers(one: float, other: float) -> None:
    low, high = sorted((one, other))
    assert code(low) <= code(high)


@given(NUMBERS, SINGLES)
def test_a_code_is_up_to_an_edge_exactly_where_the_number_is(
    value: float, edge: float
) -> None:
    assert (code(value) <= code(edge)) == (value <= edge)


@given(SINGLES)
def test_numbers_of_single_precision_come_back(value: float) -> None:
    assert float(numbers(np.array([code(value)]))[0]) == value


@given(NUMBERS, st.integers(0, 21))
def test_a_bucket_holds_its_codes(value: float, shift: int) -> None:
    place = int(places(np.array([code(value)]), shift)[0])
    assert (place - 1) << shift < code(value) <= place << shift
    finer = places(np.array([code(value)]), shift // 2)
    assert int(places(finer, shift - shift // 2)[0]) == place


def test_buckets_end_at_round_numbers() -> None:
    ends = numbers(np.arange(0, 3) * (1 << 21) + code(4.0))
    assert ends.tolist() == [4.0, 5.0, 6.0]
    whole = codes(np.array([17.0, -17.0, 16_384.0]), column="c")
    assert np.all(whole % (1 << 10) == 0)


def test_both_zeros_have_one_code() -> None:
    assert code(-0.0) == code(0.0) == 0


@pytest.mark.parametrize("value", [np.inf, -1e39, np.nan])
def test_a_number_beyond_single_precision_is_refused(value: float) -> None:
    with pytest.raises(DataError, match="column 'c'"):
        code(value)
