import importlib
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from veilscore.models import metrics
from veilscore.models.errors import DataError
from veilscore.models.metrics import BoolArray, FloatArray

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


def somers_d(bad: BoolArray, risk: FloatArray) -> float:
    """Return the share of pairs of a bad and a good in order, less that of others."""
    return float(np.sign(risk[bad][:, None] - risk[~bad]).mean())


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
    assert metrics.gini(area) == close(somers_d(bad, pd))
    assert metrics.brier(bad, pd) == close(sklearn.brier_score_loss(bad, pd))
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
@pytest.mark.parametrize("measure", [metrics.auc, metrics.ks, metrics.calibration])
def test_undefined_figures_are_refused(
    measure: Callable[[BoolArray, FloatArray], object],
    bad: list[bool],
    risk: list[float],
    reason: str,
) -> None:
    with pytest.raises(DataError, match=reason):
        measure(np.array(bad, dtype=np.bool_), np.array(risk))
