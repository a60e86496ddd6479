"""What training must remember over a restart, in one SQLite file of the node.

Which runs this node has joined: each is joined once, however often a coordinator
proposes it. And when rows were placed for which label holder: every run shows the label
holder new sums over the same rows, and the difference of two runs is what changed
between them, so an operator limits their number. A horizontal run shows its sums to all
members and has no label holder; all of them count together, from the first sum.

Everything is on disk when a call returns; LogStoreError if it cannot be.
"""

from pathlib import Path
from typing import Final

from veilscore.keys.tlog.database import Database
from veilscore.node.errors import RefusedError
from veilscore.v1.training_pb2 import RunContract

_SCHEMA: Final = """CREATE TABLE IF NOT EXISTS runs (
    run TEXT PRIMARY KEY, label_holder TEXT NOT NULL, placed REAL
) STRICT"""
_DAY_S: Final = 86_400.0


class RunLedger:
    """The open file; safe to use from any thread. Times are seconds since 1970."""

    def __init__(self, path: Path, runs_a_day: int) -> None:
        self._runs_a_day = runs_a_day
        self._db = Database(path)
        self._db.run(_SCHEMA)

    def close(self) -> None:
        """Close the file; the object is of no use afterwards."""
        self._db.close()

    def check(self, contract: RunContract, now: float) -> None:
        """Raise RefusedError if this run was joined before, or today's number is used.

        A clock that was set back does not give runs back.
        """
        if self._db.row((int,), "SELECT 1 FROM runs WHERE run = ?", contract.run):
            raise RefusedError("this node has joined the run before")
        self._check_day(contract, now)

    def join(self, contract: RunContract) -> None:
        """Use the run's id up."""
        statement = "INSERT INTO runs VALUES (?, ?, NULL)"
        self._db.run(statement, contract.run, contract.label_holder)

    def place(self, contract: RunContract, now: float) -> None:
        """Count a run whose rows are about to be placed, or to be summed.

        Raises RefusedError.
        """
        with self._db.transaction():
            last = self._check_day(contract, now)
            statement = "UPDATE runs SET placed = ? WHERE run = ?"
            self._db.run(statement, max(now, last), contract.run)

    def _check_day(self, contract: RunContract, now: float) -> float:
        """Return when rows were last placed, 0 if never."""
        query = "SELECT placed FROM runs WHERE placed IS NOT NULL ORDER BY placed DESC"
        newest = self._db.row((float,), f"{query} LIMIT 1")
        last: float = newest[0] if newest else 0.0
        query = "SELECT run FROM runs WHERE label_holder = ? AND placed > ?"
        since = max(now, last) - _DAY_S
        placed = self._db.rows((str,), query, contract.label_holder, since)
        if len(placed) >= self._runs_a_day:
            kind = "horizontal runs a day"
            if contract.label_holder:
                kind = "runs a day with one label holder"
            raise RefusedError(
                f"no more than {self._runs_a_day} {kind} are allowed here"
            )
        return last
