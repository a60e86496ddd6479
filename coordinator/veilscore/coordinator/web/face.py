"""What the coordinator's pages and REST interface need of the coordinator.

Runs and states are for its operator, who has the token, and auditors; the registry and
the log are for every reader of the log. Times are ms since 1970.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Annotated, Protocol

from pydantic import Field


class RunPhase(StrEnum):
    """Where a run stands."""

    PROPOSED = "proposed"
    RUNNING = "running"
    COMPLETED = "completed"
    STOPPED = "stopped"


class RunKind(StrEnum):
    """What parties of a run have in common: entities, or columns."""

    VERTICAL = "vertical"
    HORIZONTAL = "horizontal"


class Decision(StrEnum):
    """What a party said to a run."""

    WAITING = "waiting"
    APPROVED = "approved"
    REFUSED = "refused"


@dataclass(frozen=True, slots=True)
class RunParty:
    """One party of a run."""

    party: Annotated[str, Field(description="Registered name")]
    decision: Annotated[Decision, Field(description="What it said to the run")]
    estimated_s: Annotated[
        int,
        Field(
            description="Seconds of work that it expects, in a horizontal run with the "
            "most rows that the contract allows a member; 0: not known"
        ),
    ] = 0
    left: Annotated[
        str, Field(description="Why the run goes on without it; empty: it is in")
    ] = ""


@dataclass(frozen=True, slots=True)
class RunView:
    """A run as its operator sees it."""

    run: Annotated[str, Field(description="Id of the run")]
    contract: Annotated[str, Field(description="Hash of the contract")]
    phase: Annotated[RunPhase, Field(description="Where the run stands")]
    kind: Annotated[
        RunKind,
        Field(description="Vertical: other columns; horizontal: the same columns"),
    ]
    label_holder: Annotated[
        str, Field(description="Party that holds the labels; horizontal: empty")
    ]
    parties: Annotated[tuple[RunParty, ...], Field(description="All of its parties")]
    step: Annotated[str, Field(description="Step under way; empty: none")]
    proposed_ms: Annotated[int, Field(description="When it was proposed")]
    ended_ms: Annotated[int | None, Field(description="When it ended")] = None
    model: Annotated[str, Field(description="Hash of the model it made")] = ""
    stopped_by: Annotated[str, Field(description="Party that stopped it")] = ""
    reason: Annotated[str, Field(description="Why it was stopped")] = ""
    remedy: Annotated[str, Field(description="What to do about it, if known")] = ""


@dataclass(frozen=True, slots=True)
class NodeView:
    """A node as the hub sees it."""

    party: Annotated[str, Field(description="Registered name")]
    attached: Annotated[bool, Field(description="Whether its stream is open")]
    since_ms: Annotated[int | None, Field(description="Since when; never: null")]


@dataclass(frozen=True, slots=True)
class CoordinatorStatus:
    """The state of the coordinator.

    ``reasons`` say why no run can start, ``warnings`` what else its operator should
    know.
    """

    party: Annotated[str, Field(description="Registered name")]
    version: Annotated[str, Field(description="Version of the software")]
    now_ms: Annotated[int, Field(description="When this was so")]
    nodes: Annotated[tuple[NodeView, ...], Field(description="All registered nodes")]
    reasons: Annotated[
        tuple[str, ...], Field(description="Why no run can start; empty: one can")
    ] = ()
    warnings: Annotated[
        tuple[str, ...], Field(description="What else needs attention")
    ] = ()


class CoordinatorFace(Protocol):
    """The coordinator as its pages see it; called from many threads at once.

    Every method may raise a Fault; RunError means that there is no such run, or that
    it cannot do what is asked.
    """

    def status(self) -> CoordinatorStatus:
        """Return the state of the coordinator, without waiting for anybody."""
        ...

    def registry_file(self) -> bytes:
        """Return the signed registry in force."""
        ...

    def runs(self) -> Sequence[RunView]:
        """Return all runs, the newest first."""
        ...

    def propose(self, contract_toml: str) -> str:
        """Propose a run to its parties and return its id."""
        ...

    def run(self, run_id: str) -> RunView:
        """Return one run."""
        ...

    def stop(self, run_id: str) -> None:
        """Stop a run for all of its parties."""
        ...
