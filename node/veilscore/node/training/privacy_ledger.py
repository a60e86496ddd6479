"""What noisy sums over a node's rows have spent of its privacy budget, on disk.

A run is charged whole and once, before its first sum leaves; one that stops early, or
that a restart cuts short, stays charged. Noise of all runs over the same rows composes,
whoever proposed them. There is no clock in it: a budget does not come back with time,
only with other rows. Of what two budgets have in common nothing is known here: whoever
names the same rows differently spends twice.

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
    """The open file; safe to use from any thread."""

    def __init__(self, path: Path, allowed: float, accountant: Accountant) -> None:
        """Allow ``allowed`` epsilon for each set of rows, as ``accountant`` adds up."""
        self._allowed = allowed
        self._accountant = accountant
        self._db = Database(path)
        self._db.run(_SCHEMA)

    def close(self) -> None:
        """Close the file; the object is of no use afterwards."""
        self._db.close()

    def spent(self, rows: str) -> float:
        """Return the epsilon that was spent on the rows of this name, 0 if none."""
        sums = self._sums(rows)
        return self._accountant(sums) if sums else 0.0

    def charge(self, rows: str, run: str, sums: Sequence[NoisySums]) -> float:
        """Charge a run that is about to begin, and return what is spent with it.

        Raises RefusedError for a run that was charged before: it would draw new noise
        for the same sums. Raises BudgetSpentError, and charges nothing, if more than
        the budget would be spent.
        """
        with self._db.transaction():
            if self._db.row((int,), "SELECT 1 FROM noisy_sums WHERE run = ?", run):
                raise RefusedError("the run has spent of the privacy budget before")
            spent = self._accountant([*self._sums(rows), *sums])
            if not spent <= self._allowed:
                raise BudgetSpentError(
                    f"epsilon {spent:.3g} would be spent on these rows, "
                    f"{self._allowed:g} is allowed",
                    remedy="Train on other rows, or with more noise.",
                )
            for each in sums:
                self._db.run(
                    "INSERT INTO noisy_sums VALUES (?, ?, ?, ?)",
                    rows,
                    run,
                    each.noise,
                    each.times,
                )
        return spent

    def _sums(self, rows: str) -> list[NoisySums]:
        query = "SELECT noise, times FROM noisy_sums WHERE rows = ?"
        return [NoisySums(*row) for row in self._db.rows((float, int), query, rows)]
