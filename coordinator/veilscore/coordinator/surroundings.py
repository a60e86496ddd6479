"""What a run uses of the coordinator it runs on, and who follows it."""

from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Protocol

from veilscore.coordinator.adding import PHASE_S
from veilscore.coordinator.errors import RunError
from veilscore.coordinator.fleet import StepReply
from veilscore.coordinator.incidents import Incidents
from veilscore.fault import Fault
from veilscore.keys.identity import Signer
from veilscore.keys.registry import Registry
from veilscore.keys.tlog.events import Detail
from veilscore.v1.hub_pb2 import SignedKey


@dataclass(frozen=True, slots=True)
class Patience:
    """How long a run waits, in seconds."""

    approval_s: float = 3600.0  # for the operators of all nodes
    online_s: float = 60.0  # for SuperNodes that are just starting
    again_s: float = 2.0  # between two questions
    step_s: float = 7200.0  # for one step of training
    verdict_s: float = 4.0  # for the hub to notice that a line broke
    phase_s: float = PHASE_S  # for one message of every member, of an attempt at a sum


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What a run uses of the coordinator it runs on.

    ``log`` enters an event of the coordinator's own about the run; it raises
    AppendError or LogStoreError.
    """

    party: str
    signer: Signer
    registry: Registry
    attached: Callable[[], Collection[str]]  # to the hub
    online: Callable[[], Collection[str]]  # to the SuperLink
    publish: Callable[[SignedKey], None]
    directory: Callable[[str], Iterable[SignedKey]]
    send: Callable[[str, bytes], None]  # to a party, through the hub, for seconds only
    run_ended: Callable[[str, str], None]  # tells it to a party, if that is there
    log: Callable[[str, Detail], None]
    incidents: Incidents
    clock: Callable[[], float]
    patience: Patience = Patience()


class Caller(Protocol):
    """What a director uses of a ``Fleet``."""

    def call(
        self,
        step: str,
        payloads: Mapping[str, bytes],
        timeout_s: float,
        judge: Callable[[StepReply], object] | None = None,
        late: Callable[[RunError], object] | None = None,
    ) -> dict[str, StepReply]:
        """Ask each named party for a step and wait for all replies."""
        ...

    def note_done(self, party: str) -> None:
        """Note that a party says that its reply is on its way."""
        ...

    def note_lost(self, party: str) -> None:
        """Note that a party will not answer this call."""
        ...

    def note_left(self, party: str) -> None:
        """Note that a party will answer neither this call nor a later one."""
        ...

    def abort(self, reason: str) -> None:
        """Make this call and all later ones raise."""
        ...


class Watcher(Protocol):
    """Who follows a run; called on its threads."""

    def on_step(self, step: str) -> None:
        """Learn that a step begins."""
        ...

    def on_approval(self, party: str, estimated_s: int) -> None:
        """Learn that a party joined, and for how long it expects to work."""
        ...

    def on_refusal(self, party: str) -> None:
        """Learn that a party refused the contract."""
        ...

    def on_left(self, party: str, fault: Fault) -> None:
        """Learn that the run goes on without a party, and why."""
        ...
