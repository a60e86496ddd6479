"""What scoring must remember over a restart, in the file of the node's events.

Sequence marks of envelopes, nonces that were answered, and the bits that requesters got
of hosted cards. Of a nonce only a hash is kept: whoever had it, and the rest of the
query but the id, could try ids until the query's digest in the log fits.

Nonces and bits spent are on disk when a call returns, or with what is written
``together``; LogStoreError if they cannot be.
"""

import hashlib
from collections.abc import Generator
from contextlib import contextmanager, suppress
from typing import Final

from veilscore.keys.errors import LogStoreError, ReplayError
from veilscore.keys.tlog.database import Database
from veilscore.node.errors import BudgetSpentError

_SCHEMA: Final = (
    """CREATE TABLE IF NOT EXISTS marks (
        name TEXT PRIMARY KEY, seq INTEGER NOT NULL
    ) STRICT""",
    """CREATE TABLE IF NOT EXISTS nonces (
        requester TEXT NOT NULL, nonce BLOB NOT NULL, deadline INTEGER NOT NULL,
        PRIMARY KEY (requester, nonce)
    ) STRICT""",
    """CREATE TABLE IF NOT EXISTS budgets (
        requester TEXT NOT NULL, card TEXT NOT NULL, bits INTEGER NOT NULL,
        PRIMARY KEY (requester, card)
    ) STRICT""",
)
_DOMAIN: Final = b"veilscore-nonce/1\0"
_RESERVED: Final = 1000  # sequence numbers at a time
# A nonce outlives its deadline by more than a clock is ever set back.
_NONCE_KEPT_S: Final = 7 * 86_400


class SentMarks:
    """Last sequence numbers used, for ``Sealer``: none is used twice.

    What is on disk is ahead of what was used, so that not every envelope waits for the
    disk; a restart skips the numbers in between.
    """

    def __init__(self, database: Database) -> None:
        self._db = database
        self._used: dict[str, int] = {}
        self._reserved: dict[str, int] = {}

    def get(self, name: str, default: int) -> int:
        """Return the last number used; after a restart some number beyond it."""
        if name not in self._used:
            self._used[name] = self._reserved[name] = _stored(self._db, name, default)
        return self._used[name]

    def __setitem__(self, name: str, seq: int) -> None:
        """Use a number up."""
        if seq > self._reserved.get(name, 0):
            _store(self._db, name, seq + _RESERVED - 1)
            self._reserved[name] = seq + _RESERVED - 1
        self._used[name] = seq


class ReceivedMarks:
    """Last sequence numbers accepted, for ``Opener``.

    On disk with what the ledger next writes ``together``: envelopes that a crash makes
    it accept again hold queries whose nonces are spent or that were refused, which are
    judged anew, or answers that nobody waits for.
    """

    def __init__(self, database: Database) -> None:
        self._db = database
        self._unwritten: dict[str, int] = {}

    def get(self, name: str, default: int) -> int:
        """Return the last number accepted."""
        with self._db.lock:
            if name in self._unwritten:
                return self._unwritten[name]
        return _stored(self._db, name, default)

    def __setitem__(self, name: str, seq: int) -> None:
        """Move a mark."""
        with self._db.lock:
            self._unwritten[name] = seq

    def write(self) -> None:
        """Write all marks; within a transaction, or as one of its own."""
        with self._db.transaction():
            for name, seq in self._unwritten.items():
                _store(self._db, name, seq)
            self._db.once_written(self._unwritten.clear)


def _stored(database: Database, name: str, default: int) -> int:
    row = database.row((int,), "SELECT seq FROM marks WHERE name = ?", name)
    return row[0] if row else default


def _store(database: Database, name: str, seq: int) -> None:
    database.run("INSERT OR REPLACE INTO marks VALUES (?, ?)", name, seq)


class Ledger:
    """Tables of the node's file; safe to use from any thread."""

    def __init__(self, database: Database) -> None:
        self._db = database
        for statement in _SCHEMA:
            self._db.run(statement)
        self.sent = SentMarks(self._db)
        self.received = ReceivedMarks(self._db)

    def close(self) -> None:
        """Write what waits; closing the file is its owner's business."""
        with suppress(LogStoreError):  # as if the power had failed
            self.received.write()

    @contextmanager
    def together(self) -> Generator[None]:
        """Write what the body records at once and whole, or nothing of it.

        That includes the events of a chain in the same file.
        """
        with self._db.transaction():
            self.received.write()
            yield

    def nonce_seen(self, requester: str, nonce: bytes) -> bool:
        """Say whether a query of this requester with this nonce was answered."""
        query = "SELECT 1 FROM nonces WHERE requester = ? AND nonce = ?"
        return self._db.row((int,), query, requester, _hidden(nonce)) is not None

    def spend_nonce(
        self, requester: str, nonce: bytes, deadline: int, now: float
    ) -> None:
        """Use a nonce up, before answering; raises ReplayError if it was used."""
        with self._db.transaction():
            oldest = int(now) - _NONCE_KEPT_S
            self._db.run("DELETE FROM nonces WHERE deadline < ?", oldest)
            if not self._db.run(
                "INSERT OR IGNORE INTO nonces VALUES (?, ?, ?)",
                requester,
                _hidden(nonce),
                deadline,
            ):
                raise ReplayError("the nonce was used before", party=requester)

    def spent(self, requester: str, card: str) -> int:
        """Return the bits that answers to this requester may have told of a card."""
        query = "SELECT bits FROM budgets WHERE requester = ? AND card = ?"
        row = self._db.row((int,), query, requester, card)
        return 0 if row is None else row[0]

    def spend(self, requester: str, card: str, bits: int, allowed: int) -> None:
        """Charge an answer before it leaves; a crash leaves it charged.

        Raises BudgetSpentError, and charges nothing, if more than ``allowed`` bits
        would be spent.
        """
        with self._db.transaction():
            spent = self.spent(requester, card) + bits
            if spent > allowed:
                raise BudgetSpentError(
                    f"{spent} bits of {card} would be spent, {allowed} are allowed",
                    party=requester,
                    remedy="Allow more under budget_bits, or make a new card.",
                )
            self._db.run(
                "INSERT OR REPLACE INTO budgets VALUES (?, ?, ?)",
                requester,
                card,
                spent,
            )

    def refund(self, requester: str, card: str, bits: int) -> None:
        """Take back what was charged for an answer that does not leave."""
        statement = (
            "UPDATE budgets SET bits = bits - ? WHERE requester = ? AND card = ?"
        )
        self._db.run(statement, bits, requester, card)


def _hidden(nonce: bytes) -> bytes:
    return hashlib.sha256(_DOMAIN + nonce).digest()
