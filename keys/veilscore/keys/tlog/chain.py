"""A node's own chain of events, kept on disk so that a restart continues it.

An event is signed and stored before it is sent and stays *pending* until the log's
proof for it has been checked and stored in its place, as a receipt. What is pending is
sent in order, first of all after a start: the log answers an event that it has already
with its proof again, so a crash between sending and confirming neither breaks the chain
nor doubles an event.

Its tables hold nothing that the log will not hold. Losing them ends the chain: the log
refuses a second event of a number.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from veilscore.keys.errors import LogStoreError
from veilscore.keys.identity import Signer
from veilscore.keys.tlog.database import Database
from veilscore.keys.tlog.events import (
    ActorHead,
    Detail,
    build_event,
    read_event,
    sign_event,
)
from veilscore.keys.tlog.tlog_proof import TlogProof
from veilscore.keys.tlog.tree import split_hashes

_SCHEMA = (
    """CREATE TABLE IF NOT EXISTS head (
        actor TEXT PRIMARY KEY, seq INTEGER NOT NULL, digest BLOB NOT NULL
    ) STRICT""",
    """CREATE TABLE IF NOT EXISTS pending (
        seq INTEGER PRIMARY KEY, leaf BLOB NOT NULL
    ) STRICT""",
    """CREATE TABLE IF NOT EXISTS receipt (
        seq INTEGER PRIMARY KEY, leaf BLOB NOT NULL, idx INTEGER NOT NULL,
        path BLOB NOT NULL, checkpoint TEXT NOT NULL
    ) STRICT""",
)


@dataclass(frozen=True, slots=True)
class OwnEvent:
    """An event that a party has signed, and the log's proof if there is one."""

    leaf: bytes
    proof: TlogProof | None = None


class ActorChain:
    """The events of one party, made one after the other by any of its threads.

    The file may hold other tables: what is written there in one transaction with an
    event is on disk if and only if the event is. Raises LogStoreError if the file
    cannot be used or is another party's.
    """

    def __init__(self, database: Database, signer: Signer, party: str) -> None:
        self._signer = signer
        self._party = party
        self._db = database
        self._check_owner()

    def _check_owner(self) -> None:
        with self._db.transaction():
            for statement in _SCHEMA:
                self._db.run(statement)
        owner = self._db.row((str,), "SELECT actor FROM head")
        if owner not in {None, (self._party,)}:
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
            return [self._put_next(detail, correlation, now_ms) for detail in details]

    def _put_next(self, detail: Detail, correlation: str, now_ms: int) -> bytes:
        row = self._db.row((int, bytes), "SELECT seq, digest FROM head")
        event = build_event(
            detail,
            actor=self._party,
            head=ActorHead(*row) if row else ActorHead(),
            correlation=correlation,
            time_ms=now_ms,
        )
        signed = sign_event(event, self._signer)
        self._db.run(
            "INSERT OR REPLACE INTO head VALUES (?, ?, ?)",
            self._party,
            signed.head.seq,
            signed.head.digest,
        )
        self._db.run("INSERT INTO pending VALUES (?, ?)", event.seq, signed.leaf)
        return signed.leaf

    def pending(self) -> list[bytes]:
        """Return the events without a checked proof, in the order to send them."""
        rows = self._db.rows((bytes,), "SELECT leaf FROM pending ORDER BY seq")
        return [leaf for (leaf,) in rows]

    def confirm(self, proven: Sequence[tuple[bytes, TlogProof]]) -> None:
        """Store the checked proofs of pending events, all or none.

        Raises:
            LogStoreError: an event is not pending, or they may not have been stored.

        """
        with self._db.transaction():
            for leaf, proof in proven:
                self._put_receipt(leaf, proof)

    def _put_receipt(self, leaf: bytes, proof: TlogProof) -> None:
        row = self._db.row((int,), "SELECT seq FROM pending WHERE leaf = ?", leaf)
        if row is None:
            raise LogStoreError(
                "this event is not pending",
                party=self._party,
                place=str(self._db.path),
            )
        (seq,) = row
        self._db.run("DELETE FROM pending WHERE seq = ?", seq)
        self._db.run(
            "INSERT INTO receipt VALUES (?, ?, ?, ?, ?)",
            seq,
            leaf,
            proof.index,
            b"".join(proof.path),
            proof.checkpoint,
        )

    def receipt(self, seq: int) -> OwnEvent | None:
        """Return our event of this number, if the log has proved to hold it."""
        return next(_proven(self._db, "WHERE seq = ?", seq), None)


def read_chain(path: Path) -> list[OwnEvent]:
    """Return all events of the party whose file this is, in their order.

    Reads only, also beside the running party. Raises LogStoreError.
    """
    if not path.is_file():
        raise LogStoreError("there are no events of a party", place=str(path))
    database = Database(path, read_only=True)
    try:
        with database.snapshot():
            rows = database.rows((bytes,), "SELECT leaf FROM pending")
            own = [*_proven(database, ""), *(OwnEvent(leaf) for (leaf,) in rows)]
            return sorted(own, key=lambda each: read_event(each.leaf).event.seq)
    finally:
        database.close()


def _proven(database: Database, which: str, *bound: int) -> Iterator[OwnEvent]:
    columns = "leaf, idx, path, checkpoint"
    types = (bytes, int, bytes, str)
    query = f"SELECT {columns} FROM receipt {which}"  # noqa: S608 - clauses of this module
    for leaf, index, joined, checkpoint in database.rows(types, query, *bound):
        path = tuple(split_hashes(joined))
        yield OwnEvent(leaf, TlogProof(index, path, checkpoint))
