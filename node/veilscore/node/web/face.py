"""What the node's pages and REST interface need of the node.

Everything here is for the node's own institution: its operator, its loan system. None
of it may reach another party. Times are ms since 1970.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final, Protocol

from veilscore.keys.entity_ids import EntityKind
from veilscore.models.evaluation import Evaluation
from veilscore.models.hosted import Form
from veilscore.node.log.recon_state import Difference
from veilscore.node.records.consents import Consent
from veilscore.node.records.desk import AskedAbout
from veilscore.node.scoring.answers import Scores
from veilscore.node.scoring.requester import EntityScore
from veilscore.runtime.web.language import gettext_noop
from veilscore.v1.training_pb2 import RunContract

# A refusal is logged where every auditor can read it, so its reason is one of these.
REFUSAL_REASONS: Final = (
    gettext_noop("The parties are not those that were agreed"),
    gettext_noop("The clauses are not those that were agreed"),
    gettext_noop("The data source is not ready"),
    gettext_noop("Not at this time"),
)

NEARLY: Final = 0.9  # of a privacy budget: few runs are left


class Unready(StrEnum):
    """Why the node cannot take part in anything at the moment."""

    NOT_CONNECTED = gettext_noop("The node is not connected to the coordinator")
    CERTIFICATE_EXPIRED = gettext_noop("The certificate of the node has expired")
    CLOCK_DIFFERS = gettext_noop(
        "This host's clock differs from the coordinator's by more than 5 seconds"
    )
    LOG_WAITS = gettext_noop("Events of this node could not be logged yet")
    NOT_WITNESSED = gettext_noop(
        "Too few witnesses have cosigned the audit log for too long"
    )
    LOG_CONTRADICTED = gettext_noop(
        "The audit log contradicts what this node knows; the folder state/incidents "
        "holds what shows it"
    )
    MISCONDUCT = gettext_noop(
        "A party broke the rules of a horizontal run; the folder state/incidents holds "
        "what shows it"
    )
    NOT_COMPARED = gettext_noop(
        "The audit log could not be compared with this node's own for too long; the "
        "node's log file says why"
    )
    REGISTRY_REFUSED = gettext_noop(
        "The coordinator's registry is refused; the node's log file says why"
    )


@dataclass(frozen=True, slots=True)
class LinkState:
    """The stream to the coordinator, or ``detail`` why there is none."""

    connected: bool
    since_ms: int
    coordinator: str
    detail: str = ""


@dataclass(frozen=True, slots=True)
class SourceState:
    """The loaded snapshot of the data source; ``as_of`` is an ISO date or empty."""

    name: str
    rows: int
    columns: int
    rejected: int
    as_of: str


@dataclass(frozen=True, slots=True)
class ModelState:
    """A model on the shelf; evaluated only where the labels are.

    A score is the sum over all ``holders`` or, of a ``whole`` model, one holder's.
    """

    hash: bytes
    run: str
    added_ms: int
    evaluation: Evaluation | None
    holders: tuple[str, ...] = ()
    whole: bool = False


@dataclass(frozen=True, slots=True)
class RunState:
    """The run under way.

    ``steps`` are all of its steps in order, ``fraction`` what is done of ``step``.
    """

    run: str
    steps: tuple[str, ...]
    step: str
    fraction: float
    started_ms: int


@dataclass(frozen=True, slots=True)
class RunFailure:
    """Why this node's last run ended without a model, for its operator only.

    ``what``, ``party``, ``place`` and ``remedy`` are those of a Fault: in English.
    """

    run: str
    step: str
    what: str
    party: str
    place: str
    remedy: str
    at_ms: int


@dataclass(frozen=True, slots=True)
class PrivacyState:
    """What runs with noise have told of one of this node's rows; ``spent`` epsilon.

    ``fault`` says why that is not known. Of other rows, under another name, it says
    nothing.
    """

    rows: str
    allowed: float
    delta: float
    spent: float
    fault: str = ""

    @property
    def left(self) -> float:
        """How much epsilon another run may spend, at the very most."""
        return max(0.0, self.allowed - self.spent)

    @property
    def is_low(self) -> bool:
        """Whether the budget is spent or nearly."""
        return self.spent >= NEARLY * self.allowed


@dataclass(frozen=True, slots=True)
class PrivacyCost:
    """Epsilon of a run by itself; ``spent`` of all runs, if this one begins now."""

    epsilon: float
    spent: float


@dataclass(frozen=True, slots=True)
class PendingRun:
    """A run that waits for this node's decision; ``digest`` is what will be logged.

    ``work_ms`` and ``sent_bytes`` are what it is estimated to take at this node,
    ``privacy`` what a run with noise would spend. A horizontal run would learn from
    this node's ``labelled`` rows, or from some of them.
    """

    contract: RunContract
    digest: bytes
    proposed_ms: int
    work_ms: int
    sent_bytes: int
    privacy: PrivacyCost | None = None
    labelled: int = 0

    @property
    def rows(self) -> int:
        """How many rows it would learn from."""
        return min(self.labelled, self.contract.max_rows)


@dataclass(frozen=True, slots=True)
class BudgetState:
    """What a requester may have learnt of a hosted card, in bits.

    ``entropy`` is how many write the card down; when so many are spent it may be known.
    """

    card: str
    requester: str
    spent: int
    allowed: int
    entropy: int


@dataclass(frozen=True, slots=True)
class LoggedEvent:
    """An event of this node; ``index`` is its entry in the log, None while pending."""

    index: int | None
    time_ms: int
    kind: str
    correlation: str


@dataclass(frozen=True, slots=True)
class Reconciled:
    """The last comparison of the own log with that of all; ``at_ms`` 0: none yet.

    ``differences`` are the first of ``found``, in English; ``fault`` says why it could
    not be repeated, ``incidents`` how many files the operator has to look at.
    """

    at_ms: int = 0
    entries: int = 0
    found: int = 0
    differences: tuple[Difference, ...] = ()
    incidents: int = 0
    fault: str = ""

    @property
    def is_good(self) -> bool:
        """Whether both logs said the same, and nothing is in the way of the next."""
        return not (self.found or self.incidents or self.fault)


@dataclass(frozen=True, slots=True)
class NodeStatus:
    """Everything the status page shows, taken at ``now_ms``.

    ``failure`` is None while nothing is wrong with the current or last run.
    """

    party: str
    version: str
    now_ms: int
    link: LinkState
    supernode_online: bool
    certificate_days: int
    source: SourceState | None = None
    models: tuple[ModelState, ...] = ()
    run: RunState | None = None
    failure: RunFailure | None = None
    pending: tuple[PendingRun, ...] = ()
    hosted: tuple[BudgetState, ...] = ()
    events: tuple[LoggedEvent, ...] = ()
    unwitnessed: int = 0  # events that the log took and too few witnesses cosigned
    reconciled: Reconciled = field(default_factory=Reconciled)
    privacy: PrivacyState | None = None
    misconducts: int = 0  # files about broken rules of secure aggregation


@dataclass(frozen=True, slots=True)
class ScoreReply:
    """Scores, joint or of a whole model, and the model they are of."""

    model: bytes
    answered: Scores[EntityScore]


class RecordsFace(Protocol):
    """What a node keeps of requests and consents; see ``scoring.records``."""

    def disclose(self, request: str, entity: str = "", row: int = 0) -> bytes:
        """Return an opening file of a request."""
        ...

    def asked_about(self, entity: str) -> Sequence[AskedAbout]:
        """Return the requests that an entity is in."""
        ...

    def erase(self, *, entity: str = "", request: str = "", before: float = 0) -> int:
        """Erase openings by one of the three and return how many."""
        ...

    def register(
        self,
        reference: str,
        entity: str,
        purposes: Sequence[str],
        until: int,
        document: bytes,
    ) -> int:
        """Register a consent and return the number of the event."""
        ...

    def withdraw(self, reference: str, entity: str) -> int:
        """Withdraw a consent and return how many registrations it had."""
        ...

    def registered(self) -> Sequence[Consent]:
        """Return the registered consents."""
        ...


class NodeFace(Protocol):
    """The node as its pages see it; called from many threads at once.

    Every method may raise a Fault.
    """

    def status(self) -> NodeStatus:
        """Return the state of the node, without waiting for anybody."""
        ...

    def ready(self) -> Sequence[Unready]:
        """Return why the node cannot take part now; nothing: it can."""
        ...

    def ask(
        self,
        entities: Sequence[tuple[EntityKind, str]],
        model: bytes | None,
        holder: str | None,
        purpose: str,
        consent: str,
    ) -> ScoreReply:
        """Ask for scores and wait for them; without a model, of the newest.

        ``holder`` chooses whom of the holders of a whole model.
        """
        ...

    def add_model(self, manifest: bytes) -> ModelState:
        """Take in the manifest of a model that others trained."""
        ...

    def ask_hosted(
        self, form: Form, rows: Sequence[Sequence[int]], purpose: str, consent: str
    ) -> Scores[int | float]:
        """Ask for hosted scores of filled-in rows and wait for them."""
        ...

    @property
    def records(self) -> RecordsFace:
        """What is kept of requests and consents."""
        ...

    def approve(self, run: str) -> None:
        """Let this node take part in a pending run."""
        ...

    def refuse(self, run: str, reason: str) -> None:
        """Keep this node out of a pending run; ``reason`` becomes public."""
        ...
