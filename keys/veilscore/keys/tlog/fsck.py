"""Checks the file of a log from end to end: entries, tiles, checkpoints, index.

For the log's own operator, who wonders about a disk; whoever does not trust that
operator audits an export (``audit``). Signatures of events are not verified here: they
were when the events were appended, and their hashes lead to the signed roots.
"""

import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from veilscore.keys.errors import LogStoreError, ProofError
from veilscore.keys.tlog.checkpoint import open_checkpoint
from veilscore.keys.tlog.database import Database
from veilscore.keys.tlog.events import ActorHead, read_event
from veilscore.keys.tlog.note import NoteKey
from veilscore.keys.tlog.search import Progress
from veilscore.keys.tlog.tiles import HEIGHT, WIDTH, TileEdge
from veilscore.keys.tlog.tree import HASH_SIZE, Edge, leaf_hash

_ENTRIES = """SELECT idx, leaf, actor, seq, kind, correlation FROM entry
    WHERE idx >= ? AND idx < ? ORDER BY idx"""
_ENTRY_TYPES = (int, bytes, str, int, str, str)


@dataclass(frozen=True, slots=True)
class FileReport:
    """What a sound file holds."""

    size: int
    root: bytes
    checkpoints: int
    tiles: int


def check_file(
    path: Path, key: NoteKey, progress: Progress = lambda _done, _total: None
) -> FileReport:
    """Check a log's file; reads only, also beside a running coordinator.

    Raises:
        LogStoreError: the file cannot be read, or is not sound; says where.

    """
    if not path.is_file():
        raise LogStoreError("there is no log", place=str(path))
    database = Database(path, read_only=True)
    try:
        with database.snapshot():
            return _Check(database, key).run(progress)
    except ProofError as error:
        raise LogStoreError(
            error.what,
            place=f"{path}, {error.place}" if error.place else str(path),
            remedy="Keep the file as evidence and restore the newest backup.",
        ) from error
    finally:
        database.close()


class _Check:
    """One pass over a file."""

    def __init__(self, database: Database, key: NoteKey) -> None:
        self._db = database
        self._key = key
        self._edge = Edge()
        self._tiles = TileEdge()
        self._tile_count = 0
        self._newest = -1  # size of the last checkpoint
        self._heads: dict[str, ActorHead] = {}

    def run(self, progress: Progress) -> FileReport:
        """Check everything; raises ProofError."""
        if self._db.row((str,), "PRAGMA integrity_check(1)") != ("ok",):
            raise ProofError("SQLite finds the file damaged")
        checkpoints = self._checkpoints()
        count, target = 0, next(checkpoints, None)
        total = self._count("entry")
        for start in range(0, total, WIDTH):
            progress(start, total)
            hashes = self._hashes(start)
            done = 0
            while target is not None and target[0] <= start + len(hashes):
                self._edge = self._edge.extend(hashes[done : target[0] - start])
                done = target[0] - start
                self._compare(*target)
                count, target = count + 1, next(checkpoints, None)
            self._edge = self._edge.extend(hashes[done:])
            self._check_tiles(hashes)
        while target is not None and target[0] == 0:
            self._compare(*target)
            count, target = count + 1, next(checkpoints, None)
        if self._edge.size != total or self._newest != total:
            raise ProofError(f"{self._newest} entries were signed, there are {total}")
        if target is not None:
            raise ProofError(
                f"a checkpoint says {target[0]} entries, there are {total}"
            )
        self._check_last_tiles(total)
        self._check_heads()
        progress(total, total)
        return FileReport(total, self._edge.root(), count, self._tile_count)

    def _checkpoints(self) -> Iterator[tuple[int, bytes]]:
        """Yield (size, root) of every checkpoint, all of them signed."""
        rows = self._db.rows(
            (int, str), "SELECT size, note FROM checkpoint ORDER BY size"
        )
        for size, note in rows:
            try:
                checkpoint = open_checkpoint(note, self._key)
            except ProofError as error:
                error.place = f"checkpoint of {size} entries"
                raise
            if checkpoint.size != size:
                raise ProofError(f"the checkpoint of {size} entries says otherwise")
            yield size, checkpoint.root

    def _compare(self, size: int, root: bytes) -> None:
        self._newest = size
        if self._edge.root() != root:
            raise ProofError(
                "the entries do not lead to the root that was signed",
                place=f"checkpoint of {size} entries",
            )

    def _count(self, table: str) -> int:
        row = self._db.row((int,), f"SELECT count(*) FROM {table}")  # noqa: S608 - a name of this module
        return row[0] if row else 0

    def _hashes(self, start: int) -> list[bytes]:
        """Return the hashes of one bundle's entries, each as the index says it is."""
        rows = self._db.rows(_ENTRY_TYPES, _ENTRIES, start, start + WIDTH)
        hashes: list[bytes] = []
        for due, (index, leaf, *columns) in zip(itertools.count(start), rows):
            try:
                opened = read_event(leaf)
                event = opened.event
                told = [event.actor, event.seq, opened.kind, event.correlation]
                if index != due or columns != told:
                    raise ProofError("the index says something else")  # noqa: TRY301 - placed below
                self._heads.get(event.actor, ActorHead()).check_next(event)
            except ProofError as error:
                error.place = f"entry {due}"
                raise
            self._heads[event.actor] = opened.head
            hashes.append(leaf_hash(leaf))
        return hashes

    def _check_tiles(self, hashes: list[bytes]) -> None:
        self._tiles, changed = self._tiles.extend(hashes)
        for (level, number), data in changed.items():
            if len(data) == WIDTH * HASH_SIZE:
                self._check_tile(level, number, data)

    def _check_last_tiles(self, total: int) -> None:
        for level, row in enumerate(self._tiles.rows):
            if row:
                self._check_tile(level, total >> HEIGHT * (level + 1), row)
        if self._count("tile") != self._tile_count:
            raise ProofError("there are tiles that belong to no entry")

    def _check_tile(self, level: int, number: int, data: bytes) -> None:
        found = self._db.row(
            (bytes,),
            "SELECT data FROM tile WHERE level = ? AND number = ?",
            level,
            number,
        )
        if found != (data,):
            raise ProofError(
                "the tile is not that of the entries", place=f"tile {level}/{number}"
            )
        self._tile_count += 1

    def _check_heads(self) -> None:
        rows = self._db.rows((str, int, bytes), "SELECT name, seq, digest FROM actor")
        if {name: ActorHead(seq, digest) for name, seq, digest in rows} != self._heads:
            raise ProofError("where the actors' chains end is not what the entries say")
