"""Integer points for exact ones, so that scores of rows change as little as they can.

The rows are those of whoever makes the card; nothing leaves.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from veilscore.models.binning import Codes

Floats = NDArray[np.float64]


def points_near(exact: Sequence[Floats], codes: Codes) -> list[NDArray[np.int64]]:
    """Return integer points per column and bin for ``codes``, (rows, columns).

    The sums over the rows' bins should be near the exact ones, not each number:
    rounding alone would let the errors of correlated columns add up. Nearest plane
    algorithm (Babai, Combinatorica 6, 1986): one number after the other, common
    bins first, makes up for what those before are off.
    """
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
