"""The director of one training run: asks every node for every step, in order.

The coordinator sees who answers and when, hashes and bounds of cards, and in the step
``rows`` pseudonyms (``alignment``). Nothing that a node computes passes through here.

A run ends with the first party that refuses, fails or is lost; what ends it is raised
as a Fault that names the party.
"""

import hashlib
import logging
import threading
from collections.abc import Callable, Collection, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Final, Protocol

from veilscore.coordinator.errors import PartyStoppedError, RunError
from veilscore.coordinator.fleet import UNAVAILABLE, StepReply
from veilscore.coordinator.post import RunPost
from veilscore.coordinator.replies import UNREACHABLE, check_reply, read_report
from veilscore.fault import Fault
from veilscore.keys.identity import Signer
from veilscore.keys.registry import Registry
from veilscore.models.steps import steps
from veilscore.runtime.awake_clock import AwakeClock
from veilscore.runtime.errors import PeerLostError
from veilscore.v1.hub_pb2 import SignedKey
from veilscore.v1.score_pb2 import CardEntry, ModelManifest
from veilscore.v1.training_pb2 import RunContract, StepReport, StepRequest

_log = logging.getLogger(__name__)

_DIGEST_BYTES: Final = 32
_AWAITING: Final = "awaiting-approval"


@dataclass(frozen=True, slots=True)
class Patience:
    """How long a run waits, in seconds."""

    approval_s: float = 3600.0  # for the operators of all nodes
    online_s: float = 60.0  # for SuperNodes that are just starting
    again_s: float = 2.0  # between two questions
    step_s: float = 7200.0  # for one step of training
    verdict_s: float = 4.0  # for the hub to notice that a line broke


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What a run uses of the coordinator it runs on."""

    party: str
    signer: Signer
    registry: Registry
    attached: Callable[[], Collection[str]]  # to the hub
    online: Callable[[], Collection[str]]  # to the SuperLink
    publish: Callable[[SignedKey], None]
    directory: Callable[[str], Iterable[SignedKey]]
    send: Callable[[str, bytes], None]  # to a party, through the hub
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
    ) -> dict[str, StepReply]:
        """Ask each named party for a step and wait for all replies."""
        ...

    def note_done(self, party: str) -> None:
        """Note that a party says that its reply is on its way."""
        ...

    def note_lost(self, party: str) -> None:
        """Note that a party will not answer this call."""
        ...

    def abort(self, reason: str) -> None:
        """Make this call and all later ones raise."""
        ...


class Watcher(Protocol):
    """Who follows a run; called on its thread."""

    def on_step(self, step: str) -> None:
        """Learn that a step begins."""
        ...

    def on_approval(self, party: str, estimated_s: int) -> None:
        """Learn that a party joined, and for how long it expects to work."""
        ...

    def on_refusal(self, party: str) -> None:
        """Learn that a party refused the contract."""
        ...


class Director:
    """Leads one run; ``lead`` is called once, the rest from any thread."""

    def __init__(
        self, contract: RunContract, around: Surroundings, watcher: Watcher
    ) -> None:
        self.contract = contract
        self.step = ""
        self._body = contract.SerializeToString(deterministic=True)
        self._parties = tuple(entry.party for entry in contract.roster)
        self._around = around
        self._watcher = watcher
        self._post = RunPost(
            contract, around.party, around.signer, around.registry, around.clock()
        )
        self._lock = threading.Lock()
        self._over = threading.Event()
        self._end: Fault | None = None
        self._superlink_ended = False
        self._fleet: Caller | None = None

    # -- told by the hub and by the operator -----------------------------------

    def receive(self, sender: str, data: bytes) -> None:
        """Take an envelope for the coordinator; a bad one of this run ends it."""
        try:
            self._post.receive(sender, data)
        except Fault as fault:
            self.stop(fault)

    def lose(self, party: str, reason: str) -> None:
        """End the run if a party of it is gone."""
        if party in self._parties:
            self.stop(
                PeerLostError(
                    f"was lost during the run: {reason}",
                    party=party,
                    remedy="Start the run again when that node is back.",
                )
            )

    def lose_step(self, party: str, step: str) -> None:
        """End the run if the message or the reply of a party in this step is gone.

        Flower brings neither a second time. To join, a party is asked again.
        """
        if party not in self._parties or step != self.step:
            return
        if self._superlink_ended:
            self.stop(
                RunError(
                    "the SuperLink ended during the run, and with it a message",
                    place=f"step {step}",
                    remedy="Start the run again; if it recurs, read the end of "
                    "flower/superlink.log.",
                )
            )
        elif step == "join" and self._fleet is not None:
            self._fleet.note_lost(party)
        else:
            self.stop(
                PartyStoppedError(
                    "its SuperNode lost a message of Flower",
                    reason="supernode",
                    party=party,
                    place=f"step {step}",
                    remedy="Start the run again; if it recurs, read that node's log "
                    "and its flower/supernode.log.",
                )
            )

    def note_done(self, party: str, step: str) -> None:
        """Note that a party says that it has done a step."""
        if step == self.step and self._fleet is not None:
            self._fleet.note_done(party)

    def note_superlink_end(self) -> None:
        """Note that a message that is lost from now on need not be a node's fault."""
        self._superlink_ended = True

    def stop(self, reason: Fault) -> None:
        """End the run; the first reason counts."""
        with self._lock:
            self._end = self._end or reason
            fleet = self._fleet
        self._post.end(self._end)
        self._over.set()
        if fleet is not None:
            fleet.abort(str(self._end))

    # -- leading ---------------------------------------------------------------

    def lead(self, fleet: Caller) -> bytes:
        """Lead the run to its end and return the manifest of its model.

        Raises the Fault that ended it.
        """
        with self._lock:
            self._fleet = fleet
        try:
            self._check()
            return self._lead(fleet)
        except RunError as error:
            # An aborted fleet does not know which party ended the run.
            if self._end in (None, error):
                raise
            raise self._end from error

    def _lead(self, fleet: Caller) -> bytes:
        self._check_attached()
        self._around.publish(self._post.key)
        cards: dict[str, CardEntry] = {}
        manifest = b""
        for step in steps(self.contract):
            self.step = step
            self._watcher.on_step(step)
            match step:
                case "join":
                    self._await_online()
                    self._join(fleet)
                case "rows":
                    self._rows(fleet)
                case "evaluate":
                    cards = self._cards(self._ask(fleet, step, StepRequest()))
                case "register":
                    manifest = self._manifest(cards)
                    self._ask(fleet, step, StepRequest(manifest=manifest))
                case _:
                    self._ask(fleet, step, StepRequest())
            self._check()
        return manifest

    def _check(self) -> None:
        if self._end is not None:
            raise self._end

    def _check_attached(self) -> None:
        if missing := sorted(set(self._parties) - set(self._around.attached())):
            raise PartyStoppedError(
                "not connected to the coordinator",
                reason="absent",
                party=", ".join(missing),
                remedy="Start that node, then start the run again.",
            )

    def _ask(
        self, fleet: Caller, step: str, request: StepRequest
    ) -> dict[str, StepReport]:
        """Ask all parties for a step; the first that fails ends the run."""
        payload = request.SerializeToString()
        replies = fleet.call(
            step,
            dict.fromkeys(self._parties, payload),
            self._around.patience.step_s,
            lambda reply: self._judge(reply, step),
        )
        return {name: read_report(reply, step) for name, reply in replies.items()}

    def _judge(self, reply: StepReply, step: str) -> None:
        """Raise if the party refused, failed or could not reach this coordinator.

        If its line broke for good, the hub says so within a moment, and names it. If
        the hub says nothing, it was this end or a line that healed: nobody is blamed.
        """
        if reply.code == UNREACHABLE:
            self._over.wait(self._around.patience.verdict_s)
        check_reply(reply, step)

    def _await_online(self) -> None:
        """Give SuperNodes that are just starting some time.

        Flower takes no message at all for a node that never was there.
        """
        patience, clock = self._around.patience, AwakeClock()
        while missing := sorted(set(self._parties) - set(self._around.online())):
            if clock() > patience.online_s:
                raise PartyStoppedError(
                    "its SuperNode is not connected",
                    reason="absent",
                    party=", ".join(missing),
                )
            self._pause()

    def _join(self, fleet: Caller) -> None:
        """Ask for approval until everybody has decided, or a deadline passes."""
        patience, clock = self._around.patience, AwakeClock()
        payload = StepRequest(contract=self._body).SerializeToString()
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
                if reply.ok:
                    report = read_report(reply, "join")
                    self._watcher.on_approval(reply.party, report.estimated_s)
                elif reply.code == "refused":
                    self._watcher.on_refusal(reply.party)
                self._judge(reply, "join")

        waiting: Collection[str] = self._parties
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
            self._pause()

    def _pause(self) -> None:
        """Wait a little before asking again, unless the run ends."""
        self._over.wait(self._around.patience.again_s)
        self._check()

    def _rows(self, fleet: Caller) -> None:
        """Place the rows of the run while the nodes send what that needs."""
        around = self._around
        peers = self._post.meet(around.directory, around.clock())

        def place() -> None:
            try:
                self._post.place(peers, around.send, around.patience.step_s)
            except Fault as fault:
                self.stop(fault)
            except Exception:  # noqa: BLE001 - a border: the run is stopped
                _log.exception("a defect of the coordinator")
                self.stop(RunError("the rows of the run could not be placed"))

        over: Exception = RunError("nodes answered before their rows were placed")
        with ThreadPoolExecutor(1, "rows") as thread:
            thread.submit(place)
            try:
                self._ask(fleet, "rows", StepRequest())
            except Exception as error:
                over = error
                raise
            finally:
                self._post.end(over)  # no more will come; who waits must not wait on

    def _cards(self, reports: Mapping[str, StepReport]) -> dict[str, CardEntry]:
        for name, report in reports.items():
            if len(report.card) != _DIGEST_BYTES:
                raise RunError("has made no card", party=name, place="step evaluate")
        return {
            name: CardEntry(
                party=name, card=report.card, max_abs_points=report.max_abs_points
            )
            for name, report in reports.items()
        }

    def _manifest(self, cards: Mapping[str, CardEntry]) -> bytes:
        contract = self.contract
        return ModelManifest(
            run=contract.run,
            contract=hashlib.sha256(self._body).digest(),
            cards=[cards[name] for name in self._parties],
            base_points=contract.base_points,
            base_odds=contract.base_odds,
            points_to_double_odds=contract.points_to_double_odds,
            granularity=contract.granularity,
        ).SerializeToString(deterministic=True)
