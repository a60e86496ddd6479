"""How well scores rank borrowers and how true their probabilities are.

Works on one party's own rows in clear; nothing here is exchanged. Arguments are
``bad`` (True = defaulted) and either ``risk`` (any number, higher = worse; pass the
negated score) or ``pd`` (probability of default), all of shape (rows,). Every
function raises ``DataError`` for data on which its figure is not defined.

AUC with ties: Hanley & McNeil, Radiology 143 (1982). Calibration intercept and
slope: Cox, Biometrika 45 (1958).
"""

import numpy as np
import numpy.typing as npt

from veilscore.models.errors import DataError

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]
BoolArray = npt.NDArray[np.bool_]

_NEWTON_STEPS = 100


def roc_curve(bad: BoolArray, risk: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Return false and true positive rates, one point a distinct risk, from (0, 0)."""
    false, true = _roc_counts(bad, risk)
    return false / false[-1], true / true[-1]


def auc(bad: BoolArray, risk: FloatArray) -> float:
    """Return the chance that a bad has a higher risk than a good, ties half."""
    false, true = _roc_counts(bad, risk)
    twice = int(np.sum(np.diff(false) * (true[1:] + true[:-1])))
    return twice / (2 * int(false[-1]) * int(true[-1]))


def gini(area: float) -> float:
    """Return the Gini coefficient that belongs to an AUC."""
    return 2 * area - 1


def ks(bad: BoolArray, risk: FloatArray) -> float:
    """Return the largest distance between the distributions of goods and bads."""
    false, true = roc_curve(bad, risk)
    return float(np.max(np.abs(true - false)))


def brier(bad: BoolArray, pd: FloatArray) -> float:
    """Return the mean squared error of the probabilities."""
    _require_same_rows(bad, pd)
    return float(np.mean((pd - bad) ** 2))


def calibration(bad: BoolArray, pd: FloatArray) -> tuple[float, float]:
    """Return intercept and slope of the true log odds of default on those of ``pd``.

    (0, 1) is perfect; a slope under 1 means the probabilities are too extreme.
    """
    _require_both_classes(bad, pd)
    if not np.all((pd > 0) & (pd < 1)) or np.ptp(pd) == 0:
        raise DataError(
            "calibration needs varying probabilities strictly between 0 and 1",
            remedy="Check the scores and the scale they were made with",
        )
    predictor = np.log(pd) - np.log1p(-pd)
    design = np.column_stack([np.ones(predictor.size), predictor])  # (rows, 2)
    weights = np.array([0.0, 1.0])
    loss = _logistic_loss(design @ weights, bad)
    for _ in range(_NEWTON_STEPS):
        fitted = np.exp(-np.logaddexp(0.0, -(design @ weights)))
        hessian = (design.T * (fitted * (1 - fitted))) @ design
        if not np.linalg.cond(hessian) * np.finfo(np.float64).eps < 1:
            break
        step = np.linalg.solve(hessian, design.T @ (bad - fitted))
        if np.max(np.abs(step)) < 1e-10 * (1 + np.max(np.abs(weights))):
            return float(weights[0] + step[0]), float(weights[1] + step[1])
        # A full Newton step can overshoot far from the optimum: halve it until
        # it no longer makes the fit worse.
        while (trial := _logistic_loss(design @ (weights + step), bad)) > loss + 1e-9:
            step /= 2
        weights, loss = weights + step, trial
    raise DataError(
        "calibration is not defined: the probabilities separate goods and bads",
        remedy="Use more rows",
    )


def _roc_counts(bad: BoolArray, risk: FloatArray) -> tuple[IntArray, IntArray]:
    """Return goods and bads at least as risky as each distinct risk, from (0, 0)."""
    _require_both_classes(bad, risk)
    order = np.argsort(-risk, kind="stable")
    ranked = risk[order]
    last = np.append(np.flatnonzero(ranked[1:] != ranked[:-1]), risk.size - 1)
    true = np.cumsum(bad[order], dtype=np.int64)[last]
    return np.append(0, last + 1 - true), np.append(0, true)


def _logistic_loss(predictor: FloatArray, bad: BoolArray) -> float:
    return float(np.sum(np.logaddexp(0.0, predictor) - bad * predictor))


def _require_same_rows(bad: BoolArray, scores: FloatArray) -> None:
    if bad.shape != scores.shape or not bad.size or not np.all(np.isfinite(scores)):
        raise DataError(
            "labels and scores must be finite and cover the same, at least one, rows",
            remedy="Check that every row was scored",
        )


def _require_both_classes(bad: BoolArray, scores: FloatArray) -> None:
    _require_same_rows(bad, scores)
    if bad.all() or not bad.any():
        raise DataError(
            "the rows hold no goods or no bads",
            remedy="Use a period in which both occur",
        )
