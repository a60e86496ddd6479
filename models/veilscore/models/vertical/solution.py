"""One holder's part of a trained model, before it becomes a card.

Learned and kept by that holder alone.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from veilscore.models.rounding import points_near
from veilscore.models.scorecard import Scale, round_half_away
from veilscore.models.vertical.ports import Codes, Floats

Value = TypeVar("Value", bound=np.generic)


def lookup(codes: Codes, tables: Sequence[NDArray[Value]]) -> NDArray[Value]:
    """Replace every bin by its column's table value; same shape as ``codes``."""
    return np.column_stack([table[codes[:, i]] for i, table in enumerate(tables)])


def row_sums(codes: Codes, tables: Sequence[NDArray[Value]]) -> NDArray[Value]:
    """Add up every row's table values, (rows,), without holding all of them."""
    total = tables[0][codes[:, 0]]
    for column, table in enumerate(tables[1:], start=1):
        np.add(total, table[codes[:, column]], out=total)
    return total


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
        """Return integer points per column and bin, rounded with the rows in view."""
        exact = [self.scale.factor * column for column in self.contributions()]
        return points_near(exact, codes)

    def partial_scores(self, codes: Codes) -> NDArray[np.int64]:
        """Return the integer partial score of every row, before masking."""
        total = self.intercept_points + row_sums(codes, self.points(codes))
        return round_half_away(total, self.granularity)
