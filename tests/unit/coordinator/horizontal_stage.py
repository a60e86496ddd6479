"""A horizontal run without Flower and without a hub: members that a director calls.

Members add up for real, in envelopes sealed as on the wire; what they add up is drawn
at random. A test says who dies before which message, and what a member sends besides.
"""

import hashlib
import queue
import threading
import time
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from tests.protocol.aggregation_round import HUB, NAMES, SIGNERS, Vector
from tests.protocol.summed_run import SummedMember, kind_of
from tests.unit.coordinator.staged_run import Notes, StagedFleet, card_report, ok
from veilscore.coordinator.directory import KeyDirectory
from veilscore.coordinator.fleet import StepReply
from veilscore.coordinator.incidents import Incidents
from veilscore.coordinator.rounds import Director
from veilscore.coordinator.sums import run_terms
from veilscore.coordinator.surroundings import Patience, Surroundings
from veilscore.keys.aggregation.wire import Kind, write
from veilscore.keys.receiving import (
    PeerKeys,
    ReceivingKeys,
    run_purpose,
    verify_signed_key,
)
from veilscore.keys.registry import PartyRecord, Registry, Role
from veilscore.keys.sealing import Opener, Sealer
from veilscore.keys.tlog.events import Detail
from veilscore.runtime.errors import PeerLostError
from veilscore.v1.aggregation_pb2 import MaskedInput
from veilscore.v1.audit_pb2 import SumMade
from veilscore.v1.hub_pb2 import SignedKey
from veilscore.v1.training_pb2 import (
    HorizontalTerms,
    RosterEntry,
    RunContract,
    SumMessage,
    TrainingMessage,
)

if TYPE_CHECKING:
    from collections.abc import Callable

RUN = "6f" * 16
LENGTH = 4
SUMS = {"bins": 2, "round-1": 1, "round-2": 1, "evaluate": 1}


def registry() -> Registry:
    """Return the registry of ten counties and their coordinator."""
    records = [
        PartyRecord(
            name=name,
            roles=frozenset({Role.COORDINATOR if name == HUB else Role.DATA_HOLDER}),
            key=signer.verify_key,
            flower_key="",
            joined=date(2026, 3, 1),
        )
        for name, signer in sorted(SIGNERS.items())
    ]
    file = Registry.sign(records, SIGNERS[HUB], 1)
    return Registry.load(file, SIGNERS[HUB].verify_key.fingerprint)


def contract(known: Registry, members: int) -> RunContract:
    """Return a contract of the first so many counties."""
    prints = known.fingerprints()
    return RunContract(
        run=RUN,
        roster=[RosterEntry(party=n, fingerprint=prints[n]) for n in NAMES[:members]],
        base_points=600,
        base_odds=20.0,
        points_to_double_odds=40.0,
        granularity=1,
        max_rows=1000,
        horizontal=HorizontalTerms(rounds=2, colluding=1),
    )


class Ended(Exception):  # noqa: N818 - no error: the member is told
    """The run is over for a member."""


class County:
    """A member as the coordinator sees it."""

    def __init__(self, name: str, stage: "HorizontalStage") -> None:
        self.name = name
        self.stage = stage
        self.scripted: dict[str, Callable[[], StepReply]] = {}
        self.dies_before: tuple[str, str] = ("", "")  # in which step, which message
        self.is_noticed = True  # by the hub, when it dies
        self.asked: list[str] = []
        self.begun: list[tuple[int, int]] = []  # rounds; sums that the log had then
        self.over = threading.Event()  # the hub said that the run is
        self.player = SummedMember(name, stage.terms, SIGNERS[name])
        self.report = card_report(name)  # of the step evaluate
        self.besides: Callable[[SumMessage], None] = lambda _: None
        self.step = ""
        self._keys = ReceivingKeys.generate()
        self._arrived: queue.Queue[SumMessage] = queue.Queue()

    def answer(self, step: str) -> StepReply:
        """Do a step."""
        self.asked.append(step)
        self.step = step
        if step in self.scripted:
            return self.scripted[step]()
        try:
            if step == "join":
                self._join()
            whole = step == "bins"
            self.player.attempt = replace(self.player.attempt, whole=whole)
            for number in range(SUMS.get(step, 0)):
                self._add(f"{step}, {number}")
        except Ended:
            return StepReply(
                self.name, ok=False, payload=b"", code="run-failed", reason="",
                message_id="",
            )  # fmt: skip
        return ok(self.name, self.report if step == "evaluate" else None)

    def open(self, envelope: bytes) -> None:
        """Take an envelope of the coordinator."""
        _, plaintext = self._opener.open(envelope, self.stage.registry)
        message = TrainingMessage.FromString(plaintext).sum
        if message.HasField("begins"):
            self.begun.append((message.begins.round, len(self.stage.made)))
        self._arrived.put(message)

    def send(self, message: SumMessage) -> None:
        """Send the coordinator a message, or die before."""
        if self.dies_before == (self.step, kind_of(message)):
            if self.is_noticed:
                self.stage.director.lose(self.name, "it has left")
            self.stage.released.wait(60)
            raise Ended
        purpose = run_purpose(RUN)
        keys = [self.stage.verify(k, "", purpose) for k in self.stage.keys(purpose)]
        peer = next(key for key in keys if key.party == HUB)
        data = TrainingMessage(sum=message).SerializeToString()
        envelope = self._sealer.seal(self.step, peer, data)
        self.stage.director.receive(self.name, envelope)
        self.besides(message)

    def _join(self) -> None:
        now, purpose = int(time.time()), run_purpose(RUN)
        signer = SIGNERS[self.name]
        signed = self._keys.signed(
            signer, self.name, purpose, paillier=None, not_before=now - 5,
            not_after=now + 600,
        )  # fmt: skip
        self.stage.directory.publish(self.name, signed)
        key = self.stage.verify(signed, self.name, purpose)
        keys = {key.key_id: self._keys}
        self._opener = Opener(self.name, purpose, keys, {}, 1 << 20)
        self._sealer = Sealer(signer, self.name, {})

    def _add(self, label: str) -> None:
        vector: Vector = np.random.default_rng().integers(
            0, 2**64, LENGTH, dtype=np.uint64
        )
        self.stage.vectors[label, self.name] = vector
        due = len(self.player.sums) + 1
        self.send(self.player.want(vector, label))
        while len(self.player.sums) < due:
            answer = self.player.hear(self._next())
            if answer is not None:
                self.send(answer)
        self.stage.check(label, self.player)

    def _next(self) -> SumMessage:
        while True:
            try:
                return self._arrived.get(timeout=0.02)
            except queue.Empty:
                if self.over.is_set() or self.stage.released.is_set():
                    raise Ended from None


class HorizontalStage:
    """One run, its members and its director; ``story`` is what happened in order."""

    def __init__(
        self, members: int, folder: Path, patience: Patience | None = None
    ) -> None:
        self.registry = registry()
        self.contract = contract(self.registry, members)
        self.terms = run_terms(self.contract, self.registry)
        self.names = NAMES[:members]
        self.folder = folder / "incidents"
        self.story: list[tuple[str, object]] = []
        self.vectors: dict[tuple[str, str], Vector] = {}
        self.unheard: set[str] = set()  # who takes nothing that is sent to it
        self.released = threading.Event()
        self.directory = KeyDirectory(self.verify)
        self.nodes = {name: County(name, self) for name in self.names}
        self.fleet = StagedFleet(self.nodes)
        self.notes = Notes()
        self.around = Surroundings(
            party=HUB,
            signer=SIGNERS[HUB],
            registry=self.registry,
            attached=lambda: self.names,
            online=lambda: self.names,
            publish=lambda key: self.directory.publish(HUB, key),
            directory=self.keys,
            send=self._send,
            run_ended=self._tell_end,
            log=self._log,
            incidents=Incidents(self.folder, HUB, SIGNERS[HUB], self._log, time.time),
            clock=time.time,
            patience=patience or Patience(again_s=0.01),
        )
        self.director = Director(self.contract, self.around, self.notes)

    @property
    def made(self) -> list[SumMade]:
        """What the log says of sums."""
        return [each for _, each in self.story if isinstance(each, SumMade)]

    @property
    def ended(self) -> list[str]:
        """Who was told that the run is over for it."""
        return [str(party) for what, party in self.story if what == "ended"]

    def lead(self) -> bytes:
        """Lead the run to its end."""
        try:
            return self.director.lead(self.fleet)
        finally:
            self.released.set()

    def keys(self, purpose: str) -> list[SignedKey]:
        """Return what parties published."""
        return list(self.directory.keys(purpose))

    def verify(self, key: SignedKey, party: str, purpose: str) -> PeerKeys:
        """Return a published key."""
        del party
        return verify_signed_key(key, self.registry, purpose, time.time())

    def check(self, label: str, player: SummedMember) -> None:
        """Fail unless a member got the exact sum of those that the log names."""
        found, made = player.sums[-1], self.made[len(player.sums) - 1]
        assert sorted(found.survivors) == list(made.members)
        assert found.digest == made.total
        expected = np.zeros(LENGTH, dtype=np.uint64)
        for name in found.survivors:
            expected += self.vectors[label, name]
        assert np.array_equal(found.total, expected)

    def break_rules(self, name: str) -> None:
        """Let a member sign another masked vector in the first round."""
        node = self.nodes[name]

        def again(message: SumMessage) -> None:
            if node.step == "round-1" and kind_of(message) == Kind.MASKED:
                node.besides = lambda _: None
                words = bytes(8 * LENGTH)
                content = MaskedInput(words=hashlib.sha256(words).digest())
                attempt, signer = node.player.attempt, SIGNERS[name]
                signed = write(attempt, name, signer, Kind.MASKED, content, words)
                node.send(SumMessage(signed=signed))

        node.besides = again

    def _send(self, party: str, data: bytes) -> None:
        if party in self.unheard:
            raise PeerLostError("this party does not take what is sent to it")
        self.nodes[party].open(data)

    def _tell_end(self, run: str, party: str) -> None:
        assert run == RUN
        self.story.append(("ended", party))
        self.nodes[party].over.set()

    def _log(self, run: str, event: Detail) -> None:
        assert run == RUN
        self.story.append(("logged", event))
