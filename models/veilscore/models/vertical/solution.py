"""One holder's part of a trained model, before it becomes a card.

Learned and kept by that holder alone.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from veilscore.models.scorecard import Scale, round_half_away
from veilscore.models.vertical.ports import Codes, Floats

ROUNDING_PASSES = 10

Value = TypeVar("Value", bound=np.generic)


def lookup(codes: Codes, tables: Sequence[NDArray[Value]]) -> NDArray[Value]:
    """Replace every bin by its column's table value; same shape as ``codes``."""
    return np.column_stack([table[codes[:, i]] for i, table in enumerate(tables)])


@dataclass(frozen=True, slots=True)
class Solution:
    """Weights and WoE of one holder's columns.

    ln(good:bad) = sum over holders of their shares; the intercept belongs to the
    label holder's share and is 0 in the others. Before calibration it is 0 there
    too.
    """

    scale: Scale
    granularity: int
    woe: tuple[Floats, ...]  # per column: WoE per bin
    weights: Floats  # per column, of the log odds good:bad
    intercept: float = 0.0  # of the log odds good:bad, unrounded
    intercept_points: int = 0

    def contributions(self) -> list[Floats]:
        """Return, per column, the log odds good:bad of every bin."""
        return [w * table for w, table in zip(self.weights, self.woe, strict=True)]

    def points(self, codes: Codes) -> list[NDArray[np.int64]]:
        """Return integer points per column and bin, rounded with the rows in view.

        Nearest integers first; then the points of any bin whose rows are off by
        half a point or more on average move, until none is. Rounding each number
        alone would let the errors of correlated columns add up.
        """
        exact = [self.scale.factor * column for column in self.contributions()]
        points = [np.rint(column).astype(np.int64) for column in exact]
        error = lookup(codes, exact).sum(axis=1) - lookup(codes, points).sum(axis=1)
        for _ in range(ROUNDING_PASSES):
            moved = False
            for column in range(len(points)):
                bins, size = codes[:, column], len(points[column])
                rows = np.maximum(np.bincount(bins, minlength=size), 1)
                off = np.bincount(bins, weights=error, minlength=size) / rows
                step = np.rint(off).astype(np.int64)
                points[column] += step
                error -= step[bins]
                moved = moved or bool(step.any())
            if not moved:
                break
        return points

    def partial_scores(self, codes: Codes) -> NDArray[np.int64]:
        """Return the integer partial score of every row, before masking."""
        total = self.intercept_points + lookup(codes, self.points(codes)).sum(axis=1)
        return round_half_away(total, self.granularity)
