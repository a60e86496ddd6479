"""What can go wrong at a node."""

from veilscore.fault import Fault


class NodeError(Fault):
    """Base of all errors of this package."""

    code = "node"


class SourceError(NodeError):
    """A data source that breaks its declared contract."""

    code = "source"
    exit_code = 5


class RefusedError(NodeError):
    """What this node's operator has not allowed.

    ``what`` is a fixed sentence: it is shown to the peer that asked.
    """

    code = "refused"
    exit_code = 6


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
        self, what: str, *, reason: str, place: str = "", remedy: str = ""
    ) -> None:
        super().__init__(what, place=place, remedy=remedy)
        self.reason = reason


class HolderRefusedError(ScoringError):
    """A data holder that did not answer; ``reason`` is its stable code."""

    def __init__(self, what: str, *, reason: str, party: str) -> None:
        super().__init__(
            what,
            party=party,
            remedy="Ask the data holder's operator; the decision is in the log.",
        )
        self.reason = reason


class ShelfError(NodeError):
    """A trained model that cannot be stored, read or trusted."""

    code = "shelf"


class AwaitingApprovalError(NodeError):
    """A run that waits for this node's operator; asked again, it may be approved."""

    code = "awaiting-approval"
