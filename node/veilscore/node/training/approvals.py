"""Which proposed runs this node takes part in: its rules first, then its operator.

A run within the rules waits until the operator has decided, unless the operator has let
runs of its kind begin by themselves. What the operator is shown is what is approved, to
the byte.
"""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, field

from google.protobuf.message import DecodeError

from veilscore.node.errors import (
    AlreadyDecidedError,
    AwaitingApprovalError,
    RefusedError,
    UnknownRunError,
)
from veilscore.node.training import horizontal_policy, policy
from veilscore.node.training.estimate import Estimate, Holding
from veilscore.node.training.horizontal_estimate import Learning, LearningSpeed
from veilscore.node.training.host_speed import HostSpeed
from veilscore.node.training.ledger import RunLedger
from veilscore.node.training.policy import TrainingSettings
from veilscore.node.training.privacy_budget import PrivacyBudget
from veilscore.node.training.surroundings import Surroundings
from veilscore.v1.training_pb2 import RunContract

_MOST_WAITING = 64  # runs, for one operator


@dataclass(frozen=True, slots=True)
class WaitingRun:
    """A run that waits for the operator; ``digest`` is what will be logged.

    ``labelled`` are the node's rows that a horizontal one would learn from, if it may
    from so many.
    """

    contract: RunContract
    digest: bytes
    proposed: float  # seconds since 1970
    estimate: Estimate
    labelled: int = 0


@dataclass(frozen=True, slots=True)
class _Decision:
    digest: bytes  # of the contract that was decided on
    approved: bool
    reason: str


@dataclass(slots=True)
class Approvals:
    """Of one node; the methods for the operator may be called from any thread."""

    settings: TrainingSettings
    ledger: RunLedger
    budget: PrivacyBudget
    speed: Callable[[], HostSpeed]  # measured once
    learning_speed: Callable[[], LearningSpeed]
    _waiting: dict[str, WaitingRun] = field(default_factory=dict[str, WaitingRun])
    _decided: dict[str, _Decision] = field(default_factory=dict[str, _Decision])

    def approved(
        self, run: str, contract_bytes: bytes, around: Surroundings
    ) -> RunContract:
        """Return the contract if rules and operator allow it.

        Raises AwaitingApprovalError, RefusedError or BudgetSpentError.
        """
        try:
            contract = RunContract.FromString(contract_bytes)
        except DecodeError as error:
            raise RefusedError("a contract that cannot be read") from error
        if contract.run != run:
            raise RefusedError("a contract of another run")
        self.ledger.check(contract, around.clock())
        self._check(contract, around)
        digest = hashlib.sha256(contract_bytes).digest()
        decision = self._decided.get(run)
        if decision is not None and not decision.approved:
            raise RefusedError(
                decision.reason or "the operator of this node refused the run"
            )
        if decision is not None and decision.digest != digest:
            raise RefusedError("not the contract that the operator approved")
        if decision is None and self._asks_about(contract):
            self._ask(contract, digest, around)
            raise AwaitingApprovalError("the operator of this node has not decided yet")
        return contract

    def estimate(self, contract: RunContract, around: Surroundings) -> Estimate:
        """Return what a run takes at this node, as far as can be known before it."""
        source = around.source
        if contract.HasField("horizontal"):
            rows = min(horizontal_policy.labelled_rows(source), contract.max_rows)
            return Learning.of(contract, rows).at(self.learning_speed())
        holding = Holding(
            around.party,
            len(source),
            len(source.features),
            around.private_key.public,
        )
        work = holding.work(contract, around.workers.multiplications)
        return work.at(self.speed())

    def told_s(self, contract: RunContract, around: Surroundings) -> int:
        """Return the seconds of work that the coordinator is told a run takes here.

        Of a horizontal run those of the most rows that a member may have: how many
        this one has is for nobody else.
        """
        if contract.HasField("horizontal"):
            most = Learning.of(contract, contract.max_rows)
            return most.at(self.learning_speed()).told_s
        return self.estimate(contract, around).told_s

    def waiting(self) -> list[WaitingRun]:
        """Return the runs that wait for the operator."""
        return [
            waiting
            for run, waiting in self._waiting.items()
            if run not in self._decided
        ]

    def forget(self, run: str) -> None:
        """Show a run no more: it has begun, or it has ended."""
        self._waiting.pop(run, None)

    def decide(self, run: str, *, approved: bool, reason: str = "") -> None:
        """Approve or refuse a waiting run; its reason becomes public in the log.

        Raises UnknownRunError if it does not wait, AlreadyDecidedError if it no
        longer does.
        """
        waiting, before = self._waiting.get(run), self._decided.get(run)
        if waiting is None and before is None:
            raise UnknownRunError(
                "no such run waits for approval",
                remedy="See this node's status for the runs that wait.",
            )
        digest = waiting.digest if waiting else b""
        decision = _Decision(digest, approved, reason)
        if (
            before is not None
            or self._decided.setdefault(run, decision) is not decision
        ):
            said = "approved" if self._decided[run].approved else "refused"
            raise AlreadyDecidedError(
                f"the run was {said} before",
                remedy="Ask the coordinator's operator to stop the run or propose "
                "another.",
            )
        if not approved:
            self._waiting.pop(run, None)

    def _check(self, contract: RunContract, around: Surroundings) -> None:
        policy.check_roster(contract, around.registry)
        own, source, settings = around.party, around.source, self.settings
        if contract.HasField("horizontal"):
            horizontal_policy.check(contract, own, settings, source)
            if contract.horizontal.HasField("privacy"):
                self.budget.check(contract)
        else:
            policy.check(contract, own, settings)
            policy.check_columns(contract, own, settings, len(source.features))

    def _asks_about(self, contract: RunContract) -> bool:
        settings = self.settings
        horizontal = contract.HasField("horizontal")
        said = settings.approve_horizontal if horizontal else settings.approve
        return said == "manual"

    def _ask(self, contract: RunContract, digest: bytes, around: Surroundings) -> None:
        """Show a contract to the operator; what is shown does not change."""
        shown = self._waiting.get(contract.run)
        if shown is None and len(self._waiting) >= _MOST_WAITING:
            raise RefusedError("too many runs wait for the operator of this node")
        if shown is not None and shown.digest != digest:
            raise RefusedError("another contract of this run waits for the operator")
        if shown is None:
            horizontal = contract.HasField("horizontal")
            self._waiting[contract.run] = WaitingRun(
                contract,
                digest,
                around.clock(),
                self.estimate(contract, around),
                horizontal_policy.labelled_rows(around.source) if horizontal else 0,
            )
