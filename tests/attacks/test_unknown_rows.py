"""H6: rows that no other holder knows stand out among joint scores.

All of them take the others' bins for unknown rows, so their joint scores are one
number. The label holder takes the largest class of equal scores; of scores with noise
the fullest window, of the width that serves it best. Not defended: figures, beside what
rows drawn at random would be right about.
"""

from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray

from tests.attacks.transcript import joint_scores
from tests.conftest import Tell
from tests.protocol.ring_training import DataSet, load, train
from veilscore.models.binning import MISSING
from veilscore.models.vertical.ports import Floats

pytestmark = pytest.mark.long

COVERAGE = 0.7


def partly_known() -> tuple[DataSet, NDArray[np.bool_]]:
    """Return uci_default to holders that miss 30 % each, and who is unknown to all."""
    data = load("uci_default", "three_A")
    drawn = np.random.default_rng(6)
    unknown = np.ones(len(data.bad), dtype=np.bool_)
    columns = dict(data.columns)
    for party in sorted(set(columns) - {data.label_holder}):
        known = drawn.random(len(unknown)) < COVERAGE
        codes = np.where(known[:, None], columns[party].codes, MISSING)
        columns[party] = replace(columns[party], codes=codes.astype(np.uint16))
        unknown &= ~known
    return replace(data, columns=columns), unknown


def judged(taken: NDArray[np.bool_], unknown: NDArray[np.bool_]) -> tuple[float, float]:
    """Return precision and recall."""
    right = float((taken & unknown).sum())
    return right / float(taken.sum()), right / float(unknown.sum())


def best_window(scores: Floats, unknown: NDArray[np.bool_]) -> tuple[float, float]:
    """Return precision and recall of the luckiest width."""

    def harmony(found: tuple[float, float]) -> float:
        return 2 * found[0] * found[1] / (found[0] + found[1] + 1e-9)

    found: list[tuple[float, float]] = []
    ordered = np.sort(scores)
    for width in range(2, 80, 2):
        inside = np.searchsorted(ordered, ordered + width) - np.arange(len(ordered))
        start = ordered[inside.argmax()]
        taken = (scores >= start) & (scores < start + width)
        found.append(judged(taken, unknown))
    return max(found, key=harmony)


def test_rows_that_nobody_else_knows_stand_out(tell: Tell) -> None:
    data, unknown = partly_known()
    run = train(data)
    final = joint_scores(run, "evaluate")
    values, counts = np.unique(final, return_counts=True)
    alike = judged(final == values[counts.argmax()], unknown)
    blurred = best_window(joint_scores(run, "calibrate"), unknown)
    chance = f"none; precision {unknown.mean():.3f} by chance"
    for what, (precision, recall) in (
        ("final scores", alike),
        ("provisional scores with noise", blurred),
    ):
        tell(
            f"H6 rows unknown to all others, from {what}",
            f"precision {precision:.3f}, recall {recall:.3f}",
            chance,
        )
    # Noise hides more than half of what final scores show.
    assert alike[1] == 1.0
    assert blurred[0] < alike[0] / 2
