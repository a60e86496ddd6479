"""A party's own log: its events, in a Merkle tree that it signs, and their receipts.

It is a log like the one of all parties, of this party's events alone: event ``seq`` is
entry ``seq - 1``. An event is signed and stored before it is sent and stays *pending*
until the common log's proof for it has been checked and stored beside it, as a receipt.
What is pending is sent in order, first of all after a start: the common log answers an
event that it has already with its proof again, so a crash between sending and
confirming neither breaks the chain nor doubles an event.

The file holds nothing that the common log will not hold. Losing it ends the chain: the
common log refuses a second event of a number.
"""

from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from veilscore.keys.errors import LogStoreError
from veilscore.keys.identity import Signer
from veilscore.keys.tlog.checkpoint import open_checkpoint
from veilscore.keys.tlog.database import Database
from veilscore.keys.tlog.events import (
    Detail,
    OpenedEvent,
    build_event,
    sign_event,
)
from veilscore.keys.tlog.export import local_files
from veilscore.keys.tlog.note import NoteKey
from veilscore.keys.tlog.origin import own_origin
from veilscore.keys.tlog.reader import LogReader
from veilscore.keys.tlog.store import LogStore
from veilscore.keys.tlog.tiles import WIDTH
from veilscore.keys.tlog.tlog_proof import TlogProof
from veilscore.keys.tlog.tree import split_hashes

_SCHEMA = (
    """CREATE TABLE IF NOT EXISTS receipt (
        idx INTEGER PRIMARY KEY, place INTEGER NOT NULL, path BLOB NOT NULL,
        checkpoint TEXT NOT NULL
    ) STRICT""",
    # Which entries have none yet: few, and asked for with every event.
    "CREATE TABLE IF NOT EXISTS awaited (idx INTEGER PRIMARY KEY) STRICT",
    # Whose log the file holds.
    "CREATE TABLE IF NOT EXISTS owner (vkey TEXT PRIMARY KEY) STRICT",
)
# One query, for a receipt may come between two.
_EVENTS = """SELECT leaf, coalesce(place, 0), coalesce(path, x''),
    coalesce(checkpoint, '') FROM entry LEFT JOIN receipt USING (idx)
    WHERE entry.idx >= ? AND entry.idx < ? ORDER BY entry.idx"""
_AWAITED = """SELECT idx, leaf FROM awaited JOIN entry USING (idx)
    ORDER BY awaited.idx"""


@dataclass(frozen=True, slots=True)
class OwnEvent:
    """An event that a party has signed, and the common log's proof if there is one."""

    leaf: bytes
    proof: TlogProof | None = None


# Returns the events from one index to before another, in their order.
ReadEvents = Callable[[int, int], Sequence[OwnEvent]]


def events_between(read: ReadEvents, start: int, end: int) -> Iterator[OwnEvent]:
    """Yield the events from one index to before another, read some at a time."""
    for first in range(start, end, WIDTH):
        yield from read(first, min(first + WIDTH, end))


@dataclass(frozen=True, slots=True)
class OwnFile:
    """A party's file while it is read: its events, and its log's checkpoint."""

    read: ReadEvents
    size: int  # events
    checkpoint: str


class ActorChain:
    """The events of one party, made one after the other by any of its threads.

    The file may hold other tables: what is written there in one transaction with an
    event is on disk if and only if the event is. ``log`` reads the tree. Raises
    LogStoreError if the file cannot be used or is another party's.
    """

    def __init__(self, database: Database, signer: Signer, party: str) -> None:
        self._signer = signer
        self._party = party
        self._db = database
        key = NoteKey(own_origin(party, signer.verify_key), signer.verify_key)
        with database.transaction():
            self._check_owner(key)
            self.log = LogStore.within(database, key.name, signer)

    def _check_owner(self, key: NoteKey) -> None:
        """Make our tables where there are none yet, and see whose there are."""
        if _has(self._db, "pending"):
            raise LogStoreError(
                "the file is of an earlier version, whose events were in no tree",
                party=self._party,
                place=str(self._db.path),
                remedy="A federation of before must be made anew: see CHANGELOG.md.",
            )
        for statement in _SCHEMA:
            self._db.run(statement)
        owner = self._db.row((str,), "SELECT vkey FROM owner")
        if owner is None:
            self._db.run("INSERT INTO owner VALUES (?)", key.vkey)
        elif owner != (key.vkey,):
            raise LogStoreError(
                "the file holds the events of another party",
                party=self._party,
                place=str(self._db.path),
                remedy="Give every party a directory of its own.",
            )

    def extend(
        self, details: Sequence[Detail], correlation: str, now_ms: int
    ) -> list[bytes]:
        """Sign and store our next events, now pending, and return them for sending.

        Raises:
            ProofError: an event is too large for a leaf; then none is stored.
            LogStoreError: they may not have been stored; ``pending`` tells.

        """
        with self._db.transaction():
            head = self.log.head(self._party)
            signed: list[OpenedEvent] = []
            for detail in details:
                event = build_event(
                    detail,
                    actor=self._party,
                    head=head,
                    correlation=correlation,
                    time_ms=now_ms,
                )
                signed.append(sign_event(event, self._signer))
                head = signed[-1].head
            indices = self.log.append(signed)
            self._db.run_many(
                "INSERT INTO awaited VALUES (?)", [(index,) for index in indices]
            )
        return [opened.leaf for opened in signed]

    @property
    def has_receipts(self) -> bool:
        """Whether an event without a receipt has none: always, here."""
        return True

    def head(self) -> tuple[int, bytes]:
        """Return the size and root of our log, within a transaction or of the disk."""
        checkpoint = open_checkpoint(self.log.signed(), self.log.key)
        return checkpoint.size, checkpoint.root

    def root(self, size: int) -> bytes:
        """Return the root of our first ``size`` events; raises ProofError."""
        return self.log.root(size)

    def pending(self) -> list[bytes]:
        """Return the events without a checked proof, in the order to send them."""
        return [leaf for _, leaf in self._awaited()]

    def confirm(self, proven: Sequence[tuple[bytes, TlogProof]]) -> None:
        """Store the checked proofs of pending events, all or none.

        Raises:
            LogStoreError: an event is not pending, or they may not have been stored.

        """
        with self._db.transaction():
            awaited = {leaf: index for index, leaf in self._awaited()}
            for leaf, proof in proven:
                index = awaited.pop(leaf, None)
                if index is None:
                    raise LogStoreError(
                        "this event is not pending",
                        party=self._party,
                        place=str(self._db.path),
                    )
                self._db.run("DELETE FROM awaited WHERE idx = ?", index)
                self._db.run(
                    "INSERT INTO receipt VALUES (?, ?, ?, ?)",
                    index,
                    proof.index,
                    b"".join(proof.path),
                    proof.checkpoint,
                )

    def _awaited(self) -> list[tuple[int, bytes]]:
        found = self._db.rows((int, bytes), _AWAITED)
        return [(index, leaf) for index, leaf in found]

    def event(self, seq: int) -> OwnEvent | None:
        """Return our event of this number."""
        if not 0 < seq <= self.log.size:
            return None
        return next(iter(_events(self._db, seq - 1, seq)), None)

    def receipt(self, seq: int) -> OwnEvent | None:
        """Return our event of this number, if the common log has proved to hold it."""
        found = self.event(seq)
        return found if found and found.proof else None

    def after(self, seq: int) -> Iterator[OwnEvent]:
        """Yield our events of larger numbers that there are now, in their order."""
        return events_between(partial(_events, self._db), seq, self.log.size)

    def first_about(self, correlation: str) -> int:
        """Return the number of our first event about a run or request; 0: none."""
        query = "SELECT coalesce(min(seq), 0) FROM entry WHERE correlation = ?"
        row = self._db.row((int,), query, correlation)
        return row[0] if row else 0


@contextmanager
def open_own(path: Path) -> Generator[OwnFile]:
    """Open the file of a party's events.

    Reads one state of the file, also beside the running party. Raises LogStoreError.
    """
    with _reading(path) as database:
        count = database.row((int,), "SELECT count(*) FROM entry")
        note = LogReader(database).checkpoint()
        yield OwnFile(partial(_events, database), count[0] if count else 0, note)


def own_key(path: Path) -> NoteKey:
    """Return the verifier key of the own log in a party's file, by the file's word.

    Raises LogStoreError if there is none.
    """
    with _reading(path) as database:
        row = database.row((str,), "SELECT vkey FROM owner")
        if row is None:
            raise LogStoreError("there are no events of a party", place=str(path))
        return NoteKey.parse(row[0])


@contextmanager
def own_files(path: Path) -> Generator[Callable[[str], bytes]]:
    """Open a party's file; yields what gets the files of an export by their names.

    Reads one state of the file, also beside the running party. Raises LogStoreError.
    """
    key = own_key(path)
    with _reading(path) as database:
        yield local_files(LogReader(database), key)


@contextmanager
def _reading(path: Path) -> Generator[Database]:
    if not path.is_file():
        raise LogStoreError("there are no events of a party", place=str(path))
    database = Database(path, read_only=True)
    try:
        with database.snapshot():
            yield database
    finally:
        database.close()


def _events(database: Database, start: int, end: int) -> list[OwnEvent]:
    """Return the events from one index to before another, in their order."""
    rows = database.rows((bytes, int, bytes, str), _EVENTS, start, end)
    return [
        OwnEvent(
            leaf,
            TlogProof(place, tuple(split_hashes(path)), note) if note else None,
        )
        for leaf, place, path, note in rows
    ]


def _has(database: Database, table: str) -> bool:
    query = "SELECT name FROM sqlite_master WHERE type = 'table' AND name = ?"
    return database.row((str,), query, table) is not None
