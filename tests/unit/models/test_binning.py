import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from veilscore.models.binning import (
    CategoricalBins,
    FloatArray,
    NumericBins,
    fit_categorical,
    fit_numeric,
)
from veilscore.models.errors import DataError

# Few distinct values, so that ties and spikes are the rule, and some large ones.
numbers = st.one_of(
    st.integers(-30, 30).map(float),
    st.floats(-1e6, 1e6, width=32),
    st.sampled_from([0.0, -0.0, 2.0**53, 2.0**53 + 2, 5e-324, 1e300, -1e300]),
    st.just(float("nan")),
)
columns = st.lists(numbers, min_size=1, max_size=300).map(
    lambda values: np.array(values, dtype=np.float64)
)


def fit_or_reject(values: FloatArray) -> NumericBins | None:
    try:
        return fit_numeric(values, column="x")
    except DataError:
        return None


def test_few_values_get_one_bin_each_with_edges_midway() -> None:
    bins = fit_numeric(np.array([2.0, 0, 1, 2, 0, 5]), column="x")
    assert bins.edges == (0.5, 1.5, 3.5)
    assert bins.labels() == ("missing", "= 0", "= 1", "= 2", "= 5")
    got = bins.apply(np.array([np.nan, -9.0, 0.5, 0.6, 3.5, 3.6, np.inf]))
    assert got.tolist() == [0, 1, 1, 2, 3, 4, 4]
    assert got.dtype == np.uint16


def test_missing_bin_exists_even_if_nothing_was_missing() -> None:
    bins = fit_numeric(np.array([1.0, 2.0]), column="x")
    assert bins.count == 3
    assert bins.apply(np.array([np.nan])).tolist() == [0]


def test_deciles_of_a_continuous_column_are_numpy_quantiles() -> None:
    values = np.random.default_rng(5).normal(size=1_237)
    bins = fit_numeric(values, column="x")
    expected = np.quantile(values, np.linspace(0.1, 0.9, 9))
    np.testing.assert_allclose(bins.edges, expected, rtol=1e-12)


def test_spikes_have_their_own_bins_and_the_rest_is_cut_at_its_deciles() -> None:
    rest = np.arange(1.0, 401.0)
    values = np.concatenate([np.zeros(500), np.full(120, 260.5), rest])
    bins = fit_numeric(values, column="x")
    labels = bins.labels()
    assert (labels[1], labels[9]) == ("= 0", "= 260.5")
    sizes = np.bincount(bins.apply(values))
    # Ten deciles of 40; the spike cuts the one it lies in.
    assert sizes.tolist() == [0, 500, *[40] * 6, 20, 120, 20, *[40] * 3]


def test_exactly_a_tenth_is_no_spike() -> None:
    others = np.concatenate([np.arange(50.0), np.arange(100.0, 950.0)])
    tenth = fit_numeric(np.append(others, np.full(100, 70.0)), column="x")
    assert tenth.labels()[1] == "<= 70"
    more = fit_numeric(np.append(others, np.full(101, 70.0)), column="x")
    assert more.labels()[1:3] == ("<= 59.5", "= 70")


def test_small_bins_join_the_bin_below() -> None:
    values = np.repeat([1.0, 2.0, 3.0, 4.0], [500, 4, 5, 491])
    bins = fit_numeric(values, column="x")
    assert bins.labels() == ("missing", "<= 3.5", "= 4")


def test_many_small_bins_join_each_other_before_they_reach_a_spike() -> None:
    # 4 % of the rows: deciles of .4 % each, which must not all sink into the zeros.
    values = np.concatenate([np.zeros(960), np.arange(1.0, 41.0)])
    bins = fit_numeric(values, column="penalties")
    assert np.bincount(bins.apply(values)).tolist() == [0, 964, 12, 12, 12]


def test_small_lowest_bins_first_join_each_other_then_the_bin_above() -> None:
    together = fit_numeric(
        np.repeat([1.0, 2.0, 3.0, 4.0], [6, 6, 488, 500]), column="x"
    )
    assert together.labels() == ("missing", "<= 2.5", "= 3", "= 4")
    up = fit_numeric(np.repeat([1.0, 2.0, 3.0, 4.0], [3, 3, 494, 500]), column="x")
    assert up.labels() == ("missing", "<= 3.5", "= 4")


def test_one_percent_is_counted_on_all_rows_missing_ones_included() -> None:
    known = np.repeat([1.0, 2.0, 3.0], [50, 45, 5])
    assert fit_numeric(known, column="x").count == 4
    values = np.concatenate([known, np.full(900, np.nan)])
    assert fit_numeric(values, column="x").labels() == ("missing", "= 1", "> 1.5")


def test_declared_codes_are_missing() -> None:
    values = np.array([-999.0, 1.0, 2.0, -998.0, 2.0])
    bins = fit_numeric(values, column="x", missing=(-999, -998))
    assert bins.apply(values).tolist() == [0, 1, 2, 0, 2]


@pytest.mark.parametrize(
    ("values", "reason"),
    [
        ([np.nan, np.nan], "no value in any row"),
        ([], "no value in any row"),
        ([-999.0, np.nan], "no value in any row"),
        ([3.0, 3.0, 3.0], "fall into one bin"),
        ([0.0, -0.0], "fall into one bin"),
        ([0.0] * 999 + [1.0], "fall into one bin"),
        ([1.0, np.inf], "infinite"),
        ([1.0, -1e301], "infinite"),
    ],
)
def test_useless_numeric_columns_are_named(values: list[float], reason: str) -> None:
    with pytest.raises(DataError, match=reason) as caught:
        fit_numeric(np.array(values), column="turnover", missing=(-999.0,))
    assert "turnover" in caught.value.what
    assert caught.value.remedy


def test_a_constant_with_gaps_is_kept() -> None:
    bins = fit_numeric(np.array([7.0, np.nan, 7.0]), column="x")
    assert bins.labels() == ("missing", "= 7")


@pytest.mark.parametrize("low", [2.0**53 - 1, 9e299, 0.1, -5e-324, -0.1])
def test_neighbouring_floats_are_told_apart(low: float) -> None:
    values = np.array([low, np.nextafter(low, np.inf)])
    bins = fit_numeric(values, column="x")
    assert bins.apply(values).tolist() == [1, 2]


@settings(max_examples=150, deadline=None)
@given(columns)
def test_every_fitted_bin_holds_one_percent_and_keeps_the_order(
    values: FloatArray,
) -> None:
    bins = fit_or_reject(values)
    if bins is None:
        return
    codes = bins.apply(values)
    np.testing.assert_array_equal(codes == 0, np.isnan(values))
    sizes = np.bincount(codes, minlength=bins.count)
    assert sizes.size == bins.count == len(bins.labels())
    assert np.all(sizes[1:] * 100 >= values.size)
    known = ~np.isnan(values)
    in_order = codes[known][np.argsort(values[known], kind="stable")].tolist()
    assert in_order == sorted(in_order)


@settings(max_examples=100, deadline=None)
@given(columns, st.integers(0, 2**32))
def test_bins_do_not_depend_on_the_order_of_rows(values: FloatArray, seed: int) -> None:
    shuffled = np.random.default_rng(seed).permutation(values)
    assert fit_or_reject(values) == fit_or_reject(shuffled)


@settings(max_examples=100, deadline=None)
@given(
    st.lists(st.integers(-500, 500), min_size=21, max_size=200, unique=True),
    st.integers(-500, 500),
    st.integers(23, 400),
)
def test_under_one_percent_on_each_side_share_the_bin_of_a_spike(
    others: list[int], spike: int, copies: int
) -> None:
    values = np.array([*others, *[spike] * copies], dtype=np.float64)
    try:
        bins = fit_numeric(values, column="x")
    except DataError:
        assert (len(others) - 2) * 100 < 2 * values.size
        return
    codes = bins.apply(values)
    shared = values[codes == bins.apply(np.array([float(spike)]))[0]]
    for side in (shared[shared < spike], shared[shared > spike]):
        assert side.size * 100 < values.size


def test_levels_rare_levels_and_missing() -> None:
    values = ["CA"] * 60 + ["NY"] * 38 + ["VT", "GU"] + [None] * 20 + ["?"] * 2
    bins = fit_categorical(values, column="State", missing=("?",))
    assert bins.labels() == ("missing", "= CA", "= NY", "other")
    got = bins.apply(["NY", None, "?", "VT", "never seen", "CA"])
    assert got.tolist() == [2, 0, 0, 3, 3, 1]
    assert got.dtype == np.uint16


def test_unseen_level_is_missing_if_nothing_was_pooled() -> None:
    bins = fit_categorical(["a", "b"], column="x")
    assert bins.count == 3
    assert bins.apply(["c", "b"]).tolist() == [0, 2]


def test_exactly_one_percent_is_kept() -> None:
    bins = fit_categorical(["a"] * 99 + ["b"], column="x")
    assert bins.levels == ("a", "b")


@pytest.mark.parametrize(
    ("values", "reason"),
    [
        ([None, "?"], "no value in any row"),
        ([], "no value in any row"),
        (["a", "a"], "fall into one bin"),
        ([str(number) for number in range(200)], "fall into one bin"),
    ],
)
def test_useless_text_columns_are_named(values: list[str | None], reason: str) -> None:
    with pytest.raises(DataError, match=reason) as caught:
        fit_categorical(values, column="district", missing=("?",))
    assert "district" in caught.value.what
    assert caught.value.remedy


@given(st.lists(st.sampled_from(["a", "b", "c", None]), min_size=1, max_size=50))
def test_text_codes_stay_in_range(values: list[str | None]) -> None:
    try:
        bins = fit_categorical(values, column="x")
    except DataError:
        return
    codes = bins.apply([*values, "unseen"])
    assert int(codes.max()) < bins.count == len(bins.labels())
    assert [code == 0 for code in codes[:-1]] == [value is None for value in values]


def test_contradictory_bins_are_refused() -> None:
    with pytest.raises(DataError, match="ascending"):
        NumericBins((2.0, 1.0), (None, None, None))
    with pytest.raises(DataError, match="one entry a bin"):
        NumericBins((1.0,), (None,))
    with pytest.raises(DataError, match="twice"):
        CategoricalBins(("a", "b"), pooled=False, missing=("a",))
