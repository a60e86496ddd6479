"""What scoring must remember over a restart, in one SQLite file of the node.

Sequence marks of envelopes, nonces that were answered, the bits that requesters got of
hosted cards, and the openings of the salted
commitments in the log: the log shows a commitment to everybody, its opening stays here
until an auditor asks for it. Openings name entities and are sealed by the keystore.

Everything is on disk when a call returns; LogStoreError if it cannot be.
"""

import hashlib
import secrets
from collections.abc import Iterator, MutableMapping
from pathlib import Path
from typing import Final

from veilscore.keys.errors import ReplayError
from veilscore.keys.keystore import Keystore
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
    """CREATE TABLE IF NOT EXISTS openings (
        query BLOB NOT NULL, name TEXT NOT NULL, sealed BLOB NOT NULL,
        PRIMARY KEY (query, name)
    ) STRICT""",
    """CREATE TABLE IF NOT EXISTS budgets (
        requester TEXT NOT NULL, card TEXT NOT NULL, bits INTEGER NOT NULL,
        PRIMARY KEY (requester, card)
    ) STRICT""",
)
_DOMAIN: Final = b"veilscore-commitment/1\0"
_SALT: Final = 32
# A nonce outlives its deadline by more than a clock is ever set back.
_NONCE_KEPT_S: Final = 7 * 86_400


def commitment(salt: bytes, data: bytes) -> bytes:
    """Return what the log shows of ``data``; ``salt`` is 32 random bytes."""
    return hashlib.sha256(_DOMAIN + salt + data).digest()


class Marks(MutableMapping[str, int]):
    """Sequence marks for ``Sealer`` and ``Opener``."""

    def __init__(self, database: Database) -> None:
        self._db = database

    def __getitem__(self, name: str) -> int:
        """Return a mark; raises KeyError."""
        row = self._db.row((int,), "SELECT seq FROM marks WHERE name = ?", name)
        if row is None:
            raise KeyError(name)
        seq: int = row[0]
        return seq

    def __setitem__(self, name: str, seq: int) -> None:
        """Move a mark."""
        self._db.run("INSERT OR REPLACE INTO marks VALUES (?, ?)", name, seq)

    def __delitem__(self, name: str) -> None:
        """Forget a mark; raises KeyError."""
        if not self._db.run("DELETE FROM marks WHERE name = ?", name):
            raise KeyError(name)

    def __iter__(self) -> Iterator[str]:
        """Iterate over the names."""
        return (name for (name,) in self._db.rows((str,), "SELECT name FROM marks"))

    def __len__(self) -> int:
        """Return the number of marks."""
        return len(self._db.rows((str,), "SELECT name FROM marks"))


class Ledger:
    """The open file; safe to use from any thread."""

    def __init__(self, path: Path, keystore: Keystore) -> None:
        self._keystore = keystore
        self._db = Database(path)
        for statement in _SCHEMA:
            self._db.run(statement)
        self.marks = Marks(self._db)

    def close(self) -> None:
        """Close the file; the object is of no use afterwards."""
        self._db.close()

    def nonce_seen(self, requester: str, nonce: bytes) -> bool:
        """Say whether a query of this requester with this nonce was answered."""
        query = "SELECT 1 FROM nonces WHERE requester = ? AND nonce = ?"
        return self._db.row((int,), query, requester, nonce) is not None

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
                nonce,
                deadline,
            ):
                raise ReplayError("the nonce was used before", party=requester)

    def spent(self, requester: str, card: str) -> int:
        """Return the bits that answers to this requester may have told of a card."""
        query = "SELECT bits FROM budgets WHERE requester = ? AND card = ?"
        row = self._db.row((int,), query, requester, card)
        return 0 if row is None else row[0]

    def spend(self, requester: str, card: str, bits: int, allowed: int) -> None:
        """Charge an answer before it is made; what fails afterwards stays charged.

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

    def commit(self, query: bytes, name: str, data: bytes) -> bytes:
        """Return a salted commitment to ``data`` and keep its opening.

        ``query`` is the digest of the query it concerns.
        """
        salt = secrets.token_bytes(_SALT)
        sealed = self._keystore.seal_at_rest(_place(query, name), salt + data)
        self._db.run("INSERT INTO openings VALUES (?, ?, ?)", query, name, sealed)
        return commitment(salt, data)

    def opening(self, query: bytes, name: str) -> tuple[bytes, bytes] | None:
        """Return salt and data of a commitment, or None if there is none."""
        row = self._db.row(
            (bytes,),
            "SELECT sealed FROM openings WHERE query = ? AND name = ?",
            query,
            name,
        )
        if row is None:
            return None
        opened = self._keystore.open_at_rest(_place(query, name), row[0])
        return opened[:_SALT], opened[_SALT:]


def _place(query: bytes, name: str) -> str:
    return f"opening {name} {query.hex()}"
