"""The director of one training run: asks every node for every step, in order.

The coordinator sees who answers and when, hashes and bounds of cards, in the step
``rows`` pseudonyms (``alignment``), in sums what ``adding`` does. Nothing that a node
computes passes through here in the clear.

A run ends with the first party that refuses, fails or is lost; what ends it is raised
as a Fault that names the party. A horizontal run that all have joined goes on without
such a party, as long as its sums have enough members (``Terms.fewest``); it ends if a
member reports misconduct.
"""

import logging
import threading
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import partial

from veilscore.coordinator.adding import MOST_PHASES
from veilscore.coordinator.errors import PartyStoppedError, RunError
from veilscore.coordinator.fleet import StepReply
from veilscore.coordinator.joining import Joining
from veilscore.coordinator.manifest import read_card, write_manifest
from veilscore.coordinator.post import RunPost
from veilscore.coordinator.replies import (
    MISCONDUCT,
    UNREACHABLE,
    check_reply,
    read_report,
)
from veilscore.coordinator.sums import Sums, run_terms
from veilscore.coordinator.surroundings import Caller, Surroundings, Watcher
from veilscore.fault import Fault
from veilscore.keys.aggregation.terms import fewest_of
from veilscore.models.steps import steps
from veilscore.runtime.errors import PeerLostError
from veilscore.v1.score_pb2 import CardEntry
from veilscore.v1.training_pb2 import RunContract, StepReport, StepRequest

_log = logging.getLogger(__name__)


class Director:
    """Leads one run; ``lead`` is called once, the rest from any thread."""

    def __init__(
        self, contract: RunContract, around: Surroundings, watcher: Watcher
    ) -> None:
        self.contract = contract
        self.step = ""
        self._body = contract.SerializeToString(deterministic=True)
        self._parties = tuple(entry.party for entry in contract.roster)  # still in
        self._fewest = len(self._parties)  # below which the run ends
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
        self._sums: Sums | None = None  # of a horizontal run, once all have joined

    # -- told by the hub and by the operator -----------------------------------

    def receive(self, sender: str, data: bytes) -> None:
        """Take an envelope for the coordinator; a bad one costs its sender the run."""
        try:
            self._post.receive(sender, data)
        except Fault as fault:
            self._leave(sender, fault)

    def lose(self, party: str, reason: str) -> None:
        """Go on without a party that is gone, or end the run."""
        self._leave(
            party,
            PeerLostError(
                f"was lost during the run: {reason}",
                party=party,
                remedy="Start the run again when that node is back.",
            ),
        )

    def lose_step(self, party: str, step: str) -> None:
        """Do the same if a party's message or reply in this step is gone.

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
            self._leave(
                party,
                PartyStoppedError(
                    "its SuperNode lost a message of Flower",
                    reason="supernode",
                    party=party,
                    place=f"step {step}",
                    remedy="Start the run again; if it recurs, read that node's log "
                    "and its flower/supernode.log.",
                ),
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

    def _leave(self, party: str, reason: Fault) -> None:
        """Go on without a party if the run can; else ``reason`` ends it."""
        with self._lock:
            if party not in self._parties or self._over.is_set():
                return
            left = tuple(name for name in self._parties if name != party)
            goes_on = len(left) >= self._fewest
            if goes_on:
                self._parties = left
            fleet, sums = self._fleet, self._sums
        if not goes_on:
            self.stop(reason)
            return
        self._watcher.on_left(party, reason)
        self._around.run_ended(self.contract.run, party)
        if sums is not None:
            sums.note_left(party)
        if fleet is not None:
            fleet.note_left(party)

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
        finally:
            self._over.set()

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
                    self._join(fleet)
                case "register":
                    cards = {name: cards[name] for name in self._parties}
                    manifest = write_manifest(self.contract, cards)
                    self._ask(fleet, step, StepRequest(manifest=manifest))
                case _:
                    reports = self._perform(fleet, step)
                    if step == "bins":
                        self._tolerate_losses()
                    if step == "evaluate":
                        cards = self._cards(reports)
            self._check()
        return manifest

    def _perform(self, fleet: Caller, step: str) -> dict[str, StepReport]:
        """Have a step of training done, with what the coordinator does beside it."""
        if self._sums is not None:
            part: Callable[[], None] = partial(self._sums.play, step)
            done = "their sum was made"
        elif step == "rows":
            part, done = self._rows(), "their rows were placed"
        else:
            return self._ask(fleet, step, StepRequest())
        over = RunError(f"nodes answered before {done}", place=f"step {step}")
        return self._beside(fleet, step, part, over)

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

    def _join(self, fleet: Caller) -> None:
        """Let all parties join; whoever is lost before they have ends the run."""
        horizontal = self.contract.HasField("horizontal")
        terms = run_terms(self.contract, self._around.registry) if horizontal else None
        Joining(
            self._parties,
            self._body,
            self._around,
            self._watcher,
            judge=lambda reply: self._judge(reply, "join"),
            pause=self._pause,
        ).play(fleet)
        if terms is None:
            return
        peers = self._post.meet(self._around.directory, self._around.clock())
        sums = Sums(terms, self._post, peers, self._around, self._leave)
        with self._lock:
            self._sums = sums

    def _pause(self) -> None:
        """Wait a little before asking again, unless the run ends."""
        self._over.wait(self._around.patience.again_s)
        self._check()

    def _ask(
        self, fleet: Caller, step: str, request: StepRequest
    ) -> dict[str, StepReport]:
        """Ask all parties for a step; return the reports of those that are still in."""
        patience, sums = self._around.patience, self._sums
        reports: dict[str, StepReport] = {}

        def judge(reply: StepReply) -> None:
            if reply.party not in self._parties:
                return
            try:
                reports[reply.party] = self._judge(reply, step)
            except Fault as fault:
                if reply.code == MISCONDUCT:
                    # If who reports it were left out, a member could put others out by
                    # what it deals them, and see sums with and without them.
                    self.stop(fault)
                else:
                    self._leave(reply.party, fault)
                self._check()
            if sums is not None:
                sums.note_answer(reply.party)

        def late(fault: RunError) -> None:
            self._leave(fault.party, fault)
            self._check()

        limit_s = patience.step_s
        if sums is not None:  # who is late for a sum is put out first
            limit_s += MOST_PHASES * patience.phase_s
        payloads = dict.fromkeys(self._parties, request.SerializeToString())
        may_lose = len(self._parties) > self._fewest
        fleet.call(step, payloads, limit_s, judge, late if may_lose else None)
        return {name: reports[name] for name in self._parties}

    def _judge(self, reply: StepReply, step: str) -> StepReport:
        """Raise if the party refused, failed or could not reach this coordinator.

        If its line broke for good, the hub says so within a moment, and names it. If
        the hub says nothing, it was this end or a line that healed: nobody is blamed.
        """
        if reply.code == UNREACHABLE:
            self._over.wait(self._around.patience.verdict_s)
        check_reply(reply, step)
        return read_report(reply, step)

    def _beside(
        self, fleet: Caller, step: str, part: Callable[[], None], over: Exception
    ) -> dict[str, StepReport]:
        """Ask for a step beside the coordinator's part, which ``over`` ends."""

        def play() -> None:
            try:
                part()
            except Fault as fault:
                self.stop(fault)
            except Exception:  # noqa: BLE001 - a border: the run is stopped
                _log.exception("a defect of the coordinator")
                self.stop(RunError("failed in its own part", place=f"step {step}"))

        self._post.begin()
        with ThreadPoolExecutor(1, step) as thread:
            thread.submit(play)
            try:
                return self._ask(fleet, step, StepRequest())
            except Exception as error:
                over = error
                raise
            finally:
                self._post.end(over)  # no more will come; who waits must not wait on

    def _tolerate_losses(self) -> None:
        """Go on without members that are lost from now on, down to a sum's fewest.

        Not before: counts of the same rows with and without a member would show its
        own, and members reveal nothing of such sums (``Terms.whole``).
        """
        with self._lock:
            self._fewest = fewest_of(self.contract)

    def _rows(self) -> Callable[[], None]:
        """Return what places the rows of the run."""
        around = self._around
        peers = self._post.meet(around.directory, around.clock())
        return lambda: self._post.place(peers, around.send, around.patience.step_s)

    def _cards(self, reports: Mapping[str, StepReport]) -> dict[str, CardEntry]:
        """Return what the parties that are still in say of their cards."""
        cards: dict[str, CardEntry] = {}
        for party, report in reports.items():
            try:
                cards[party] = read_card(party, report)
            except RunError as fault:
                self._leave(party, fault)
                self._check()
        return cards
