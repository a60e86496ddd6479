"""Spike-aware bins of one column, made without any label.

Every holder bins its own columns alone: nothing is exchanged, nobody learns
anything. Labels enter later, as encrypted sums per bin (see ``woe``).

Numbers. Up to 20 distinct values get one bin each. Otherwise every value on more
than a tenth of the known rows gets its own bin (plain quantiles ruin columns that
are mostly zero) and the rest is cut at its deciles. Bins are closed on the right.
Text. One bin a level, levels on under 1 % of the rows pooled into one.
Bin 0 is "missing" and always exists, also for entities the holder has never seen.

From the top down, bins on under 1 % of the rows join the bin below; a lowest bin
still under 1 % joins the one above. No monotone merging is done here.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import numpy.typing as npt

from veilscore.models.errors import DataError

Codes = npt.NDArray[np.uint16]
FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]

MISSING = 0

FEW_VALUES = 20
SPIKE = 10  # one part in so many known rows makes a value a spike
SMALL = 100  # one part in so many rows is the least a bin holds
# Each but the missing one and the pool of rare levels holds a part of the rows.
MOST_BINS = SMALL + 2
_EXACT = 1e15  # whole numbers under this are written with all their digits
LARGEST = 1e300  # differences of numbers up to this do not overflow


@dataclass(frozen=True, slots=True)
class NumericBins:
    """Bins of a column of numbers.

    Bin ``j`` holds ``edges[j-2] < value <= edges[j-1]``, open-ended at both ends.
    ``sole`` has one entry for each of these bins: the only value it held when it
    was fitted, or None. ``missing`` are numbers that stand for "no value".
    """

    edges: tuple[float, ...]
    sole: tuple[float | None, ...]
    missing: tuple[float, ...] = ()

    def __post_init__(self) -> None:
        """Refuse bins that overlap or contradict each other."""
        ordered = all(low < high for low, high in pairwise(self.edges))
        if not ordered or len(self.sole) != len(self.edges) + 1:
            raise DataError(
                "bins must have ascending edges and one entry a bin",
                remedy="Fit the bins again",
            )

    @property
    def count(self) -> int:
        """How many bins there are, the missing bin included."""
        return len(self.edges) + 2

    def apply(self, values: FloatArray) -> Codes:
        """Return the bin of each value, shape (rows,)."""
        codes = 1 + np.searchsorted(np.array(self.edges), values, side="left")
        codes[_missing_rows(values, self.missing)] = MISSING
        return codes.astype(np.uint16)

    def labels(self) -> tuple[str, ...]:
        """Return a text for each bin, such as ``(100, 250]`` or ``= 0``."""
        texts = [_text(edge) for edge in self.edges]
        ranges = ["any value"]
        if texts:
            middle = [f"({low}, {high}]" for low, high in pairwise(texts)]
            ranges = [f"<= {texts[0]}", *middle, f"> {texts[-1]}"]
        known = (
            span if value is None else f"= {_text(value)}"
            for span, value in zip(ranges, self.sole, strict=True)
        )
        return ("missing", *known)


@dataclass(frozen=True, slots=True)
class CategoricalBins:
    """Bins of a column of texts: missing, one a level, then perhaps "other".

    An unknown level falls into "other" if ``pooled``, else into missing.
    ``missing`` are texts that stand for "no value".
    """

    levels: tuple[str, ...]
    pooled: bool
    missing: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        """Refuse a level that would have two bins."""
        named = (*self.levels, *self.missing)
        if len(set(named)) < len(named):
            raise DataError(
                "a level stands twice among the levels and missing codes",
                remedy="Declare every level and missing code once",
            )

    @property
    def count(self) -> int:
        """How many bins there are, the missing bin included."""
        return 1 + len(self.levels) + self.pooled

    def apply(self, values: Sequence[str | None]) -> Codes:
        """Return the bin of each value, shape (rows,)."""
        codes: dict[str | None, int] = dict.fromkeys((None, *self.missing), MISSING)
        codes |= {level: code for code, level in enumerate(self.levels, start=1)}
        unknown = self.count - 1 if self.pooled else MISSING
        found = (codes.get(value, unknown) for value in values)
        return np.fromiter(found, np.uint16, len(values))

    def labels(self) -> tuple[str, ...]:
        """Return a text for each bin, such as ``= CA``."""
        named = (f"= {level}" for level in self.levels)
        return ("missing", *named, *(("other",) if self.pooled else ()))


Bins = NumericBins | CategoricalBins


@dataclass(frozen=True, slots=True, eq=False)
class Buckets:
    """How many rows have a value in ``low < value <= high``, all shape (buckets,).

    In ascending order, none empty, none overlapping. A ``single`` bucket holds one
    value, ``high``.
    """

    low: FloatArray
    high: FloatArray
    counts: IntArray
    single: npt.NDArray[np.bool_]

    def outside(self, edges: FloatArray) -> FloatArray:
        """Move edges that lie within a bucket to its lower bound."""
        place = np.searchsorted(self.high, edges, side="left")
        inside = edges < self.high[place]
        return np.where(inside, np.minimum(edges, self.low[place]), edges)


def fit_numeric(
    values: FloatArray, *, column: str, missing: Sequence[float] = ()
) -> NumericBins:
    """Choose bins for a column of numbers, NaN meaning "no value".

    Raises ``DataError`` if the column has no finite value or does not vary.
    """
    known = values[~_missing_rows(values, missing)]
    if known.size == 0:
        raise _no_value(column)
    if not np.abs(known).max() <= LARGEST:
        raise DataError(
            f"column {column!r} holds an infinite number or one beyond {LARGEST:g}",
            remedy="Correct the value at its source or declare it a missing code",
        )
    distinct, counts = np.unique(known, return_counts=True)
    distinct += 0.0  # turns -0.0 into 0.0, which is what people write
    exact = Buckets(distinct, distinct, counts, np.ones(distinct.size, np.bool_))
    return fit_buckets(exact, rows=values.size, column=column, missing=missing)


def fit_buckets(
    buckets: Buckets, *, rows: int, column: str, missing: Sequence[float] = ()
) -> NumericBins:
    """Choose bins as ``fit_numeric`` does, of how many of ``rows`` lie in each bucket.

    No edge lies within a bucket. Raises ``DataError`` if no row has a value or the
    column does not vary.
    """
    high, counts = buckets.high, buckets.counts
    if high.size == 0:
        raise _no_value(column)
    if high.size <= FEW_VALUES:
        edges = _between(high[:-1], high[1:])
    else:
        edges = _spike_edges(high, counts)
    edges = np.unique(buckets.outside(edges))
    edges = _merge_small(edges, high, counts, rows=rows)
    if edges.size == 0 and int(counts.sum()) == rows:
        raise _no_variation(column)
    starts = [0, *np.searchsorted(high, edges, side="right").tolist()]
    ends = [*starts[1:], high.size]
    sole = tuple(
        float(high[start]) if end - start == 1 and buckets.single[start] else None
        for start, end in zip(starts, ends, strict=True)
    )
    return NumericBins(tuple(edges.tolist()), sole, tuple(map(float, missing)))


def fit_categorical(
    values: Sequence[str | None], *, column: str, missing: Sequence[str] = ()
) -> CategoricalBins:
    """Choose bins for a column of texts, None meaning "no value".

    Raises ``DataError`` if the column has no value or does not vary.
    """
    return fit_counted(Counter(values), column=column, missing=missing)


def fit_counted(
    rows: Mapping[str | None, int], *, column: str, missing: Sequence[str] = ()
) -> CategoricalBins:
    """Choose bins as ``fit_categorical`` does, of the rows that each text is on."""
    total = sum(rows.values())
    counts = {
        level: count
        for level, count in rows.items()
        if level is not None and level not in missing
    }
    absent = total - sum(counts.values())
    if not counts:
        raise _no_value(column)
    levels = tuple(
        sorted(level for level, count in counts.items() if count * SMALL >= total)
    )
    pooled = len(levels) < len(counts)
    if len(levels) + pooled == 1 and not absent:
        raise _no_variation(column)
    return CategoricalBins(levels, pooled, tuple(missing))


def _missing_rows(
    values: FloatArray, missing: Sequence[float]
) -> npt.NDArray[np.bool_]:
    rows = np.isnan(values)
    for code in missing:
        rows |= values == code
    return rows


def _between(low: FloatArray, high: FloatArray) -> FloatArray:
    """Return an edge midway, but never ``high`` itself: bins are right-closed."""
    middle = low / 2 + high / 2  # low + high could overflow
    return np.where((low <= middle) & (middle < high), middle, low)


def _spike_edges(distinct: FloatArray, counts: IntArray) -> FloatArray:
    """Return the deciles of the values that are no spikes, and each spike's edges."""
    is_spike = counts * SPIKE > counts.sum()
    rest, upto = distinct[~is_spike], np.cumsum(counts[~is_spike])
    # Linear interpolation between order statistics; the position is an exact
    # integer number of tenths, so that no row changes its bin by rounding.
    tenths = np.arange(1, 10) * (upto[-1] - 1)
    low, high = (
        rest[np.searchsorted(upto, position, side="right")]
        for position in (tenths // 10, -(-tenths // 10))
    )
    deciles = low + (high - low) * (tenths % 10 / 10)
    deciles = np.where(deciles < high, deciles, low)
    spikes = np.flatnonzero(is_spike)
    above_first = spikes[spikes > 0]
    lower = _between(distinct[above_first - 1], distinct[above_first])
    return np.unique(np.concatenate([deciles, lower, distinct[spikes]]))


def _merge_small(
    edges: FloatArray, distinct: FloatArray, counts: IntArray, rows: int
) -> FloatArray:
    """Drop the edges under bins that hold too few of the rows."""
    upto = np.concatenate([[0], np.cumsum(counts)])
    upto = upto[np.searchsorted(distinct, edges, side="right")]
    sizes = np.diff(upto, prepend=0, append=counts.sum())
    *below, size = sizes.tolist()  # size: rows of the bin above the edge
    kept: list[float] = []
    for edge, rows_below in zip(edges.tolist()[::-1], below[::-1], strict=True):
        if size * SMALL >= rows:
            kept.append(edge)
            size = rows_below
        else:
            size += rows_below
    if size * SMALL < rows:
        del kept[-1:]
    return np.array(kept[::-1])


def _text(number: float) -> str:
    whole = number % 1 == 0 and abs(number) < _EXACT
    return f"{number:.0f}" if whole else f"{number:.6g}"


def _no_value(column: str) -> DataError:
    return DataError(
        f"column {column!r} has no value in any row",
        remedy="Leave the column out or check how its values are read",
    )


def _no_variation(column: str) -> DataError:
    return DataError(
        f"all rows of column {column!r} fall into one bin; none may hold under 1 % of "
        "them",
        remedy="Leave the column out: it tells no row from another",
    )
