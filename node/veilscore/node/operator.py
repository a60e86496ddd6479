"""The node as its own operator and its own systems see it.

Answers the pages and the REST interface (``web``) from the running service. Nothing
here reaches another party, except a score request that the institution itself makes.
"""

import time
from collections.abc import Sequence
from contextlib import suppress
from datetime import UTC, datetime
from math import isfinite
from typing import get_args

from veilscore.fault import Fault
from veilscore.keys.entity_ids import EntityKind, normalise
from veilscore.keys.tlog.events import read_event
from veilscore.models.evaluation import Evaluation
from veilscore.models.hosted import Form
from veilscore.models.steps import steps
from veilscore.node.config import NodeSettings
from veilscore.node.errors import NoModelError, RefusedError
from veilscore.node.hosting.cards import HostedCards
from veilscore.node.log.receipts import Recorded
from veilscore.node.log.reconciliation import Reconciliation
from veilscore.node.records.desk import Records
from veilscore.node.scoring.answers import Scores
from veilscore.node.scoring.ledger import Ledger
from veilscore.node.scoring.settings import Purpose
from veilscore.node.service import VERSION, NodeService
from veilscore.node.shelf import ShelvedModel
from veilscore.node.training.approvals import WaitingRun
from veilscore.node.training.desk import StoppedRun
from veilscore.node.training.privacy_budget import PrivacyBudget
from veilscore.node.web.face import (
    BudgetState,
    LinkState,
    LoggedEvent,
    ModelState,
    NodeStatus,
    PendingRun,
    PrivacyCost,
    PrivacyState,
    Reconciled,
    RunFailure,
    RunState,
    ScoreReply,
    SourceState,
    Unready,
)

DAY_S = 86400.0


class OperatorView:
    """Implements ``web.face.NodeFace``."""

    def __init__(self, service: NodeService) -> None:
        self._service = service

    def status(self) -> NodeStatus:
        """Return the state of the node, without waiting for anybody."""
        service, now = self._service, time.time()
        connected, detail, since = service.link_state
        return NodeStatus(
            party=service.settings.party,
            version=VERSION,
            now_ms=_ms(now),
            link=LinkState(
                connected=connected,
                since_ms=_ms(since),
                coordinator=service.kit.registry.coordinator.name,
                detail="" if connected else detail,
            ),
            supernode_online=service.supernode.pid is not None,
            certificate_days=int((service.certificate.not_after - now) // DAY_S),
            source=self._source(),
            models=tuple(_model(model) for model in service.shelf.list()),
            run=self._run(),
            failure=show_failure(service.training.stopped()),
            pending=tuple(
                show_waiting(waiting, service.budget)
                for waiting in service.training.approvals.waiting()
            ),
            privacy=show_privacy(service.budget),
            misconducts=service.incidents.misconducts,
            hosted=show_budgets(service.cards, service.ledger),
            events=tuple(_logged(recorded) for recorded in service.receipts.last()),
            unwitnessed=service.receipts.unwitnessed,
            reconciled=show_reconciled(service.reconciliation),
        )

    def ready(self) -> Sequence[Unready]:
        """Return why this node cannot take part now; nothing: it can.

        That there is no model yet is no reason: it is how every node begins.
        """
        service = self._service
        reasons = {
            Unready.NOT_CONNECTED: not service.link_state[0],
            Unready.CERTIFICATE_EXPIRED: service.certificate.not_after <= time.time(),
            Unready.CLOCK_DIFFERS: service.clock_fault is not None,
            Unready.LOG_WAITS: service.receipts.waits(),
            Unready.NOT_WITNESSED: service.receipts.overdue,
            Unready.LOG_CONTRADICTED: service.reconciliation.incidents > 0,
            Unready.MISCONDUCT: service.incidents.misconducts > 0,
            Unready.NOT_COMPARED: service.reconciliation.is_overdue(),
            Unready.REGISTRY_REFUSED: service.registry.alarm is not None,
        }
        return [reason for reason, holds in reasons.items() if holds]

    def ask(
        self,
        entities: Sequence[tuple[EntityKind, str]],
        model: bytes | None,
        holder: str | None,
        purpose: str,
        consent: str,
    ) -> ScoreReply:
        """Ask for scores and wait for them; without a model, of the newest."""
        service = self._service
        if model is None:
            newest = service.shelf.latest()
            if newest is None:
                raise NoModelError(
                    "this node has no model yet",
                    party=service.settings.party,
                    remedy="Train one first; the coordinator's operator proposes it. "
                    "Or take in the manifest of another's: veilscore node model add",
                )
            model = newest.hash
        answered = service.scoring.ask(
            [normalise(kind, entity) for kind, entity in entities],
            model=model,
            holder=holder,
            purpose=_purpose(purpose),
            consent=consent,
        )
        return ScoreReply(model, answered)

    def add_model(self, manifest: bytes) -> ModelState:
        """Take in the manifest of a model that others trained."""
        service = self._service
        party = service.settings.party
        return _model(service.shelf.add(manifest, party, now=time.time()))

    def ask_hosted(
        self, form: Form, rows: Sequence[Sequence[int]], purpose: str, consent: str
    ) -> Scores[int | float]:
        """Ask for hosted scores of filled-in rows and wait for them."""
        return self._service.scoring.ask_hosted(
            form, rows, purpose=_purpose(purpose), consent=consent
        )

    @property
    def records(self) -> Records:
        """What is kept of requests and consents."""
        return self._service.records

    def approve(self, run: str) -> None:
        """Let this node take part in a pending run."""
        self._service.training.approvals.decide(run, approved=True)

    def refuse(self, run: str, reason: str) -> None:
        """Keep this node out of a pending run; ``reason`` becomes public."""
        self._service.training.approvals.decide(run, approved=False, reason=reason)

    def _source(self) -> SourceState | None:
        service = self._service
        if service.settings.source is None:
            return None
        columns, loaded = service.snapshot.columns, service.snapshot.loaded
        return SourceState(
            name=source_name(service.settings),
            rows=len(columns),
            columns=len(columns.features),
            rejected=len(columns.rejected),
            as_of=datetime.fromtimestamp(loaded, UTC).date().isoformat(),
        )

    def _run(self) -> RunState | None:
        progress = self._service.training.progress()
        if progress is None or progress.finished:
            return None
        return RunState(
            run=progress.contract.run,
            steps=tuple(steps(progress.contract)),
            step=progress.step,
            fraction=progress.done / progress.total if progress.total else 0.0,
            started_ms=_ms(progress.started),
        )


def show_budgets(cards: HostedCards, ledger: Ledger) -> tuple[BudgetState, ...]:
    """Return what every requester may have learnt of every hosted card."""
    return tuple(
        BudgetState(
            card=hosted.name,
            requester=requester,
            spent=ledger.spent(requester, hosted.name),
            allowed=hosted.terms.budget_bits,
            entropy=hosted.card.entropy_bits,
        )
        for hosted in cards
        for requester in hosted.terms.requesters
    )


def show_waiting(waiting: WaitingRun, budget: PrivacyBudget) -> PendingRun:
    """Return what the operator sees of a waiting run, and what it would spend now."""
    cost = None
    if waiting.contract.horizontal.HasField("privacy"):
        with suppress(Fault):  # the budget shows it
            found = budget.cost(waiting.contract)
            if isfinite(found.after):  # or else beyond any budget
                cost = PrivacyCost(epsilon=found.alone, spent=found.after)
    return PendingRun(
        waiting.contract,
        waiting.digest,
        proposed_ms=_ms(waiting.proposed),
        work_ms=_ms(waiting.estimate.seconds),
        sent_bytes=waiting.estimate.sent_bytes,
        privacy=cost,
        labelled=waiting.labelled,
    )


def show_privacy(budget: PrivacyBudget) -> PrivacyState | None:
    """Return what is spent of a node's privacy budget; nothing if it has none."""
    settings = budget.settings
    if settings is None:
        return None
    spent, fault = 0.0, ""
    try:
        spent = budget.spent()
    except Fault as error:
        fault = str(error)
    return PrivacyState(
        rows=settings.rows,
        allowed=settings.epsilon,
        delta=settings.delta,
        spent=spent,
        fault=fault,
    )


def _purpose(word: str) -> Purpose:
    allowed: tuple[Purpose, ...] = get_args(Purpose)
    if word not in allowed:
        raise RefusedError(f"the purpose must be one of {', '.join(allowed)}")
    return allowed[allowed.index(word)]


def source_name(settings: NodeSettings) -> str:
    """Return what the data source is called on the status page; never a password."""
    source = settings.source
    if source is None:
        return ""
    path = source.csv or source.parquet
    return path.name if path else f"table {source.table}"


def _logged(recorded: Recorded) -> LoggedEvent:
    opened = read_event(recorded.leaf)
    return LoggedEvent(
        recorded.index,
        opened.event.time_ms,
        opened.kind,
        opened.event.correlation,
    )


def show_failure(stopped: StoppedRun | None) -> RunFailure | None:
    """Return what the operator sees of a stopped run: all of it."""
    if stopped is None:
        return None
    fault = stopped.fault
    return RunFailure(
        run=stopped.run,
        step=stopped.step,
        what=fault.what,
        party=fault.party,
        place=fault.place,
        remedy=fault.remedy,
        at_ms=_ms(stopped.at),
    )


def show_reconciled(reconciliation: Reconciliation) -> Reconciled:
    """Return what the operator sees of the last comparison of both logs."""
    state = reconciliation.state()
    return Reconciled(
        at_ms=state.at_ms,
        entries=state.entries,
        found=state.found,
        differences=state.differences,
        incidents=reconciliation.incidents,
        fault=reconciliation.fault,
    )


def _model(model: ShelvedModel) -> ModelState:
    found = model.evaluation
    return ModelState(
        hash=model.hash,
        run=model.manifest.run,
        added_ms=_ms(model.added),
        holders=model.holders,
        whole=model.whole,
        evaluation=Evaluation.of(found) if found else None,
    )


def _ms(seconds: float) -> int:
    return int(seconds * 1000)
