"""Writing a log: one SQLite file, one writer.

Entries, tiles and the signed checkpoint over them are committed in one transaction
that is on disk before ``append`` returns (WAL, synchronous=FULL). Within it the
stored size is compared with ours, so a second writer, or a write whose outcome we
do not know, ends in an error and never in two checkpoints of one size. After it, and
before anybody is told of a checkpoint, the guard takes note: an older copy of the file
does not open. A party's own log (``chain``) has no guard, and lies in a file with other
tables: what is written there with an event is on disk if and only if the event is.

A checkpoint is final when it may be shown to everybody: at once, or in a witnessed
log when enough witnesses have cosigned it.

The file holds what auditors may see, and no key.
"""

from collections.abc import Sequence
from pathlib import Path

from veilscore.keys.errors import LogStoreError, ProofError
from veilscore.keys.identity import Signer
from veilscore.keys.tlog.checkpoint import (
    Checkpoint,
    open_checkpoint,
    sign_checkpoint,
)
from veilscore.keys.tlog.database import Database
from veilscore.keys.tlog.events import ActorHead, OpenedEvent
from veilscore.keys.tlog.guard import LogGuard
from veilscore.keys.tlog.note import NoteKey, text_of
from veilscore.keys.tlog.reader import LogReader
from veilscore.keys.tlog.tiles import TileEdge, tile_reader
from veilscore.keys.tlog.tree import EMPTY_ROOT, Edge, leaf_hash

_FORMAT = 2
_SCHEMA = (
    """CREATE TABLE entry (
        idx INTEGER PRIMARY KEY, leaf BLOB NOT NULL, actor TEXT NOT NULL,
        seq INTEGER NOT NULL, kind TEXT NOT NULL, correlation TEXT NOT NULL,
        UNIQUE (actor, seq)
    ) STRICT""",
    """CREATE TABLE tile (
        level INTEGER, number INTEGER, data BLOB NOT NULL,
        PRIMARY KEY (level, number)
    ) STRICT""",
    """CREATE TABLE checkpoint (
        size INTEGER PRIMARY KEY, note TEXT NOT NULL, final INTEGER NOT NULL
    ) STRICT""",
    "CREATE INDEX checkpoint_final ON checkpoint (final, size)",
    """CREATE TABLE actor (
        name TEXT PRIMARY KEY, seq INTEGER NOT NULL, digest BLOB NOT NULL
    ) STRICT""",
    f"PRAGMA user_version = {_FORMAT}",
)
# One for every way in which ``LogReader.entries`` looks, each in the order of the
# answer. A file of this format that lacks one gets it when it is opened.
_INDEXES = (
    "CREATE INDEX IF NOT EXISTS entry_actor ON entry (actor, idx)",
    "CREATE INDEX IF NOT EXISTS entry_actor_kind ON entry (actor, kind, idx)",
    "CREATE INDEX IF NOT EXISTS entry_kind ON entry (kind, idx)",
    "CREATE INDEX IF NOT EXISTS entry_correlation ON entry (correlation, idx)",
)


class LogStore(LogReader):
    """A log in a file: ``create`` it once, ``open`` it afterwards, then ``close``.

    ``guard`` is the path of its guard, ``witnessed`` whether ``finalise`` makes its
    checkpoints final. ``within`` does both for a log without a guard.
    """

    def __init__(
        self,
        database: Database,
        origin: str,
        signer: Signer,
        guard: LogGuard | None,
        *,
        witnessed: bool,
    ) -> None:
        super().__init__(database)
        self.key = NoteKey(origin, signer.verify_key)
        self._signer = signer
        self._guard = guard
        self._guarded = 0  # entries
        self._witnessed = witnessed
        self._edge = Edge()
        self._tiles = TileEdge()

    @classmethod
    def create(
        cls,
        path: Path,
        origin: str,
        signer: Signer,
        *,
        guard: Path,
        witnessed: bool = False,
    ) -> "LogStore":
        """Start an empty log.

        Raises:
            LogStoreError: a file exists or cannot be written.

        """
        if path.exists():
            raise LogStoreError("there is a log already", place=str(path))
        made = LogGuard.create(guard, origin, EMPTY_ROOT)
        store = cls(Database(path), origin, signer, made, witnessed=witnessed)
        try:
            store._begin()
        except LogStoreError:
            store.close()
            raise
        return store

    @classmethod
    def open(
        cls,
        path: Path,
        origin: str,
        signer: Signer,
        *,
        guard: Path,
        witnessed: bool = False,
    ) -> "LogStore":
        """Continue a log.

        Raises:
            LogStoreError: no log, another origin's or key's, its tree does not match
                its checkpoint, or it is older than its guard says.

        """
        if not path.is_file():
            raise LogStoreError(
                "there is no log",
                place=str(path),
                remedy="Restore the file; starting a new log would fork the old one.",
            )
        opened = LogGuard.open(guard, origin)
        store = cls(Database(path), origin, signer, opened, witnessed=witnessed)
        try:
            store._continue()
        except LogStoreError:
            store.close()
            raise
        return store

    @classmethod
    def within(cls, database: Database, origin: str, signer: Signer) -> "LogStore":
        """Begin or continue a log beside other tables; ``database`` is its owner's.

        Raises:
            LogStoreError: another origin's or key's, or its tree does not match its
                checkpoint.

        """
        store = cls(database, origin, signer, None, witnessed=False)
        if store._format() == 0:
            store._begin()
        store._continue()
        return store

    def _begin(self) -> None:
        with self._db.transaction():
            for statement in (*_SCHEMA, *_INDEXES):
                self._db.run(statement)
            empty = Checkpoint(self.key.name, 0, EMPTY_ROOT)
            self._put_checkpoint(empty, final=True)

    def _continue(self) -> None:
        try:
            self._load()
            if self._guard is not None:
                self._compare_with_guard(self._guard)
            for statement in _INDEXES:
                self._db.run(statement)
        except (LogStoreError, ProofError) as error:
            raise LogStoreError(
                error.what,
                place=error.place or str(self._db.path),
                remedy=error.remedy
                or "Keep the file as evidence and restore the newest backup.",
            ) from error

    def _format(self) -> int:
        row = self._db.row((int,), "PRAGMA user_version")
        return row[0] if row else 0

    def _load(self) -> None:
        """Read the right edge, which must lead to the root that was signed."""
        if self._format() != _FORMAT:
            raise LogStoreError(f"this is not a log of format {_FORMAT}")
        checkpoint = open_checkpoint(self.signed(), self.key)
        size = checkpoint.size
        self._tiles = TileEdge.load(size, self._read_tile)
        self._edge = Edge.load(size, tile_reader(self._read_tile))
        entries = self._db.row((int,), "SELECT coalesce(max(idx) + 1, 0) FROM entry")
        if self._edge.root() != checkpoint.root or entries != (size,):
            raise LogStoreError(f"the tree is not that of the checkpoint ({size})")

    def _compare_with_guard(self, guard: LogGuard) -> None:
        size, root = guard.head()
        if size > self.size:
            raise LogStoreError(
                f"the log holds {self.size} entries, and held {size} before"
            )
        then = Edge.load(size, tile_reader(self._read_tile))
        if then.root() != root:
            raise LogStoreError(f"the log held {size} other entries before")
        self._guarded = size

    def close(self) -> None:
        """Close both files; the object is of no use afterwards."""
        super().close()
        if self._guard is not None:
            self._guard.close()

    @property
    def size(self) -> int:
        """Number of entries."""
        with self._db.lock:  # else of a transaction that may yet fail
            return self._edge.size

    def append(self, events: Sequence[OpenedEvent]) -> range:
        """Append verified events and sign a checkpoint; return their indices.

        Raises:
            ProofError: an event that does not continue its actor's chain.
            LogStoreError: not written, or another process wrote. Or written, but not
                noted by the guard: nobody is told that the events are in the log
                until it is.

        """
        hashes = [leaf_hash(opened.leaf) for opened in events]
        with self._db.lock:
            self._settle()
            before = self._edge, self._tiles
            edge = self._edge.extend(hashes)
            tiles, changed = self._tiles.extend(hashes)
            indices = range(self.size, edge.size)
            with self._db.transaction():
                # Here, because what is undone may be more than this call.
                self._db.if_undone(lambda: self._stand_at(*before))
                self._check_sole_writer()
                self._put_entries(events)
                self._db.run_many(
                    "INSERT OR REPLACE INTO tile VALUES (?, ?, ?)",
                    [(*where, data) for where, data in changed.items()],
                )
                head = Checkpoint(self.key.name, edge.size, edge.root())
                self._put_checkpoint(head, final=not self._witnessed)
                self._stand_at(edge, tiles)
            self._settle()
        return indices

    def _stand_at(self, edge: Edge, tiles: TileEdge) -> None:
        self._edge, self._tiles = edge, tiles

    def _checkpoint(self, which: str, *bound: int) -> tuple[int, str]:
        self._settle()  # after a crash or an error it may be behind
        return super()._checkpoint(which, *bound)

    def _settle(self) -> None:
        """Let the guard note how far the log has come; nobody is told before."""
        if self._guard is None:
            return
        with self._db.lock:
            if self._guarded < self.size:
                self._guard.advance(self._guarded, self.size, self._edge.root())
                self._guarded = self.size

    def finalise(self, note: str) -> None:
        """Keep a checkpoint of this log as witnesses cosigned it, and show it.

        Raises:
            LogStoreError: the log signed no such checkpoint.

        """
        size = open_checkpoint(note, self.key).size
        with self._db.transaction():
            row = self._db.row(
                (str,), "SELECT note FROM checkpoint WHERE size = ?", size
            )
            if row is None or text_of(row[0]) != text_of(note):
                raise LogStoreError(
                    f"the log signed no such checkpoint of {size} entries",
                    place=str(self._db.path),
                )
            self._db.run(
                "UPDATE checkpoint SET note = ?, final = 1 WHERE size = ?", note, size
            )

    def _check_sole_writer(self) -> None:
        stored = self._db.row((int,), "SELECT max(size) FROM checkpoint")
        if stored != (self.size,):
            raise LogStoreError(
                f"the log is not as this process left it after {self.size} entries",
                place=str(self._db.path),
                remedy="Let no other process write to this log, and restart.",
            )

    def _put_entries(self, events: Sequence[OpenedEvent]) -> None:
        heads: dict[str, ActorHead] = {}
        rows: list[tuple[int, bytes, str, int, str, str]] = []
        for index, opened in enumerate(events, self.size):
            event, leaf = opened.event, opened.leaf
            actor, seq, correlation = event.actor, event.seq, event.correlation
            head = heads[actor] if actor in heads else self.head(actor)
            head.check_next(event)
            heads[actor] = opened.head
            rows.append((index, leaf, actor, seq, opened.kind, correlation))
        self._db.run_many("INSERT INTO entry VALUES (?, ?, ?, ?, ?, ?)", rows)
        self._db.run_many(
            "INSERT OR REPLACE INTO actor VALUES (?, ?, ?)",
            [(actor, head.seq, head.digest) for actor, head in heads.items()],
        )

    def _put_checkpoint(self, checkpoint: Checkpoint, *, final: bool) -> None:
        note = sign_checkpoint(checkpoint, self._signer)
        self._db.run(
            "INSERT INTO checkpoint VALUES (?, ?, ?)", checkpoint.size, note, int(final)
        )
