"""The training desk: what the coordinator may ask of this node in a run.

Flower brings one message a step; the hub brings envelopes of other parties. The desk
checks every contract against this node's policy, keeps one run at a time, and puts a
signed event into the log for everything it agrees to and finishes.

Tells the coordinator only what ``StepReport`` holds. Why something failed stays
here, in the log file and on the status page; the coordinator gets a stable code.
"""

import hashlib
import logging
import threading
from collections.abc import Callable
from dataclasses import dataclass, field

from google.protobuf.message import DecodeError

from veilscore.fault import Fault
from veilscore.keys.linkage import size_bucket
from veilscore.node.errors import AwaitingApprovalError, RefusedError
from veilscore.node.receipts import Receipts
from veilscore.node.shelf import Shelf
from veilscore.node.training import policy
from veilscore.node.training.policy import TrainingSettings
from veilscore.node.training.session import RunSession, Surroundings
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
    finished: bool
    failure: str  # empty while all is well


@dataclass(frozen=True, slots=True)
class WaitingRun:
    """A run that waits for the operator; ``digest`` is what will be logged."""

    contract: RunContract
    digest: bytes
    proposed: float  # seconds since 1970


@dataclass(frozen=True, slots=True)
class _Decision:
    approved: bool
    reason: str


@dataclass(slots=True)
class TrainingDesk:
    """One node's training, for any number of runs, one at a time."""

    settings: TrainingSettings
    surroundings: Callable[[], Surroundings]
    shelf: Shelf
    receipts: Receipts
    notify: Callable[[NoticeKind.ValueType, str, str], None]
    _turn: threading.Lock = field(default_factory=threading.Lock)
    _session: RunSession | None = None
    _failure: str = ""
    _waiting: dict[str, WaitingRun] = field(default_factory=dict[str, WaitingRun])
    _decided: dict[str, _Decision] = field(default_factory=dict[str, _Decision])

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
            except Fault as fault:
                self._failure = str(fault)
                LOG.warning("run %s, step %s: %s", run, step, fault)
                raise
            finally:
                self._wake_coordinator(run, step)
            return report.SerializeToString()

    def _wake_coordinator(self, run: str, step: str) -> None:
        try:
            self.notify(NoticeKind.NOTICE_KIND_STEP_DONE, run, step)
        except Fault as fault:  # the coordinator polls anyway, only later
            LOG.info("could not announce step %s: %s", step, fault)

    def _join(self, run: str, contract_bytes: bytes) -> StepReport:
        around = self.surroundings()
        digest = hashlib.sha256(contract_bytes).digest()
        try:
            contract = self._approved(run, contract_bytes, around)
        except RefusedError as refused:
            decided = RunDecided(contract=digest, approved=False, reason=refused.what)
            self.receipts.record(decided, run)
            raise
        if self._session is not None:
            self._session.mailbox.end("another run was started")
        session = RunSession(around, contract, contract_bytes)
        self._session, self._failure = session, ""
        self.receipts.record(RunDecided(contract=digest, approved=True), run)
        signed = session.join()
        published = KeyPublished(
            purpose=f"run:{run}",
            digest=hashlib.sha256(signed.body).digest(),
            paillier_bits=around.private_key.public.bits,
        )
        self.receipts.record(published, run)
        return StepReport()

    def _approved(
        self, run: str, contract_bytes: bytes, around: Surroundings
    ) -> RunContract:
        """Return the contract if policy and operator allow it."""
        try:
            contract = RunContract.FromString(contract_bytes)
        except DecodeError as error:
            raise RefusedError("a contract that cannot be read") from error
        if contract.run != run:
            raise RefusedError("a contract of another run")
        policy.check_roster(contract, around.registry)
        policy.check(contract, around.party, self.settings)
        decision = self._decided.get(run)
        if decision is not None and not decision.approved:
            raise RefusedError(
                decision.reason or "the operator of this node refused the run"
            )
        if self.settings.approve == "manual" and decision is None:
            digest = hashlib.sha256(contract_bytes).digest()
            waiting = WaitingRun(contract, digest, around.clock())
            self._waiting.setdefault(run, waiting)
            raise AwaitingApprovalError("the operator of this node has not decided yet")
        self._waiting.pop(run, None)
        return contract

    def _perform(
        self, run: str, step: str, manifest: bytes, message_id: str
    ) -> StepReport:
        session = self._session
        if session is None or session.contract.run != run:
            raise RefusedError("this node has not joined the run")
        report = session.perform(step, manifest)
        if session.finished is not None:
            self._keep(session)
        rows = session.rows
        done = StepDone(
            step=step,
            sent=report.sent,
            bytes_bucket=report.bytes_bucket,
            rows_bucket=size_bucket(rows) if rows else 0,
            flower_message=message_id,
        )
        self.receipts.record(done, run)
        return report

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
        self.receipts.record(registered, session.contract.run)

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
        """Stop waiting for a party that is gone."""
        session = self._session
        if session is not None and party in session.parties:
            session.mailbox.lose(party, reason)

    def on_run_ended(self, run: str) -> None:
        """Stop waiting: the coordinator has ended the run."""
        session = self._session
        if session is not None and session.contract.run == run:
            session.mailbox.end("the coordinator ended it")

    # -- asked by the operator ---------------------------------------------------

    def waiting(self) -> list[WaitingRun]:
        """Return the runs that wait for the operator."""
        return [
            waiting
            for run, waiting in self._waiting.items()
            if run not in self._decided
        ]

    def decide(self, run: str, *, approved: bool, reason: str = "") -> None:
        """Approve or refuse a waiting run; raises RefusedError if none waits.

        The reason of a refusal becomes public in the log.
        """
        if run not in self._waiting:
            raise RefusedError("no such run waits for approval")
        self._decided[run] = _Decision(approved, reason)
        if not approved:
            del self._waiting[run]

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
            session.finished is not None or bool(self._failure),
            self._failure,
        )
