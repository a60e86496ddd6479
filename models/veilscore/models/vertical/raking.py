"""Weights under which all rows of a run look like its labelled ones to one holder.

Second moments with labels are taken over labelled rows, a feature holder's own over all
rows of the run, because it must not know which are labelled. Where borrowers differ
from the rest, the two do not belong to one population, and no weights would fit them.
So a holder weights its rows until every column's bins hold the shares that the labelled
rows have in them (raking: Deming and Stephan, Annals of Mathematical Statistics 11,
1940).

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
EFFECTIVE_COUNTS: Final = 10  # times the least count of a bin: fewer rows say too much

_SMOOTHING: Final = 0.5  # rows, in every bin: none is ruled out, as in the WoE
_TOLERANCE: Final = 1e-4  # of the labelled rows
_PASSES: Final = 20


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


def row_weights(codes: Codes, margins: Sequence[Margin]) -> NDArray[np.uint16]:
    """Return a weight for every row, (rows,); the largest is HEAVIEST."""
    weights: Floats = np.ones(len(codes))
    for _ in range(_PASSES):
        furthest = 0.0
        for column, margin in enumerate(margins):
            at = margin.pool_of[codes[:, column]]
            sums = np.bincount(at, weights=weights, minlength=len(margin.shares))
            held = sums / sums.sum()
            seen = held > 0
            furthest = max(furthest, float(np.abs(held - margin.shares)[seen].max()))
            factors = np.divide(
                margin.shares, held, out=np.zeros_like(held), where=seen
            )
            weights *= factors[at]
        if furthest <= _TOLERANCE:
            break
    scaled: Floats = np.rint(weights * (HEAVIEST / weights.max()))
    return scaled.astype(np.uint16)


def effective_rows(weight: int, squared_weight: int) -> float:
    """Return how many rows of one weight say as much (Kish, Survey Sampling, 1965).

    Arguments are the sum of the weights, and that of their squares.
    """
    return weight**2 / squared_weight
