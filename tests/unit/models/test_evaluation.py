"""What the label holder finds out about a joint card."""

import numpy as np
import pytest
from numpy.typing import NDArray

from veilscore.models.evaluation import Evaluation
from veilscore.models.scorecard import Scale
from veilscore.models.vertical.evaluation import evaluate
from veilscore.models.vertical.ports import Floats

ROWS = 4000
SCALE = Scale()


def judged(scores: Floats, bad: NDArray[np.int8]) -> Evaluation:
    """Judge scores on every second row, beside one own column without meaning."""
    held = np.arange(ROWS) % 2 == 0
    own = np.random.default_rng(2).normal(size=(ROWS, 1))
    train = np.where(held, -1, bad).astype(np.int8)
    holdout = np.where(held, bad, -1).astype(np.int8)
    return evaluate(SCALE, own, scores, train, holdout)


@pytest.mark.parametrize("factor", [0.5, 1, 2])
def test_the_calibration_says_by_how_much_scores_are_too_timid_or_too_bold(
    factor: float,
) -> None:
    random = np.random.default_rng(1)
    true = random.normal(600, 80, ROWS)
    bad = (random.random(ROWS) < SCALE.default_probability(true)).astype(np.int8)
    # Points at which the odds are 1: there all factors agree.
    even = SCALE.base_points - SCALE.pdo * np.log2(SCALE.base_odds)
    found = judged(even + factor * (true - even), bad)
    assert found.rows == ROWS / 2
    assert found.calibration_slope == pytest.approx(1 / factor, rel=0.15)
    assert found.calibration_intercept == pytest.approx(0, abs=0.35)
    assert found.gini == pytest.approx(2 * found.auc - 1)
    assert found.alone_gini < 0.2 < found.gini
    assert Evaluation.of(found.figures()) == found


@pytest.mark.parametrize("perfect", [True, False])
def test_where_a_calibration_is_not_defined_none_is_told(*, perfect: bool) -> None:
    bad = (np.random.default_rng(1).random(ROWS) < 0.2).astype(np.int8)
    found = judged(600 - 80.0 * perfect * bad.astype(np.float64), bad)
    assert found.gini == (1 if perfect else 0)
    assert found.calibration_slope is None
    assert "calibration_slope" not in found.figures()
    assert Evaluation.of(found.figures()) == found
