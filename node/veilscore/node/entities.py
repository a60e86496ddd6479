"""Many normalised ids without a Python object for each, and where each stands.

Stays with the holder. The ids lie end to end as UTF-8, as in Arrow: 4.12 million of 20
bytes take 115 MB where strings and a dict of them take a gigabyte. An id is found by a
64-bit hash in sorted order and then compared as a whole, so a hash that two share costs
a comparison and is never an error.
"""

from collections.abc import Iterable, Iterator, Sequence
from hashlib import blake2b
from itertools import accumulate, chain, islice
from typing import Final, overload

import numpy as np
from numpy.typing import ArrayLike, NDArray

_AT_ONCE: Final = 65_536  # ids that are Python objects at one time


class Entities(Sequence[str]):
    """Ids in the order of their rows; immutable."""

    __slots__ = ("_ends", "_text")

    def __init__(self, text: bytes, ends: NDArray[np.int64]) -> None:
        """Take ids end to end, and where each of them ends in it."""
        self._text = text
        self._ends = ends
        ends.setflags(write=False)

    @classmethod
    def of(cls, ids: Iterable[str]) -> "Entities":
        """Hold these ids."""
        rest = iter(ids)
        parts: list[Entities] = []
        while some := list(map(_encoded, islice(rest, _AT_ONCE))):
            ends = np.fromiter(accumulate(map(len, some)), np.int64, len(some))
            parts.append(cls(b"".join(some), ends))
        return cls.joined(parts)

    @classmethod
    def joined(cls, parts: Sequence["Entities"]) -> "Entities":
        """Return the ids of all parts, one after the other."""
        starts = accumulate((len(part._text) for part in parts), initial=0)  # noqa: SLF001 - its own kind
        ends = [
            part._ends + start  # noqa: SLF001 - its own kind
            for part, start in zip(parts, starts, strict=False)
        ]
        text = b"".join(part._text for part in parts)  # noqa: SLF001 - its own kind
        return cls(text, np.concatenate([np.zeros(0, np.int64), *ends]))

    def __len__(self) -> int:
        """Return the number of ids."""
        return len(self._ends)

    @overload
    def __getitem__(self, row: int) -> str: ...

    @overload
    def __getitem__(self, row: slice) -> "Entities": ...

    def __getitem__(self, row: int | slice) -> "str | Entities":
        """Return the id of a row, or those of some."""
        if isinstance(row, slice):
            return self.take(range(*row.indices(len(self))))
        return self.encoded(range(len(self))[row]).decode(errors="surrogatepass")

    def __repr__(self) -> str:
        """Say how many there are, and nothing of what they are."""
        return f"Entities({len(self)})"

    def encoded(self, row: int) -> bytes:
        """Return the id of a row, counted from 0, as UTF-8."""
        start = int(self._ends[row - 1]) if row else 0
        return self._text[start : int(self._ends[row])]

    def take(self, rows: ArrayLike) -> "Entities":
        """Return the ids of these rows, in this order."""
        return Entities.of(self[row] for row in _numbers(np.asarray(rows, np.intp)))

    def hashes(self) -> NDArray[np.uint64]:
        """Return a 64-bit hash of every id, shape (ids,)."""
        return _hashes(map(self.encoded, range(len(self))), len(self))


class EntityIndex:
    """The row of every id, found by its hash; build it once and keep it."""

    __slots__ = ("_entities", "_hashes", "_rows")

    def __init__(self, entities: Entities) -> None:
        hashes = entities.hashes()
        self._entities = entities
        order = np.argsort(hashes, kind="stable")
        self._hashes = hashes[order]
        self._rows = order.astype(np.uint32)  # 4 billion rows are no table in memory

    def __len__(self) -> int:
        """Return the number of ids."""
        return len(self._rows)

    def rows(self, ids: Sequence[str]) -> NDArray[np.intp]:
        """Return the row of each id, -1 for one that is not here."""
        wanted = [_encoded(entity) for entity in ids]
        places = np.searchsorted(self._hashes, hashes := _hashes(wanted, len(wanted)))
        found = np.full(len(wanted), -1, dtype=np.intp)
        for at, entity in enumerate(wanted):
            for place in range(int(places[at]), len(self)):
                if self._hashes[place] != hashes[at]:
                    break
                if self._entities.encoded(int(self._rows[place])) == entity:
                    found[at] = self._rows[place]
                    break
        return found

    def repeats(self) -> tuple[int, tuple[int, int]]:
        """Return how many ids were there before, and of the first of them both rows.

        Those of (0, 0) if every id is there once.
        """
        count, first = 0, (len(self), 0)  # the later row, the earlier
        seen: dict[bytes, int] = {}  # ids of one hash, by the first row of each
        shared: np.uint64 | None = None
        alike = np.flatnonzero(self._hashes[1:] == self._hashes[:-1])
        for place in _numbers(alike):
            if self._hashes[place] != shared:
                shared = self._hashes[place]
                row = int(self._rows[place])
                seen = {self._entities.encoded(row): row}
            row = int(self._rows[place + 1])  # a later one: the sort was stable
            earlier = seen.setdefault(self._entities.encoded(row), row)
            if earlier != row:
                count += 1
                first = min(first, (row, earlier))
        return count, (first[1], first[0]) if count else (0, 0)


def _encoded(entity: str) -> bytes:
    # Whoever asks by JSON can write half a surrogate pair, which UTF-8 has not.
    return entity.encode(errors="surrogatepass")


def _hashes(ids: Iterable[bytes], count: int) -> NDArray[np.uint64]:
    found = np.empty(count, dtype=np.uint64)
    rest = iter(ids)
    for start in range(0, count, _AT_ONCE):
        words = b"".join(
            blake2b(entity, digest_size=8).digest() for entity in islice(rest, _AT_ONCE)
        )
        found[start : start + _AT_ONCE] = np.frombuffer(words, dtype="<u8")
    return found


def _numbers(array: NDArray[np.intp]) -> Iterator[int]:
    """Yield an array's numbers, a part of them at a time as Python objects."""
    starts = range(0, len(array), _AT_ONCE)
    return chain.from_iterable(
        array[start : start + _AT_ONCE].tolist() for start in starts
    )
