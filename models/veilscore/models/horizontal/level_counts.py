"""Which texts are on at least 1 % of all members' rows, without telling who has which.

First each member counts its rows by salted hashes of their texts, in three tables; the
sums bound every text's rows from above (count-min: Cormode and Muthukrishnan 2005).
Then it tells how it writes its texts, but only of those that may be on 1 % of all rows
and on the contract's least count: a second sum holds, by hash again, rows, rows times a
check and rows times the bytes, from which a cell with one text in it is read, and taken
out of the others (invertible Bloom lookup table: Goodrich and Mitzenmacher 2011).

All members learn the common texts and their rows, and sums by hash: whoever guesses a
rare text sees how many rows of all members share its hashes. Under noise, texts have to
be declared in the contract (``DeclaredCounts``).
"""

import hashlib
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from veilscore.models.binning import SMALL, CategoricalBins
from veilscore.models.errors import DataError, ProtocolError
from veilscore.models.horizontal.number_counts import SEEN
from veilscore.models.horizontal.ports import Integers, Words

TABLES = 3
_WIDE, _NARROW = 512, 128  # cells of a table in the first and second sum
_CHUNKS = 16  # of 4 bytes: a length and up to 63 bytes of text
_LONGEST = 4 * _CHUNKS - 1
_CELL = 2 + _CHUNKS  # rows, rows times check, rows times chunks


@dataclass
class LevelCounts:
    """Rows of one column by text over all members, and the own rows in them.

    ``values``: the own rows, None where there is no value. ``salt`` differs between
    runs and columns.
    """

    column: str
    values: Sequence[str | None]
    salt: bytes
    least: int
    missing: int = field(default=0, init=False)
    common: dict[str, int] = field(default_factory=dict[str, int], init=False)

    def __post_init__(self) -> None:
        """Count the own rows."""
        own = Counter(self.values)
        self._absent = own.pop(None, 0)
        self._own: dict[str, int] = {
            text: own[text] for text in own if text is not None
        }
        self._coarse: Integers = np.zeros((TABLES, _WIDE), np.int64)

    def own_hashed(self) -> Integers:
        """Return the own rows without a value and by hash, (1 + tables · cells,)."""
        counts = np.zeros((TABLES, _WIDE), np.int64)
        for text, rows in self._own.items():
            counts[np.arange(TABLES), self._cells(text, _WIDE)] += rows
        return np.append(self._absent, counts.ravel())

    def take_hashed(self, summed: Integers) -> None:
        """Take all members' rows by hash; raises ``ProtocolError``."""
        self.missing = int(summed[0])
        self._coarse = summed[1:].reshape(TABLES, _WIDE)
        every = self._coarse.sum(axis=1)
        if np.any(summed < 0) or np.any(every != every[0]):
            raise self._contradiction()

    @property
    def total(self) -> int:
        """Rows of all members, with or without a value."""
        return self.missing + int(self._coarse[0].sum())

    def own_spelt(self) -> Words:
        """Return the own common texts, hashed and spelt.

        Raises ``DataError`` for one that is too long.
        """
        cells = np.zeros((TABLES, _NARROW, _CELL), np.uint64)
        for text, rows in self._own.items():
            bound = self._coarse[np.arange(TABLES), self._cells(text, _WIDE)].min()
            if bound >= self._needed:
                cells[np.arange(TABLES), self._cells(text, _NARROW)] += self._spelt(
                    text, rows
                )
        return cells.ravel()

    def take_spelt(self, summed: Words) -> None:
        """Read the common texts; raises ``ProtocolError`` if the cells make none."""
        cells = summed.reshape(TABLES, _NARROW, _CELL).copy()
        found: dict[str, int] = {}
        progress = True
        while progress:
            progress = False
            for table, cell in np.argwhere(cells[:, :, 0]).tolist():
                read = self._read(cells[table, cell])
                if read is None or read[0] in found:
                    continue
                text, rows = read
                if self._cells(text, _NARROW)[table] != cell:
                    continue
                found[text] = rows
                place = np.arange(TABLES), self._cells(text, _NARROW)
                cells[place] -= self._spelt(text, rows)
                progress = True
        if np.any(cells) or sum(found.values()) > self.total - self.missing:
            raise self._contradiction()
        needed = self._needed
        self.common = {text: n for text, n in found.items() if n >= needed}

    def bins(self, missing: Sequence[str] = ()) -> CategoricalBins:
        """Return a bin for each common text, and "other" if there are more texts."""
        return _bins(self.column, self.common, self.total, self.missing, missing)

    @property
    def _needed(self) -> int:
        return max(-(-self.total // SMALL), self.least, 1)

    def _cells(self, text: str, width: int) -> list[int]:
        return [
            int.from_bytes(self._hash(text, table, width)[:8], "big") % width
            for table in range(TABLES)
        ]

    def _hash(self, text: str, *place: int) -> bytes:
        parts = b"".join(number.to_bytes(4, "big") for number in place)
        return hashlib.sha256(self.salt + parts + text.encode()).digest()

    def _spelt(self, text: str, rows: int) -> Words:
        spelt = text.encode()
        if len(spelt) > _LONGEST:
            raise DataError(
                f"column {self.column!r} has a common text of {len(spelt)} bytes, at "
                f"most {_LONGEST} can be told",
                remedy="Shorten it at its source or declare the column's levels",
            )
        padded = (bytes([len(spelt)]) + spelt).ljust(4 * _CHUNKS, b"\0")
        check = self._hash(text)[:4]
        chunks = np.array(memoryview(check + padded).cast("B"), np.uint64)
        parts = chunks.reshape(-1, 4) @ np.array(
            [1 << 24, 1 << 16, 1 << 8, 1], np.uint64
        )
        return np.append(np.uint64(1), parts) * np.uint64(rows)

    def _read(self, cell: Words) -> tuple[str, int] | None:
        """Return the one text of a cell and its rows, or None if there are several."""
        rows = int(cell[0])
        if not 0 < rows <= self.total or np.any(cell % np.uint64(rows)):
            return None
        parts = (cell // np.uint64(rows)).tolist()[1:]
        if max(parts) >= 1 << 32:
            return None
        whole = b"".join(part.to_bytes(4, "big") for part in parts)
        spelt = whole[5 : 5 + whole[4]]
        try:
            text = spelt.decode()
        except UnicodeDecodeError:
            return None
        if whole[4] > _LONGEST or not np.array_equal(self._spelt(text, rows), cell):
            return None
        return text, rows

    def _contradiction(self) -> ProtocolError:
        return ProtocolError(
            f"counts of column {self.column!r} contradict each other",
            remedy="Start the run again with members that stay to its end, or declare "
            "the column's levels",
        )


@dataclass
class DeclaredCounts:
    """Rows of one column by the texts that the contract declares."""

    column: str
    values: Sequence[str | None]
    levels: tuple[str, ...]
    noise: float = 0.0
    counts: Integers = field(init=False)

    def own(self) -> Integers:
        """Return the own rows without a value, of each level, and of others."""
        codes = CategoricalBins(self.levels, pooled=True).apply(self.values)
        return np.bincount(codes, minlength=len(self.levels) + 2)

    def take(self, summed: Integers) -> None:
        """Take all members' rows; raises ``ProtocolError`` for negative counts."""
        if not self.noise and np.any(summed < 0):
            raise ProtocolError(
                f"counts of column {self.column!r} are negative",
                remedy="Start the run again with members of the same release",
            )
        self.counts = np.maximum(summed, 0)

    @property
    def total(self) -> int:
        """Rows of all members, with or without a value."""
        return int(self.counts.sum())

    def bins(self, missing: Sequence[str] = ()) -> CategoricalBins:
        """Return a bin for each common level, and "other" if there are more."""
        named = self.counts[1:-1].tolist()
        seen = SEEN * self.noise
        counts: Mapping[str, int] = {
            level: count
            for level, count in zip(self.levels, named, strict=True)
            if count * SMALL >= self.total and count >= seen
        }
        absent = int(self.counts[0]) if self.counts[0] >= seen else 0
        return _bins(self.column, counts, self.total, absent, missing)


def _bins(
    column: str,
    common: Mapping[str, int],
    total: int,
    absent: int,
    missing: Sequence[str],
) -> CategoricalBins:
    pooled = sum(common.values()) < total - absent
    if len(common) + pooled <= (0 if absent else 1):
        raise DataError(
            f"all rows of column {column!r} fall into one bin",
            remedy="Leave the column out: it tells no row from another",
        )
    return CategoricalBins(tuple(sorted(common)), pooled, tuple(missing))
