"""How a run begins: every party is asked until its operator has decided.

Learns what parties decide, and for how long each expects to work.
"""

from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import Final

from veilscore.coordinator.errors import PartyStoppedError
from veilscore.coordinator.fleet import UNAVAILABLE, StepReply
from veilscore.coordinator.surroundings import Caller, Surroundings, Watcher
from veilscore.runtime.awake_clock import AwakeClock
from veilscore.v1.training_pb2 import StepReport, StepRequest

_AWAITING: Final = "awaiting-approval"


@dataclass(frozen=True, slots=True)
class Joining:
    """The first step of one run.

    ``judge`` returns the report of a reply, or raises what ends the run; so does
    ``pause``, between two questions.
    """

    parties: Collection[str]
    contract: bytes
    around: Surroundings
    watcher: Watcher
    judge: Callable[[StepReply], StepReport]
    pause: Callable[[], None]

    def play(self, fleet: Caller) -> None:
        """Return when all have joined; raises the Fault of who did not."""
        self._await_online()
        self._ask(fleet)

    def _await_online(self) -> None:
        """Give SuperNodes that are just starting some time.

        Flower takes no message at all for a node that never was there.
        """
        patience, clock = self.around.patience, AwakeClock()
        while missing := sorted(set(self.parties) - set(self.around.online())):
            if clock() > patience.online_s:
                raise PartyStoppedError(
                    "its SuperNode is not connected",
                    reason="absent",
                    party=", ".join(missing),
                )
            self.pause()

    def _ask(self, fleet: Caller) -> None:
        """Ask for approval until everybody has decided, or a deadline passes."""
        patience, clock = self.around.patience, AwakeClock()
        payload = StepRequest(contract=self.contract).SerializeToString()
        away_since: dict[str, float] = {}

        def judge(reply: StepReply) -> None:
            # Flower takes a SuperNode that was just started again for gone until its
            # next heartbeat.
            now = clock()
            if reply.code == UNAVAILABLE:
                if now - away_since.setdefault(reply.party, now) <= patience.online_s:
                    return
            else:
                away_since.pop(reply.party, None)
            if reply.code != _AWAITING:
                if reply.code == "refused":
                    self.watcher.on_refusal(reply.party)
                report = self.judge(reply)
                self.watcher.on_approval(reply.party, report.estimated_s)

        waiting = self.parties
        while True:
            payloads = dict.fromkeys(waiting, payload)
            replies = fleet.call("join", payloads, patience.step_s, judge)
            waiting = sorted(name for name, reply in replies.items() if not reply.ok)
            if not waiting:
                return
            if clock() > patience.approval_s:
                raise PartyStoppedError(
                    f"did not decide within {patience.approval_s:g} s",
                    reason=_AWAITING,
                    party=", ".join(waiting),
                    place="step join",
                )
            self.pause()
