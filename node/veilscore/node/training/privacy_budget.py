"""A node's privacy budget: what runs with noise may tell of one of its rows in all.

Why no more leaves than is charged. A run is charged for all of its sums at once, when
its step ``bins`` is asked for, in one transaction with the event that says so. The step
begins only when the log of all has proved that it holds the event, and no step before
sends a sum. So

- a crash before the transaction ends leaves nothing charged and nothing sent; a later
  one leaves a run that is charged and sends no more, as a restarted node has left it;
- the same run again is refused, by the ledger of runs and by this one; its contract
  under another run id is another run, draws other noise, and is charged as well;
- two processes charge one file one after the other, each after what the other charged;
- no clock is read.

An operator sees before a run begins what it would spend. Nobody else does: the event
holds what all runs have spent, for every auditor to read.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

from veilscore.keys.tlog.database import Database
from veilscore.models.horizontal.noise_shares import NoisySums, sums_of
from veilscore.node.errors import MissingExtraError, RefusedError
from veilscore.node.log.receipts import Receipts
from veilscore.node.training.horizontal_policy import trained_with
from veilscore.node.training.policy import PrivacySettings
from veilscore.node.training.privacy_ledger import PrivacyLedger, overdrawn
from veilscore.v1.audit_pb2 import PrivacySpent
from veilscore.v1.training_pb2 import RunContract

_MOST_EPSILON: Final = 50.0  # more than any budget
_LEAST: Final = 1e-12  # noise of a million deviations; more counts for as much


@dataclass(frozen=True, slots=True)
class Cost:
    """What a run would spend, and what would be spent with it; epsilon."""

    alone: float
    after: float


class PrivacyBudget:
    """Of one node. Without ``settings`` it has none, and takes part in no such run."""

    def __init__(
        self,
        party: str,
        settings: PrivacySettings | None,
        database: Database,
        receipts: Receipts,
    ) -> None:
        """Keep what is spent in ``database``, the file of ``receipts``' own log."""
        self.settings = settings
        self._party = party
        self._db = database
        self._ledger = PrivacyLedger(database)
        self._receipts = receipts

    def spent(self) -> float:
        """Return the epsilon that runs over the rows in force have spent.

        Raises MissingExtraError if it cannot be reckoned.
        """
        settings = self._settings()
        return epsilon(self._ledger.sums(settings.rows), settings.delta)

    def cost(self, contract: RunContract) -> Cost:
        """Return what a run with noise would spend if it began now.

        Raises RefusedError if there is no budget, or the run is not one with noise.
        """
        settings, sums = self._settings(), self._sums(contract)
        before = self._ledger.sums(settings.rows)
        return Cost(
            epsilon(sums, settings.delta), epsilon([*before, *sums], settings.delta)
        )

    def check(self, contract: RunContract) -> None:
        """Raise what ``spend`` would, as things stand; nothing is charged."""
        settings, cost = self._settings(), self.cost(contract)
        if not cost.after <= settings.epsilon:
            raise overdrawn(cost.after, settings.epsilon)

    def spend(self, contract: RunContract) -> None:
        """Charge a run whole, and have the log prove that it was; then it may begin.

        Raises RefusedError for a run that was charged before, BudgetSpentError if less
        is left than it takes, and what ``Receipts.record`` does.
        """
        settings, sums = self._settings(), self._sums(contract)

        def accountant(of: Sequence[NoisySums]) -> float:
            return epsilon(of, settings.delta)

        with self._db.transaction():
            spent = self._ledger.charge(
                settings.rows,
                contract.run,
                sums,
                allowed=settings.epsilon,
                accountant=accountant,
            )
            told = PrivacySpent(epsilon=spent, delta=settings.delta)
            leaf = self._receipts.write(told, correlation=contract.run)
        self._receipts.prove(leaf)

    def _settings(self) -> PrivacySettings:
        if self.settings is None:
            raise RefusedError(
                "this node has no privacy budget for a run with noise",
                party=self._party,
                place="[training.privacy] of node.toml",
                remedy="Set `epsilon` and `delta` of all runs over this node's rows "
                "together, and restart the node.",
            )
        return self.settings

    def _sums(self, contract: RunContract) -> Sequence[NoisySums]:
        return sums_of(trained_with(contract, self._party))


def epsilon(sums: Sequence[NoisySums], delta: float) -> float:
    """Return the epsilon at which all these sums together are private.

    Normal noise of several sums is exactly that of one, of deviation c where 1/c^2 is
    the sum of theirs, also if later sums depend on earlier ones (Gaussian differential
    privacy: Dong, Roth and Su 2022). So the accountant reckons one sum, however many
    there were. Infinite beyond what any budget allows. Raises MissingExtraError.
    """
    if not sums:
        return 0.0
    return _of_one(sum(each.times / each.noise / each.noise for each in sums), delta)


@lru_cache(maxsize=256)  # a status page asks every few seconds
def _of_one(squared: float, delta: float) -> float:
    # With a loss of this much at the middle delta is over .5, at any less epsilon.
    if not squared / 2 <= _MOST_EPSILON:
        return math.inf
    try:
        from veilscore.models.horizontal import accounting  # noqa: PLC0415 - an extra
    except ImportError as error:
        raise MissingExtraError(
            "this node cannot reckon what a run with noise spends",
            place="Python package dp-accounting",
            remedy="Install it, `pip install 'veilscore[dp]'`, and restart the node.",
        ) from error
    noise = max(squared, _LEAST) ** -0.5
    return accounting.epsilon([NoisySums(noise, 1)], delta)
