"""A run without Flower and without a hub: scripted nodes that a director calls.

The nodes align for real: their sets go round the ring in memory, what is addressed to
the coordinator and what it answers is sealed as on the wire.
"""

import queue
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

import numpy as np

from tests.sample_contract import sample_contract
from tests.unit.tlog.sample_log import Parties
from veilscore.coordinator.directory import KeyDirectory
from veilscore.coordinator.errors import RunError
from veilscore.coordinator.fleet import StepReply
from veilscore.coordinator.incidents import Incidents
from veilscore.coordinator.rounds import Director
from veilscore.coordinator.surroundings import Patience, Surroundings
from veilscore.fault import Fault
from veilscore.keys.receiving import (
    PeerKeys,
    ReceivingKeys,
    run_purpose,
    verify_signed_key,
)
from veilscore.keys.sealing import Opener, Sealer
from veilscore.models.script import drive
from veilscore.node.training.alignment import Alignment, align
from veilscore.v1.hub_pb2 import SignedKey
from veilscore.v1.training_pb2 import (
    RunContract,
    StepReport,
    TrainingMessage,
)

RUN = "5f" * 16
HOLDERS = ("bank", "bureau", "market")
IDS = {
    "bank": [f"firm-{n}" for n in range(30)],
    "bureau": [f"firm-{n}" for n in range(10, 50)],
    "market": [f"firm-{n}" for n in range(5, 45)],
}
ESTIMATES = {"bank": 40, "bureau": 33, "market": 0}
COORDINATOR = "hub"


def contract(parties: Parties, holders: Sequence[str] = HOLDERS) -> RunContract:
    fingerprints = parties.registry.fingerprints()
    return sample_contract(
        holders,
        fingerprints,
        run=RUN,
        key_bits=3072,
        max_rows=1000,
        granularity=5,
    )


def ok(party: str, report: StepReport | None = None) -> StepReply:
    payload = (report or StepReport()).SerializeToString()
    return StepReply(party, ok=True, payload=payload, code="", reason="", message_id="")


def failed(party: str, code: str, reason: str = "") -> StepReply:
    return StepReply(
        party, ok=False, payload=b"", code=code, reason=reason, message_id=""
    )


def nothing(run: str, about: object) -> None:
    """Fail: no vertical run tells anything of this to its surroundings."""
    raise AssertionError(run, about)


class SimulatedNode:
    """A node as the coordinator sees it; ``scripted`` replies come before its own."""

    def __init__(self, name: str, stage: "Stage") -> None:
        self.name = name
        self.stage = stage
        self.scripted: dict[str, list[Callable[[], StepReply]]] = {}
        self.asked: list[str] = []
        self.alignment: Alignment | None = None
        self.tamper: Callable[[TrainingMessage], TrainingMessage] = lambda sent: sent
        self.deliver: Callable[[str, bytes], None] = self._to_director
        self._keys = ReceivingKeys.generate()
        self._arrived: queue.Queue[tuple[str, TrainingMessage]] = queue.Queue()

    def answer(self, step: str) -> StepReply:
        self.asked.append(step)
        if replies := self.scripted.get(step):
            return replies.pop(0)()
        match step:
            case "join":
                self.join()
                report = StepReport(estimated_s=ESTIMATES[self.name])
                return ok(self.name, report)
            case "rows":
                self.align()
            case "evaluate":
                return ok(self.name, card_report(self.name))
            case _:
                pass
        return ok(self.name)

    def join(self) -> None:
        now = int(time.time())
        signed = self._keys.signed(
            self.stage.parties.signers[self.name],
            self.name,
            run_purpose(RUN),
            paillier=None,
            not_before=now - 5,
            not_after=now + 60,
        )
        self.stage.directory.publish(self.name, signed)
        key = self.stage.verify(signed, self.name, run_purpose(RUN))
        self._opener = Opener(
            self.name, run_purpose(RUN), {key.key_id: self._keys}, {}, 1 << 20
        )
        self._sealer = Sealer(self.stage.parties.signers[self.name], self.name, {})

    def align(self) -> None:
        ids = IDS[self.name]
        labelled = np.full(len(ids), self.name == "bank")
        script = align(self.name, HOLDERS, COORDINATOR, RUN, ids, labelled)
        self.alignment = drive(
            script,
            send=lambda action: self.send(action.to, self.tamper(action.message)),
            wait=lambda action: self.wait(action.kind, action.senders),
            show=lambda _: None,
        )

    def send(self, to: str, message: TrainingMessage) -> None:
        if to == COORDINATOR:
            envelope = self.seal(message)
            self.deliver(self.name, envelope)
        else:
            self.stage.nodes[to].take(self.name, message)

    def _to_director(self, sender: str, envelope: bytes) -> None:
        self.stage.director.receive(sender, envelope)

    def seal(self, message: TrainingMessage) -> bytes:
        """Return an envelope for the coordinator."""
        keys = self.stage.directory.keys(run_purpose(RUN))
        found = [self.stage.verify(key, "", run_purpose(RUN)) for key in keys]
        peer = next(key for key in found if key.party == COORDINATOR)
        return self._sealer.seal("rows", peer, message.SerializeToString())

    def open(self, envelope: bytes) -> None:
        """Take an envelope of the coordinator."""
        header, plaintext = self._opener.open(envelope, self.stage.parties.registry)
        self.take(header.sender, TrainingMessage.FromString(plaintext))

    def take(self, sender: str, message: TrainingMessage) -> None:
        self._arrived.put((sender, message))

    def wait(self, kind: str, senders: Sequence[str]) -> dict[str, TrainingMessage]:
        kept: list[tuple[str, TrainingMessage]] = []
        found: dict[str, TrainingMessage] = {}
        while len(found) < len(senders):
            try:
                sender, message = self._arrived.get(timeout=0.05)
            except queue.Empty:
                assert not self.stage.released.is_set(), "the run is over"
                continue
            if sender in senders and message.WhichOneof("body") == kind:
                found[sender] = message
            else:
                kept.append((sender, message))
        for item in kept:
            self._arrived.put(item)
        return found


def card_report(name: str) -> StepReport:
    return StepReport(card=name.encode().ljust(32, b"."), max_abs_points=len(name))


class Answering(Protocol):
    """A node that answers steps."""

    def answer(self, step: str) -> StepReply:
        """Do a step."""
        ...


class StagedFleet:
    """What ``Fleet`` is, over simulated nodes in threads."""

    def __init__(self, nodes: Mapping[str, Answering]) -> None:
        self.calls: list[tuple[str, dict[str, bytes]]] = []
        self.done: list[str] = []
        self.left: list[str] = []
        self.silent: list[str] = []  # who does not answer a call in time
        self._lost: set[str] = set()
        self._nodes = nodes
        self._aborted = ""

    def call(
        self,
        step: str,
        payloads: Mapping[str, bytes],
        timeout_s: float,
        judge: Callable[[StepReply], object] | None = None,
        late: Callable[[RunError], object] | None = None,
    ) -> dict[str, StepReply]:
        assert timeout_s > 0
        self._check()
        self.calls.append((step, dict(payloads)))
        # Not waited for at the end: a node may hang, as in production.
        pool = ThreadPoolExecutor(len(payloads))
        waiting: dict[str, Future[StepReply]] = {
            party: pool.submit(self._nodes[party].answer, step) for party in payloads
        }
        pool.shutdown(wait=False)
        replies: dict[str, StepReply] = {}
        while waiting:
            self._check()
            wait(waiting.values(), 0.01, FIRST_COMPLETED)
            for party, future in list(waiting.items()):
                if party in self.silent and late is not None:
                    self.silent.remove(party)
                    late(RunError("no answer in time", party=party))
                    self._lost.add(party)
                if party in self._lost | set(self.left):
                    self._lost.discard(party)
                    replies[party] = failed(party, "node-unavailable")
                elif future.done():
                    replies[party] = future.result()
                else:
                    continue
                del waiting[party]
                if judge is not None:
                    judge(replies[party])
        return replies

    def note_done(self, party: str) -> None:
        self.done.append(party)

    def note_lost(self, party: str) -> None:
        self._lost.add(party)

    def note_left(self, party: str) -> None:
        self.left.append(party)

    def abort(self, reason: str) -> None:
        self._aborted = reason

    def _check(self) -> None:
        if self._aborted:
            raise RunError(self._aborted)


@dataclass
class Notes:
    """What a watcher was told."""

    steps: list[str] = field(default_factory=list[str])
    estimates: dict[str, int] = field(default_factory=dict[str, int])  # who approved
    refusals: list[str] = field(default_factory=list[str])
    left: dict[str, Fault] = field(default_factory=dict[str, Fault])

    def on_step(self, step: str) -> None:
        self.steps.append(step)

    def on_approval(self, party: str, estimated_s: int) -> None:
        self.estimates[party] = estimated_s

    def on_refusal(self, party: str) -> None:
        self.refusals.append(party)

    def on_left(self, party: str, fault: Fault) -> None:
        self.left[party] = fault


class Stage:
    """One run, its nodes and its director."""

    def __init__(self, parties: Parties, patience: Patience | None = None) -> None:
        self.parties = parties
        self.attached = set(HOLDERS)
        self.online = set(HOLDERS)
        self.directory = KeyDirectory(self.verify)
        self.nodes = {name: SimulatedNode(name, self) for name in HOLDERS}
        self.fleet = StagedFleet(self.nodes)
        self.notes = Notes()
        self.released = threading.Event()
        self.around = Surroundings(
            party=COORDINATOR,
            signer=parties.signers[COORDINATOR],
            registry=parties.registry,
            attached=lambda: self.attached,
            online=lambda: self.online,
            publish=lambda key: self.directory.publish(COORDINATOR, key),
            directory=self.directory.keys,
            send=lambda party, data: self.nodes[party].open(data),
            run_ended=nothing,
            log=nothing,
            incidents=Incidents(
                Path("/nowhere"),
                COORDINATOR,
                parties.signers[COORDINATOR],
                nothing,
                time.time,
            ),
            clock=time.time,
            patience=patience or Patience(again_s=0.01),
        )
        self.director = Director(contract(parties), self.around, self.notes)

    def verify(self, key: SignedKey, party: str, purpose: str) -> PeerKeys:
        del party
        return verify_signed_key(key, self.parties.registry, purpose, time.time())

    def lead(self) -> bytes:
        return self.director.lead(self.fleet)

    def hang(self, party: str, step: str) -> None:
        """Make a node answer a step only when the test is over."""

        def later() -> StepReply:
            self.released.wait(20)
            return ok(party)

        self.nodes[party].scripted[step] = [later]
