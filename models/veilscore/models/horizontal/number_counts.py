"""How many rows of all members have which numbers, refined where bins need it.

Each pass is a part of one sum. The first counts rows in buckets of a quarter to half an
octave. Buckets that may hold a value on a tenth of the rows, and all of a column with
few values, are then divided down to single numbers in two passes; last, those that hold
a decile down to a relative width of 2^-13. Nobody's own counts are seen, and a bucket
under the contract's least count is not divided; but a sum shows counts down to one row,
unless noise is added to it. With noise, counts under four standard deviations pass for
none, and there are two passes: buckets on a tenth of the rows are divided once, and
stay whole if most of their rows are then lost in the noise.
"""

from dataclasses import dataclass, field

import numpy as np

from veilscore.models.binning import FEW_VALUES, SPIKE, Buckets
from veilscore.models.errors import ProtocolError
from veilscore.models.horizontal.order_code import codes, numbers, places
from veilscore.models.horizontal.ports import Floats, Integers

COARSE, FINE, SINGLE = 21, 10, 0  # shifts
PASSES = 4
NOISY_PASSES = 2
_FIRST = -1019  # place of the lowest coarse bucket of single precision
_COARSE_BUCKETS = 2040
# Noise has this many standard deviations once in 30,000 times: too few rows to see.
SEEN = 4.0

Bucket = tuple[int, int]  # shift and place


@dataclass
class NumberCounts:
    """Counts of one column over all members, and the own rows that go into them.

    ``known``: the own rows that have a value. ``least``: rows under which a bucket is
    not divided. ``noise``: standard deviation of the noise on each count, 0 for none.
    """

    column: str
    known: Floats
    rows: int
    least: int
    noise: float = 0.0
    counts: dict[Bucket, int] = field(default_factory=dict[Bucket, int], init=False)
    missing: int = field(default=0, init=False)

    def __post_init__(self) -> None:
        """Code the own rows; raises ``DataError``."""
        self._codes = codes(self.known, column=self.column)
        self._divided: list[tuple[Bucket, int]] = []  # and into which shift

    def own(self, number: int) -> Integers:
        """Return the own counts that pass ``number`` (from 0) asks for."""
        if number == 0:
            placed = places(self._codes, COARSE) - _FIRST
            absent = self.rows - self.known.size
            return np.append(absent, np.bincount(placed, minlength=_COARSE_BUCKETS))
        self._divided = self._to_divide(number)
        parts = [self._own_within(*each) for each in self._divided]
        return np.concatenate([np.zeros(0, np.int64), *parts])

    def take(self, number: int, summed: Integers) -> None:
        """Take the sum of all members' counts of pass ``number``.

        Raises ``ProtocolError`` if it contradicts earlier ones.
        """
        if number == 0:
            kept = self._seen(summed)
            self.missing = int(kept[0])
            for place in np.flatnonzero(kept[1:]).tolist():
                self.counts[COARSE, place + _FIRST] = int(kept[1 + place])
            return
        start = 0
        for (shift, place), finer in self._divided:
            width = 1 << (shift - finer)
            part = summed[start : start + width]
            start += width
            part = self._seen(part)
            if self.noise and 2 * int(part.sum()) < self.counts[shift, place]:
                continue
            whole = self.counts.pop((shift, place))
            if not self.noise and int(part.sum()) != whole:
                raise ProtocolError(
                    f"counts of column {self.column!r} contradict earlier ones",
                    remedy="Start the run again with members that stay to its end",
                )
            below = (place - 1) * width
            for index in np.flatnonzero(part).tolist():
                self.counts[finer, below + 1 + index] = int(part[index])

    @property
    def total(self) -> int:
        """Rows of all members, with or without a value."""
        return self.missing + sum(self.counts.values())

    def buckets(self) -> Buckets:
        """Return what is known of the column, in ascending order."""
        keys = sorted(self.counts, key=_upper)
        upper = np.array([_upper(key) for key in keys], np.int64)
        width = np.array([1 << shift for shift, _ in keys], np.int64)
        return Buckets(
            numbers(upper - width),
            numbers(upper),
            np.array([self.counts[key] for key in keys], np.int64),
            width == 1,
        )

    def _seen(self, summed: Integers) -> Integers:
        if self.noise:
            return np.where(summed < SEEN * self.noise, 0, summed)
        if np.any(summed < 0):
            raise ProtocolError(
                f"counts of column {self.column!r} are negative",
                remedy="Start the run again with members of the same release",
            )
        return summed

    def _own_within(self, bucket: Bucket, finer: int) -> Integers:
        shift, place = bucket
        inside = self._codes[places(self._codes, shift) == place]
        width = 1 << (shift - finer)
        below = (place - 1) * width
        return np.bincount(places(inside, finer) - below - 1, minlength=width)

    def _to_divide(self, number: int) -> list[tuple[Bucket, int]]:
        if self.noise and number >= NOISY_PASSES:
            return []
        if number == PASSES - 1:
            return [(key, FINE) for key in self._with_deciles()]
        shift, finer = (COARSE, FINE) if number == 1 else (FINE, SINGLE)
        few = len(self.counts) <= FEW_VALUES and not self.noise
        known = sum(self.counts.values())
        return [
            (key, finer)
            for key, count in sorted(self.counts.items())
            if key[0] == shift
            and count >= self.least
            and (few or count * SPIKE > known)
        ]

    def _with_deciles(self) -> list[Bucket]:
        known = sum(self.counts.values())
        rest = [
            key
            for key in sorted(self.counts, key=_upper)
            if self.counts[key] * SPIKE <= known
        ]
        if not rest or len(self.counts) <= FEW_VALUES:
            return []
        upto = np.cumsum([self.counts[key] for key in rest])
        tenths = np.arange(1, SPIKE) * (int(upto[-1]) - 1)
        ranks = np.concatenate([tenths // SPIKE, -(-tenths // SPIKE)])
        held = np.unique(np.searchsorted(upto, ranks, side="right")).tolist()
        return [
            rest[index]
            for index in held
            if rest[index][0] == COARSE and self.counts[rest[index]] >= self.least
        ]


def _upper(bucket: Bucket) -> int:
    """Return the highest code in a bucket."""
    shift, place = bucket
    return place << shift
