"""What can go wrong at a node."""

from typing import TYPE_CHECKING

from veilscore.fault import Fault

if TYPE_CHECKING:
    from veilscore.node.columns import RejectedRow


class NodeError(Fault):
    """Base of all errors of this package."""

    code = "node"


class ClockError(NodeError):
    """A clock of this host by which the others' limits cannot be kept."""

    code = "clock"


class SourceError(NodeError):
    """A data source that breaks its declared contract."""

    code = "source"
    exit_code = 5


class RejectedIdsError(SourceError):
    """More rows without a valid id than the contract allows; ``rejected`` lists them.

    Whoever may write a file writes the list and names it in the remedy.
    """

    rejected: tuple["RejectedRow", ...] = ()


class RefusedError(NodeError):
    """What this node's operator has not allowed.

    ``what`` is a fixed sentence: it is shown to the peer that asked.
    """

    code = "refused"
    exit_code = 6


class MissingExtraError(RefusedError):
    """Something asked of this node that needs a package which is not installed."""


class TrainingError(NodeError):
    """A training step that could not be finished."""

    code = "training"


class ScoringError(NodeError):
    """A score request that could not be answered."""

    code = "scoring"


class CoordinatorRefusedError(NodeError):
    """A call or stream that the coordinator refused; ``what`` is its sentence.

    ``reason`` is its stable code, for instance "registry" or "replaced".
    """

    code = "coordinator-refused"
    exit_code = 6

    def __init__(
        self,
        what: str,
        *,
        reason: str,
        party: str = "",
        place: str = "",
        remedy: str = "",
    ) -> None:
        super().__init__(what, party=party, place=place, remedy=remedy)
        self.reason = reason


class HolderRefusedError(ScoringError):
    """A data holder that does not answer this; ``reason`` is its stable code.

    ``code`` is that reason after "holder-", since this node has codes of its own.
    """

    remedy_of_all = "Ask the data holder's operator; the decision is in the log."

    def __init__(self, what: str, *, reason: str, party: str) -> None:
        super().__init__(what, party=party, remedy=self.remedy_of_all)
        self.reason = reason
        self.code = f"holder-{reason}"


class FormError(NodeError):
    """A form of a hosted card that is damaged, of another version or not usable."""

    code = "form"
    exit_code = 2


class ShelfError(NodeError):
    """A trained model that cannot be stored, read or trusted."""

    code = "shelf"


class ManifestError(ShelfError):
    """A manifest that an operator brought and that this node cannot take in."""

    code = "manifest"
    exit_code = 2


class AwaitingApprovalError(NodeError):
    """A run that waits for this node's operator; asked again, it may be approved."""

    code = "awaiting-approval"


class HolderUnavailableError(HolderRefusedError):
    """A refusal that need not last; asked again, the holder may answer."""

    remedy_of_all = "Ask again; if it recurs, ask the data holder's operator."


class NoModelError(ScoringError):
    """A node that has no model yet."""

    code = "no-model"


class UnknownModelError(ScoringError):
    """A model that is not on this node's shelf."""

    code = "unknown-model"


class WhichHolderError(ScoringError):
    """A request that does not say as its model wants it who is asked."""

    code = "which-holder"


class TooManyEntitiesError(ScoringError):
    """A score request that must be split."""

    code = "too-many-entities"


class NoReceivingKeyError(ScoringError):
    """Parties that nothing can be sealed for: their nodes are not attached."""

    code = "no-receiving-key"


class NoAnswerError(ScoringError):
    """Data holders that did not answer in time."""

    code = "no-answer"


class BadAnswerError(ScoringError):
    """An answer of a data holder that no scores can be made of."""

    code = "bad-answer"


class BudgetSpentError(NodeError):
    """A requester that may not learn more of a hosted card, or rows of no budget."""

    code = "budget-spent"


class NoOpeningError(NodeError):
    """An opening of a commitment that was never kept here, or was erased."""

    code = "no-opening"


class ConsentError(RefusedError):
    """A request that the registered consent does not allow."""

    code = "consent"


class UnknownConsentError(NodeError):
    """A consent that is not registered here, or not any more."""

    code = "unknown-consent"


class StoppingError(ScoringError):
    """A score request that this node's own end cut short."""

    code = "stopping"


class UnknownRunError(NodeError):
    """A run that does not wait for this node's operator and never did."""

    code = "unknown-run"


class AlreadyDecidedError(NodeError):
    """A run about which this node's operator has decided."""

    code = "already-decided"
