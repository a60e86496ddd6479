"""What noisy sums over a node's rows have spent of its privacy budget, on disk.

A run is charged whole and once, before its first sum leaves; one that stops early, or
that a restart cuts short, stays charged. Noise of all runs over the same rows composes,
whoever proposed them. There is no clock in it: a budget does not come back with time,
only with other rows. Of what two budgets have in common nothing is known here: whoever
names the same rows differently spends twice.

What is kept are the sums, not what they spent: that is reckoned anew each time, at the
delta that node.toml has then, also of runs before it was changed. A smaller delta can
so leave a budget overdrawn, and nothing more is charged to it; at a larger one the same
sums spend less epsilon. What is said is true of all runs together at any delta.

The sums lie in the file of the node's own log. Whoever restores an older copy of it has
an older log, too, after which the log of all takes no event of this node, and without
an event no sum leaves.

On disk when a call returns; LogStoreError if it cannot be.
"""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final, TypeAlias

from veilscore.keys.tlog.database import Database
from veilscore.models.horizontal.noise_shares import NoisySums
from veilscore.node.errors import BudgetSpentError, RefusedError

_SCHEMA: Final = """CREATE TABLE IF NOT EXISTS noisy_sums (
    rows TEXT NOT NULL, run TEXT NOT NULL, noise REAL NOT NULL, times INTEGER NOT NULL
) STRICT"""

Accountant: TypeAlias = Callable[[Sequence[NoisySums]], float]
"""Returns epsilon of all these sums together, at the budget's delta."""


class PrivacyLedger:
    """In an open file; safe to use from any thread, and by several processes."""

    def __init__(self, database: Database) -> None:
        self._db = database
        self._db.run(_SCHEMA)

    @staticmethod
    def peek(path: Path, rows: str) -> list[NoisySums]:
        """Return the sums in a file that another process may use, or none."""
        database = Database(path, read_only=True)
        try:
            query = "SELECT 1 FROM sqlite_schema WHERE name = 'noisy_sums'"
            return _sums(database, rows) if database.row((int,), query) else []
        finally:
            database.close()

    def sums(self, rows: str) -> list[NoisySums]:
        """Return all sums that the rows of this name were charged for."""
        return _sums(self._db, rows)

    def has(self, run: str) -> bool:
        """Say whether a run was charged."""
        query = "SELECT 1 FROM noisy_sums WHERE run = ?"
        return self._db.row((int,), query, run) is not None

    def charge(
        self,
        rows: str,
        run: str,
        sums: Sequence[NoisySums],
        *,
        allowed: float,
        accountant: Accountant,
    ) -> float:
        """Charge a run that is about to begin, and return what is spent with it.

        Within a transaction of the file it is charged with it. Raises RefusedError for
        a run that was charged before: it would draw new noise for the same sums. Raises
        BudgetSpentError, and charges nothing, if more than ``allowed`` epsilon would be
        spent on the rows.
        """
        with self._db.transaction():
            if self.has(run):
                raise RefusedError("the run has spent of the privacy budget before")
            spent = accountant([*self.sums(rows), *sums])
            if not spent <= allowed:
                raise overdrawn(spent, allowed)
            self._db.run_many(
                "INSERT INTO noisy_sums VALUES (?, ?, ?, ?)",
                [(rows, run, each.noise, each.times) for each in sums],
            )
        return spent


def overdrawn(spent: float, allowed: float) -> BudgetSpentError:
    """Return what is said of a run that would spend more than is allowed."""
    return BudgetSpentError(
        "the run would spend more than is left of this node's privacy budget",
        place=f"[training.privacy] epsilon: {allowed:g}, with this run {spent:.3g}",
        remedy="Train on other rows, or with more noise.",
    )


def _sums(database: Database, rows: str) -> list[NoisySums]:
    query = "SELECT noise, times FROM noisy_sums WHERE rows = ?"
    return [NoisySums(*row) for row in database.rows((float, int), query, rows)]
