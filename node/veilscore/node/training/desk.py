"""The training desk: what the coordinator may ask of this node in a run.

Flower brings one message a step; the hub brings envelopes of other parties. The desk
keeps one run at a time, of those that rules and operator allow (``approvals``), charges
it before its first sum leaves, and puts a signed event into the log for everything it
agrees to and finishes.

Tells the coordinator only what ``StepReport`` holds, with an estimate of the work. Why
something failed stays here, in the log file and, until the next run or start, on the
status page; the coordinator gets a stable code.
"""

import hashlib
import logging
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache

from google.protobuf.message import DecodeError

from veilscore.fault import Fault
from veilscore.keys.errors import MisconductError
from veilscore.keys.linkage import size_bucket
from veilscore.node.errors import (
    AwaitingApprovalError,
    BudgetSpentError,
    RefusedError,
    TrainingError,
)
from veilscore.node.log.incidents import Incidents
from veilscore.node.log.receipts import Receipts
from veilscore.node.shelf import Shelf
from veilscore.node.training.approvals import Approvals
from veilscore.node.training.horizontal_estimate import LearningSpeed
from veilscore.node.training.host_speed import HostSpeed
from veilscore.node.training.ledger import RunLedger
from veilscore.node.training.policy import TrainingSettings
from veilscore.node.training.privacy_budget import PrivacyBudget
from veilscore.node.training.session import RunSession
from veilscore.node.training.surroundings import Surroundings
from veilscore.runtime.errors import PeerLostError
from veilscore.v1.audit_pb2 import (
    KeyPublished,
    ModelRegistered,
    RunDecided,
    StepDone,
)
from veilscore.v1.hub_pb2 import NoticeKind
from veilscore.v1.training_pb2 import RunContract, StepReport, StepRequest

LOG = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class RunProgress:
    """Where the node stands in its current or last run."""

    contract: RunContract
    step: str
    done: int
    total: int
    started: float  # seconds since 1970
    finished: bool  # with a model or without


@dataclass(frozen=True, slots=True)
class StoppedRun:
    """A run that this node will make no model in, and why."""

    run: str
    step: str
    fault: Fault
    at: float  # seconds since 1970


@dataclass(slots=True)
class TrainingDesk:
    """One node's training, for any number of runs, one at a time."""

    settings: TrainingSettings
    surroundings: Callable[[], Surroundings]
    shelf: Shelf
    ledger: RunLedger
    receipts: Receipts
    notify: Callable[[NoticeKind.ValueType, str, str], None]
    speed: Callable[[], HostSpeed]  # measured once
    budget: PrivacyBudget
    incidents: Incidents
    clock: Callable[[], float] = time.time
    approvals: Approvals = field(init=False)
    _turn: threading.Lock = field(default_factory=threading.Lock)
    _session: RunSession | None = None
    _stopped: StoppedRun | None = None

    def __post_init__(self) -> None:
        """Begin without a run that waits."""
        self.approvals = Approvals(
            self.settings,
            self.ledger,
            self.budget,
            self.speed,
            cache(LearningSpeed.measure),
        )

    # -- asked by the coordinator, through Flower --------------------------------

    def handle(self, run: str, step: str, payload: bytes, message_id: str) -> bytes:
        """Answer one step; raises a Fault, of which only the code leaves."""
        with self._turn:
            try:
                request = StepRequest.FromString(payload)
            except DecodeError as error:
                raise RefusedError("a step request that cannot be read") from error
            try:
                if step == "join":
                    report = self._join(run, request.contract)
                else:
                    report = self._perform(run, step, request.manifest, message_id)
            except AwaitingApprovalError:
                raise
            except Exception as error:
                self._stop(run, step, error)
                raise
            finally:
                self._forget()
                self._wake_coordinator(run, step)
            return report.SerializeToString()

    def _stop(self, run: str, step: str, error: Exception) -> None:
        fault = (
            error
            if isinstance(error, Fault)
            else TrainingError(  # without the error's text, which may hold ids
                f"{type(error).__name__}, which nobody foresaw",
                remedy="Report it, with what this node's log file says.",
            )
        )
        LOG.warning("run %s, step %s: %s", run, step, fault)
        self._stopped = StoppedRun(run, step, fault, self.clock())

    def _forget(self) -> None:
        """Drop keys and rows of a run that is over; in the turn of a step only."""
        if self._session is not None and self._is_over(self._session):
            self._session.forget()

    def _wake_coordinator(self, run: str, step: str) -> None:
        try:
            self.notify(NoticeKind.NOTICE_KIND_STEP_DONE, run, step)
        except Fault as fault:  # the coordinator polls anyway, only later
            LOG.info("could not announce step %s: %s", step, fault)

    def _join(self, run: str, contract_bytes: bytes) -> StepReport:
        if session := self._joined(contract_bytes):
            return self._report_join(session)
        around = self.surroundings()
        digest = hashlib.sha256(contract_bytes).digest()
        try:
            contract = self.approvals.approved(run, contract_bytes, around)
        except (RefusedError, BudgetSpentError) as refused:
            decided = RunDecided(contract=digest, approved=False, reason=refused.what)
            self.receipts.record(decided, correlation=run)
            raise
        session = RunSession(around, contract, contract_bytes)
        report = self._report_join(session)
        if self._session is not None:
            self._session.mailbox.end("another run was started")
        self.ledger.join(contract)
        self._session, self._stopped = session, None
        self.approvals.forget(run)
        self.receipts.record(
            RunDecided(contract=digest, approved=True), correlation=run
        )
        signed = session.join()
        published = KeyPublished(
            purpose=f"run:{run}",
            digest=hashlib.sha256(signed.body).digest(),
            paillier_bits=around.private_key.public.bits,
        )
        self.receipts.record(published, correlation=run)
        return report

    def _joined(self, contract_bytes: bytes) -> RunSession | None:
        """Return the run under way if it is this: its answer was lost, asked again."""
        session = self._session
        if (
            session is not None
            and session.contract_bytes == contract_bytes
            and session.step == "join"
            and not self._is_over(session)
        ):
            return session
        return None

    def _report_join(self, session: RunSession) -> StepReport:
        told_s = self.approvals.told_s(session.contract, session.around)
        return StepReport(estimated_s=told_s)

    def _perform(
        self, run: str, step: str, manifest: bytes, message_id: str
    ) -> StepReport:
        session = self._session
        if session is None or session.contract.run != run:
            raise RefusedError("this node has not joined the run")
        self._pay(session, step)
        try:
            report = session.perform(step, manifest)
        except MisconductError as misconduct:
            self._tell(session, misconduct)
            raise
        if session.finished is not None:
            self._keep(session)
        rows = session.rows
        done = StepDone(
            step=step,
            sent=report.sent,
            bytes_bucket=report.bytes_bucket,
            rows_bucket=size_bucket(rows) if rows else 0,
            flower_message=message_id,
            sums=session.sums,
        )
        self.receipts.record(done, correlation=run)
        return report

    def _pay(self, session: RunSession, step: str) -> None:
        """Count a run, and charge it whole, before it says anything about rows."""
        contract = session.contract
        horizontal = contract.HasField("horizontal")
        if step != ("bins" if horizontal else "rows"):
            return
        if self._is_over(session):
            raise RefusedError("the run is over at this node")
        self.ledger.place(contract, self.clock())
        if contract.horizontal.HasField("privacy"):
            self.budget.spend(contract)

    def _tell(self, session: RunSession, misconduct: MisconductError) -> None:
        """Keep what shows a breach of secure aggregation, and have it told."""
        try:
            digest = hashlib.sha256(session.contract_bytes).digest()
            self.incidents.misconduct(
                misconduct, session.contract, digest, session.around.registry
            )
        except Fault as fault:  # the misconduct is what ends the run
            LOG.warning("an incident could not be kept or told: %s", fault)

    def _keep(self, session: RunSession) -> None:
        finished = session.finished
        if finished is None:
            return
        model = self.shelf.put(
            finished.manifest,
            finished.card,
            now=session.around.clock(),
            evaluation=finished.evaluation,
        )
        registered = ModelRegistered(model=model.hash, manifest=finished.manifest)
        self.receipts.record(registered, correlation=session.contract.run)

    # -- told by the hub ---------------------------------------------------------

    def on_envelope(self, run: str, data: bytes) -> None:
        """Take an envelope of a run; a bad one is noted and dropped."""
        session = self._session
        if session is None or session.contract.run != run:
            LOG.warning("dropped an envelope of a run this node has not joined")
            return
        try:
            session.receive(data)
        except Fault as fault:
            LOG.warning("dropped an envelope of run %s: %s", run, fault)

    def on_lost(self, party: str, reason: str) -> None:
        """Stop waiting for a party that is gone, or for all: its hub forgot the run."""
        session = self._session
        if session is None or party not in session.parties:
            return
        session.mailbox.lose(party, reason)
        if party == session.around.coordinator:
            fault = PeerLostError(
                f"was lost during the run: {reason}",
                party=party,
                remedy="Start the run again.",
            )
            self._end(session, "the coordinator was lost", fault)

    def on_run_ended(self, run: str) -> None:
        """Stop waiting: the coordinator has ended the run."""
        self.approvals.forget(run)
        session = self._session
        if session is None or session.contract.run != run:
            return
        fault = TrainingError(
            "the coordinator ended the run",
            party=session.around.coordinator,
            remedy="Look the run up in the audit log; its last event says why.",
        )
        self._end(session, "the coordinator ended it", fault)

    def _end(self, session: RunSession, reason: str, fault: Fault) -> None:
        session.mailbox.end(reason)
        if not self._is_over(session):
            self._stop(session.contract.run, session.step, fault)
        # A step under way forgets at its end; a callback must not wait for it.
        if self._turn.acquire(blocking=False):
            try:
                self._forget()
            finally:
                self._turn.release()

    # -- asked by the operator ---------------------------------------------------

    def progress(self) -> RunProgress | None:
        """Return where the current or last run stands."""
        session = self._session
        if session is None:
            return None
        done, total = session.progress
        return RunProgress(
            session.contract,
            session.step,
            done,
            total,
            session.started,
            self._is_over(session),
        )

    def stopped(self) -> StoppedRun | None:
        """Return the current or last run if this node makes no model in it."""
        return self._stopped

    def _is_over(self, session: RunSession) -> bool:
        stopped = self._stopped
        stopped_here = stopped is not None and stopped.run == session.contract.run
        return session.finished is not None or stopped_here
