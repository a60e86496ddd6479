"""A node's own chain of events, kept on disk so that a restart continues it.

An event is signed and stored before it is sent and stays *pending* until the log's
proof for it has been checked. What is pending is sent in order, first of all after
a start: the log answers an event that it has already with its proof again, so a
crash between sending and confirming neither breaks the chain nor doubles an event.
That a proof was checked is therefore written down only with the next events, and by
``close``.

Its tables hold nothing that the log will not hold. Losing them ends the chain: the log
refuses a second event of a number.
"""

from collections.abc import Sequence
from contextlib import suppress

from veilscore.keys.errors import LogStoreError
from veilscore.keys.identity import Signer
from veilscore.keys.tlog.database import Database
from veilscore.keys.tlog.events import ActorHead, Detail, build_event, sign_event

_SCHEMA = (
    """CREATE TABLE IF NOT EXISTS head (
        actor TEXT PRIMARY KEY, seq INTEGER NOT NULL, digest BLOB NOT NULL
    ) STRICT""",
    """CREATE TABLE IF NOT EXISTS pending (
        seq INTEGER PRIMARY KEY, leaf BLOB NOT NULL
    ) STRICT""",
)
_MOST_PROVEN = 256  # that are still in the file


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
        self._proven: set[bytes] = set()  # still in the file; guarded by its lock
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
            self._forget_proven()
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

    def close(self) -> None:
        """Write down what was proven; closing the file is its owner's business."""
        with suppress(LogStoreError), self._db.transaction():  # else it is sent again
            self._forget_proven()

    def pending(self) -> list[bytes]:
        """Return the events without a checked proof, in the order to send them."""
        with self._db.lock:
            rows = self._db.rows((bytes,), "SELECT leaf FROM pending ORDER BY seq")
            return [leaf for (leaf,) in rows if leaf not in self._proven]

    def confirm(self, leaf: bytes) -> None:
        """Forget a pending event whose proof was checked.

        Raises:
            LogStoreError: this event is not pending.

        """
        with self._db.lock:
            stored = "SELECT seq FROM pending WHERE leaf = ?"
            if leaf in self._proven or self._db.row((int,), stored, leaf) is None:
                raise LogStoreError(
                    "this event is not pending",
                    party=self._party,
                    place=str(self._db.path),
                )
            self._proven.add(leaf)
            if len(self._proven) >= _MOST_PROVEN:
                with self._db.transaction():
                    self._forget_proven()

    def _forget_proven(self) -> None:
        for leaf in self._proven:
            self._db.run("DELETE FROM pending WHERE leaf = ?", leaf)
        self._db.once_written(self._proven.clear)
