import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from veilscore.models import metrics
from veilscore.models.errors import DataError, ProtocolError
from veilscore.models.woe import WOE_CODE_LIMIT, WOE_SCALE, IntArray, woe_table

tables = st.lists(
    st.tuples(st.integers(0, 60), st.integers(0, 60)), min_size=1, max_size=8
).filter(lambda bins: sum(g for g, _ in bins) > 0 < sum(b for _, b in bins))


def ints(*values: int) -> IntArray:
    return np.array(values, dtype=np.int64)


def test_hand_calculated_table() -> None:
    table = woe_table(ints(90, 10), ints(10, 40))
    first = math.log((90.5 / 101) / (10.5 / 51))
    second = math.log((10.5 / 101) / (40.5 / 51))
    assert table.woe.tolist() == pytest.approx([first, second], rel=1e-15)
    iv = (90 / 100 - 10 / 50) * first + (10 / 100 - 40 / 50) * second
    assert table.information_value == pytest.approx(iv, rel=1e-14)
    assert table.codes.tolist() == [round(first * 256), round(second * 256)]


def test_an_empty_bin_is_no_evidence() -> None:
    with_empty = woe_table(ints(0, 90, 10), ints(0, 10, 40))
    without = woe_table(ints(90, 10), ints(10, 40))
    assert with_empty.woe.tolist() == [0.0, *without.woe.tolist()]
    assert with_empty.information_value == without.information_value


def test_bins_of_a_pool_share_one_woe_and_count_once() -> None:
    pooled = woe_table(ints(7, 90, 10, 7), ints(3, 10, 40, 3), pool=ints(2, 0, 0, 2))
    merged = woe_table(ints(7, 90, 10), ints(3, 10, 40))
    assert pooled.woe.tolist() == [*merged.woe.tolist(), merged.woe[0]]
    assert pooled.information_value == pytest.approx(merged.information_value)
    assert pooled.auc == merged.auc


def test_a_pool_with_two_counts_is_a_peers_fault() -> None:
    with pytest.raises(ProtocolError, match="different counts"):
        woe_table(ints(7, 8), ints(3, 3), pool=ints(1, 1))


def test_noise_below_zero_counts_as_zero() -> None:
    noisy = woe_table(ints(-3, 90, 10), ints(5, 10, 40))
    clean = woe_table(ints(0, 90, 10), ints(5, 10, 40))
    assert noisy.woe.tolist() == clean.woe.tolist()


@pytest.mark.parametrize(
    ("good", "bad"),
    [(ints(5, 5), ints(0, 0)), (ints(0, 0), ints(1, 2)), (ints(-1), ints(2))],
)
def test_one_class_is_refused(good: IntArray, bad: IntArray) -> None:
    with pytest.raises(DataError, match="no goods or no bads"):
        woe_table(good, bad)


def test_codes_stay_inside_their_bound() -> None:
    table = woe_table(ints(10**9, 0), ints(0, 10**9))
    assert table.woe[0] * WOE_SCALE > WOE_CODE_LIMIT
    assert table.codes.tolist() == [WOE_CODE_LIMIT, -WOE_CODE_LIMIT]


@pytest.mark.parametrize(
    ("bad", "band"),
    [
        (ints(50, 50), "useless"),
        (ints(62, 38), "weak"),
        (ints(70, 30), "medium"),
        (ints(80, 20), "strong"),
        (ints(90, 10), "suspicious"),
    ],
)
def test_bands_of_the_information_value(bad: IntArray, band: str) -> None:
    assert woe_table(ints(500, 500), bad * 10).band == band


def test_leak_alarm_rings_for_a_column_that_knows_the_outcome() -> None:
    assert woe_table(ints(888, 112), ints(35, 165)).leak_alarm  # SBA loan terms
    assert not woe_table(ints(900, 100), ints(60, 40)).leak_alarm


@given(tables)
def test_single_column_auc_is_that_of_the_rows(bins: list[tuple[int, int]]) -> None:
    good, bad = ints(*(g for g, _ in bins)), ints(*(b for _, b in bins))
    table = woe_table(good, bad)
    risk = -np.concatenate([np.repeat(table.woe, good), np.repeat(table.woe, bad)])
    labels = np.repeat([False, True], [good.sum(), bad.sum()])
    assert table.auc == pytest.approx(metrics.auc(labels, risk), abs=1e-12)


@given(tables)
def test_woe_orders_bins_of_equal_size_by_bad_rate(
    bins: list[tuple[int, int]],
) -> None:
    good = ints(*(g for g, _ in bins))
    bad = 60 - good
    if not (good.sum() and bad.sum()):
        return
    woe = woe_table(good, bad).woe
    assert np.all(np.diff(woe[np.argsort(good, kind="stable")]) >= 0)
