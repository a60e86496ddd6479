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
        """Return integer points per column and bin, rounded with the rows in view.

        The sums over the rows' bins should be near the exact ones, not each number:
        rounding alone would let the errors of correlated columns add up. Nearest plane
        algorithm (Babai, Combinatorica 6, 1986): one number after the other, common
        bins first, makes up for what those before are off.
        """
        exact = [self.scale.factor * column for column in self.contributions()]
        ends = np.cumsum([len(column) for column in exact])
        wanted = np.concatenate(exact)
        counts = _joint_counts(codes, ends) + np.eye(len(wanted))
        order = np.argsort(np.diag(counts), kind="stable")
        upper = np.linalg.cholesky(counts[np.ix_(order, order)]).T
        off = np.zeros(len(order))  # points minus exact, in this order
        points = np.empty(len(order), np.int64)
        for at in reversed(range(len(order))):
            due = wanted[order[at]] - upper[at] @ off / upper[at, at]
            points[order[at]] = round(due)
            off[at] = points[order[at]] - wanted[order[at]]
        return np.split(points, ends[:-1])

    def partial_scores(self, codes: Codes) -> NDArray[np.int64]:
        """Return the integer partial score of every row, before masking."""
        total = self.intercept_points + row_sums(codes, self.points(codes))
        return round_half_away(total, self.granularity)


def _joint_counts(codes: Codes, ends: NDArray[np.int64]) -> Floats:
    """Return how many rows are in both of any two bins, shape (bins, bins)."""
    starts, sizes = np.append(0, ends[:-1]), np.diff(ends, prepend=0)
    counts = np.empty((ends[-1], ends[-1]))
    for i, size in enumerate(sizes):
        for j in range(i + 1):
            cells = codes[:, i].astype(np.int64) * sizes[j] + codes[:, j]
            block = np.bincount(cells, minlength=size * sizes[j]).reshape(size, -1)
            here, there = slice(starts[i], ends[i]), slice(starts[j], ends[j])
            counts[here, there], counts[there, here] = block, block.T
    return counts
