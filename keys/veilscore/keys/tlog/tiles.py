"""How a log is published as static files (C2SP tlog-tiles).

A tile holds up to 256 hashes of one level, an entry bundle the leaves under one
tile of level 0. Tiles that are not full end in ``.p/`` and their width. Whoever
may read tiles learns the log's size and nothing about its entries; bundles are
the entries themselves.

No file is touched here: paths and bytes only.
"""

import re
import struct
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

from veilscore.keys.errors import ProofError
from veilscore.keys.tlog.tree import HASH_SIZE, HashReader, root_of, split_hashes

HEIGHT = 8
WIDTH = 1 << HEIGHT
_FULL = WIDTH * HASH_SIZE
MAX_LEAF = 65_535  # bytes: an entry bundle writes the length in 16 bits

# No level over 7, and no number of more than 15 digits, before 2**53 leaves.
_PATH = re.compile(
    r"tile/(?P<level>[0-7]|entries)"
    r"/(?P<number>(x[0-9]{3}/){0,4}[0-9]{3})(\.p/(?P<width>[1-9][0-9]{0,2}))?"
)


@dataclass(frozen=True, slots=True)
class Tile:
    """Names one tile; ``level`` is ``None`` for a bundle of entries."""

    level: int | None
    number: int
    width: int = WIDTH

    @classmethod
    def parse(cls, path: str) -> "Tile":
        """Read a path like ``tile/0/x001/067.p/5``.

        Raises:
            ProofError: not the one spelling of a tile's path.

        """
        found = _PATH.fullmatch(path)
        if found is None:
            raise ProofError("this is no path of a tile", place=path)
        tile = cls(
            level=None if found["level"] == "entries" else int(found["level"]),
            number=int(found["number"].replace("/", "").replace("x", "")),
            width=int(found["width"] or WIDTH),
        )
        if tile.path != path:
            raise ProofError("a tile's path has one spelling", place=path)
        return tile

    @property
    def path(self) -> str:
        """The tile's path under the log's URL, without a leading slash."""
        digits = str(self.number)
        digits = digits.zfill(-(-len(digits) // 3) * 3)
        *upper, last = (digits[at : at + 3] for at in range(0, len(digits), 3))
        number = "/".join([*(f"x{group}" for group in upper), last])
        kind = "entries" if self.level is None else str(self.level)
        partial = f".p/{self.width}" if self.width < WIDTH else ""
        return f"tile/{kind}/{number}{partial}"


def tiles_of(size: int) -> Iterator[Tile]:
    """Name every tile of hashes of a tree, level by level from the leaves."""
    level = 0
    while size:
        yield from _row(level, size)
        level, size = level + 1, size >> HEIGHT


def bundles_of(size: int) -> Iterator[Tile]:
    """Name every entry bundle of a tree."""
    yield from _row(None, size)


def _row(level: int | None, count: int) -> Iterator[Tile]:
    full, rest = divmod(count, WIDTH)
    for number in range(full):
        yield Tile(level, number)
    if rest:
        yield Tile(level, full, rest)


def encode_bundle(leaves: Iterable[bytes]) -> bytes:
    """Return leaves, each at most ``MAX_LEAF`` bytes, as an entry bundle."""
    return b"".join(struct.pack(">H", len(leaf)) + leaf for leaf in leaves)


def decode_bundle(data: bytes, count: int) -> list[bytes]:
    """Return the leaves of an entry bundle.

    Raises:
        ProofError: it does not hold exactly ``count`` leaves.

    """
    leaves: list[bytes] = []
    at = 0
    while at < len(data):
        end = at + 2 + int.from_bytes(data[at : at + 2])
        if end > len(data):
            raise ProofError("the entry bundle ends inside an entry")
        leaves.append(data[at + 2 : end])
        at = end
    if len(leaves) != count:
        raise ProofError(
            f"the entry bundle holds {len(leaves)} entries instead of {count}"
        )
    return leaves


def tile_reader(read_tile: Callable[[int, int], bytes]) -> HashReader:
    """Return a reader of tree hashes over a reader of tiles by (level, number)."""

    def read(level: int, index: int) -> bytes:
        row, height = divmod(level, HEIGHT)
        number, at = divmod(index << height, WIDTH)
        tile = read_tile(row, number)
        return root_of(split_hashes(tile)[at : at + (1 << height)])

    return read


@dataclass(frozen=True, slots=True)
class TileEdge:
    """The last tile of every level: what is needed to write the next tiles.

    ``rows[level]`` holds the hashes of the level's last tile while it is partial
    (empty when the level ends in a full tile).
    """

    size: int = 0
    rows: tuple[bytes, ...] = ()

    @classmethod
    def load(cls, size: int, read_tile: Callable[[int, int], bytes]) -> "TileEdge":
        """Read the edge of a tree of ``size`` leaves."""
        rows: list[bytes] = []
        count = size
        while count:
            number, width = divmod(count, WIDTH)
            row = read_tile(len(rows), number) if width else b""
            rows.append(row[: width * HASH_SIZE])
            count = number
        return cls(size, tuple(rows))

    def extend(
        self, leaf_hashes: Sequence[bytes]
    ) -> tuple["TileEdge", dict[tuple[int, int], bytes]]:
        """Return the edge after these leaves, and every tile that changed.

        Changed tiles are keyed by (level, number) and hold all their hashes.
        """
        rows = list(self.rows)
        changed: dict[tuple[int, int], bytes] = {}
        added: list[bytes] = list(leaf_hashes)
        count, level = self.size, 0
        while added:
            if level == len(rows):
                rows.append(b"")
            row = rows[level] + b"".join(added)
            added = []
            for number, at in enumerate(range(0, len(row), _FULL), count >> HEIGHT):
                tile = changed[level, number] = row[at : at + _FULL]
                if len(tile) == _FULL:
                    added.append(root_of(split_hashes(tile)))
            rows[level] = row[len(row) - len(row) % _FULL :]
            count, level = count >> HEIGHT, level + 1
        return TileEdge(self.size + len(leaf_hashes), tuple(rows)), changed
