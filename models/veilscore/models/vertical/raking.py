"""Weights under which all rows of a run look like its labelled ones to one holder.

Second moments with labels are taken over labelled rows, a feature holder's own over all
rows of the run, because it must not know which are labelled. Where borrowers differ
from the rest, the two are of different populations, and no card would fit both. So a
holder weights its rows until every column's bins hold the shares that the labelled rows
have in them (raking: Deming and Stephan, Annals of Mathematical Statistics 11, 1940).

Learns nothing: a bin's labelled rows are what the step ``counts`` told its holder.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Self

import numpy as np
from numpy.typing import NDArray

from veilscore.models.vertical.ports import Codes, Floats
from veilscore.models.woe import IntArray, counted_together

HEAVIEST: Final = (1 << 12) - 1  # weight of a row

_SMOOTHING: Final = 0.5  # rows, in every bin: none is ruled out, as in the WoE
_TOLERANCE: Final = 1e-4  # of the labelled rows
_PASSES: Final = 20
# What a row weighs at most, in mean weights: noise on the count of a rare bin must not
# leave nothing for all others.
_MOST_MEANS: Final = 100


@dataclass(frozen=True, slots=True, eq=False)
class Margin:
    """Shares of the labelled rows in one column's bins; a pool of bins has one."""

    pool_of: NDArray[np.int64]  # (bins,)
    shares: Floats  # (pools,), 1 together

    @classmethod
    def of(cls, good: IntArray, bad: IntArray, pool: IntArray) -> Self:
        """Read the counts of a column's bins; those with noise may be negative."""
        first, pool_of = counted_together(pool)
        labelled = np.maximum(good[first], 0) + np.maximum(bad[first], 0) + _SMOOTHING
        return cls(pool_of, labelled / labelled.sum())


@dataclass(frozen=True, slots=True, eq=False)
class RowWeights:
    """Weights of the rows, (rows,), the largest of them HEAVIEST, and their sums."""

    of_row: NDArray[np.uint16]
    total: int
    squared: int

    @classmethod
    def of(cls, of_row: NDArray[np.uint16]) -> Self:
        """Add these up."""
        weights = of_row.astype(np.int64)
        return cls(of_row, int(weights.sum()), int(weights @ weights))

    @classmethod
    def raked(cls, codes: Codes, margins: Sequence[Margin]) -> Self:
        """Weight rows of these codes, (rows, columns), to have all margins' shares."""
        weights: Floats = np.ones(len(codes))
        for _ in range(_PASSES):
            furthest = 0.0
            for column, margin in enumerate(margins):
                at = margin.pool_of[codes[:, column]]
                held = np.bincount(at, weights=weights, minlength=len(margin.shares))
                # Whatever is said of a bin without rows, no row can weigh for it.
                wanted = np.where(held > 0, margin.shares, 0.0)
                held, wanted = held / held.sum(), wanted / wanted.sum()
                furthest = max(furthest, float(np.abs(held - wanted).max()))
                factors = np.divide(
                    wanted, held, out=np.zeros_like(held), where=held > 0
                )
                weights *= factors[at]
            if furthest <= _TOLERANCE:
                break
        weights = np.minimum(weights, _MOST_MEANS * weights.mean())
        scaled: Floats = np.rint(weights * (HEAVIEST / weights.max()))
        return cls.of(scaled.astype(np.uint16))


def effective_rows(total: int, squared: int) -> float:
    """Return how many rows of one weight say as much (Kish, Survey Sampling, 1965).

    Arguments are the sum of the weights, and that of their squares.
    """
    return total**2 / squared
