import importlib
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from veilscore.models import metrics
from veilscore.models.errors import DataError
from veilscore.models.metrics import BoolArray, FloatArray, IntArray

# Loaded by name: scikit-learn and scipy carry no types.
sklearn: Any = importlib.import_module("sklearn.metrics")
linear: Any = importlib.import_module("sklearn.linear_model")
scipy: Any = importlib.import_module("scipy.stats")

Sample = tuple[BoolArray, FloatArray]


def draw_sample(seed: int, rows: int, levels: int) -> Sample:
    """Return labels and PDs on ``levels`` values, so that ties are common."""
    random = np.random.default_rng(seed)
    pd = (1 + random.integers(0, levels, rows)) / (levels + 1)
    return random.random(rows) < pd, pd


samples = st.builds(
    draw_sample, st.integers(0, 10**6), st.integers(10, 400), st.integers(2, 500)
).filter(lambda sample: 0 < int(sample[0].sum()) < sample[0].size)


def close(expected: float) -> Any:  # noqa: ANN401 - pytest's comparison object
    return pytest.approx(expected, rel=1e-9, abs=1e-12)


@settings(max_examples=60, deadline=None)
@given(samples)
def test_equal_to_scikit_learn_and_scipy(sample: Sample) -> None:
    bad, pd = sample
    area = sklearn.roc_auc_score(bad, pd)
    assert metrics.auc(bad, pd) == close(area)
    assert metrics.gini(bad, pd) == close(2 * area - 1)
    assert metrics.brier(bad, pd) == close(sklearn.brier_score_loss(bad, pd))
    assert metrics.log_loss(bad, pd) == close(sklearn.log_loss(bad, pd))
    distance = scipy.ks_2samp(pd[bad], pd[~bad], method="asymp").statistic
    assert metrics.ks(bad, pd) == close(distance)
    false, true, _ = sklearn.roc_curve(bad, pd, drop_intermediate=False)
    ours = metrics.roc_curve(bad, pd)
    np.testing.assert_allclose(ours[0], false, rtol=1e-12)
    np.testing.assert_allclose(ours[1], true, rtol=1e-12)


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 10**6))
def test_calibration_equals_unpenalised_regression(seed: int) -> None:
    bad, pd = draw_sample(seed, 400, 300)
    logit = np.log(pd / (1 - pd))
    model = linear.LogisticRegression(C=1e12, tol=1e-10, solver="newton-cholesky")
    model.fit(logit[:, None], bad)
    intercept, slope = metrics.calibration(bad, pd)
    assert slope == pytest.approx(model.coef_[0, 0], abs=1e-6)
    assert intercept == pytest.approx(model.intercept_[0], abs=1e-6)


def test_calibration_finds_the_distortion_of_a_million_rows() -> None:
    random = np.random.default_rng(1)
    logit = random.normal(-2, 1, 1_000_000)
    bad = random.random(logit.size) < 1 / (1 + np.exp(-logit))
    distorted = 1 / (1 + np.exp(-(2 * logit + 1)))  # too extreme, too high
    intercept, slope = metrics.calibration(bad, distorted)
    assert slope == pytest.approx(0.5, abs=0.01)
    assert intercept == pytest.approx(-0.5, abs=0.02)


def test_calibration_survives_wild_probabilities() -> None:
    pd = np.array([1e-12, 1e-9, 0.5, 1 - 1e-9, 1 - 1e-12, 0.5])
    bad = np.array([True, False, True, False, True, False])
    intercept, slope = metrics.calibration(bad, pd)
    fitted = 1 / (1 + np.exp(-(intercept + slope * np.log(pd / (1 - pd)))))
    assert fitted.sum() == pytest.approx(3, abs=1e-6)  # the score equations


def test_separated_classes_have_no_calibration() -> None:
    pd = np.array([0.1, 0.2, 0.3, 0.4])
    with pytest.raises(DataError, match="separate"):
        metrics.calibration(pd > 0.25, pd)


@pytest.mark.parametrize("pd", [[0.0, 0.5], [0.5, 1.0], [0.3, 0.3]])
def test_calibration_needs_varying_inner_probabilities(pd: list[float]) -> None:
    with pytest.raises(DataError, match="strictly between"):
        metrics.calibration(np.array([True, False]), np.array(pd))


@pytest.mark.parametrize(
    ("bad", "risk", "reason"),
    [
        ([True, True], [0.1, 0.2], "no goods or no bads"),
        ([False, False], [0.1, 0.2], "no goods or no bads"),
        ([True, False], [0.1, float("nan")], "finite"),
        ([True, False], [0.1], "same"),
        ([], [], "at least one"),
    ],
)
@pytest.mark.parametrize(
    "measure", [metrics.auc, metrics.ks, metrics.decile_table, metrics.calibration]
)
def test_undefined_figures_are_refused(
    measure: Callable[[BoolArray, FloatArray], object],
    bad: list[bool],
    risk: list[float],
    reason: str,
) -> None:
    with pytest.raises(DataError, match=reason):
        measure(np.array(bad, dtype=np.bool_), np.array(risk))


def test_log_loss_of_a_certain_error_is_finite() -> None:
    bad, pd = np.array([True, False]), np.array([0.0, 0.0])
    assert metrics.log_loss(bad, pd) == pytest.approx(sklearn.log_loss(bad, pd))


def test_decile_table_of_a_perfect_ranking() -> None:
    risk = np.arange(1000.0)
    groups = metrics.decile_table(risk >= 950, risk)
    assert [group.rows for group in groups] == [100] * 10
    assert [group.bad for group in groups] == [50] + [0] * 9
    assert groups[0].bad_rate == 0.5
    assert groups[0].lift == pytest.approx(10)
    assert groups[-1].captured == 1


@settings(max_examples=50, deadline=None)
@given(samples)
def test_decile_table_ignores_the_order_of_rows(sample: Sample) -> None:
    bad, risk = sample
    groups = metrics.decile_table(bad, risk)
    assert groups == metrics.decile_table(bad[::-1], risk[::-1])
    assert sum(group.rows for group in groups) == bad.size
    assert sum(group.bad for group in groups) == bad.sum()
    assert groups[-1].captured == pytest.approx(1)


def test_tied_rows_stay_together() -> None:
    bad = np.array([True, False] * 10)
    groups = metrics.decile_table(bad, np.repeat([2.0, 1.0], 10))
    assert [group.rows for group in groups] == [10, 10]
    assert [group.lift for group in groups] == [1, 1]


def counts(*values: int) -> IntArray:
    return np.array(values, dtype=np.int64)


def test_stability_index_by_hand() -> None:
    # (shares with .5 added to each count) .5/.5 -> .7/.3 in the limit.
    got = metrics.psi(counts(500_000, 500_000), counts(700_000, 300_000))
    assert got == pytest.approx(0.2 * np.log(1.4) - 0.2 * np.log(0.6), abs=1e-5)


@given(st.lists(st.integers(0, 99), min_size=1, max_size=9), st.integers(1, 5))
def test_stability_of_the_same_table_is_zero(table: list[int], at: int) -> None:
    assume(sum(table))
    expected = np.array(table, dtype=np.int64)
    assert metrics.psi(expected, expected) == 0
    moved = np.roll(expected, at)
    assert metrics.psi(expected, moved) >= 0
    assert metrics.psi(expected, moved) == pytest.approx(metrics.psi(moved, expected))


def test_stability_needs_tables_of_the_same_bins() -> None:
    with pytest.raises(DataError, match="same bins"):
        metrics.psi(counts(1, 2), counts(1, 2, 3))
    with pytest.raises(DataError, match="non-empty"):
        metrics.psi(counts(0, 0), counts(1, 2))
