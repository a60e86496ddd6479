"""A whole default run in this process, and everything that its label holder gets.

Director, sessions, keys, envelopes and Paillier are the product's; in memory are the
hub and Flower, which add nothing that the coordinator does not know.
"""

import threading
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path

import numpy as np
from google.protobuf.message import Message

from tests.sample_contract import sample_contract
from tests.unit.coordinator.staged_run import Notes
from veilscore.coordinator import rounds
from veilscore.coordinator import surroundings as coordinator_side
from veilscore.coordinator.directory import KeyDirectory
from veilscore.coordinator.errors import RunError
from veilscore.coordinator.fleet import StepReply
from veilscore.coordinator.incidents import Incidents
from veilscore.keys.identity import Signer
from veilscore.keys.paillier.private import PrivateKey
from veilscore.keys.paillier.workers import PaillierWorkers
from veilscore.keys.receiving import named_party, run_purpose, verify_signed_key
from veilscore.keys.registry import PartyRecord, Registry, Role
from veilscore.node.columns import Columns, NumericColumn
from veilscore.node.entities import Entities
from veilscore.node.training.mailbox import Mailbox
from veilscore.node.training.session import RunSession
from veilscore.node.training.surroundings import Surroundings
from veilscore.v1.envelope_pb2 import Envelope, EnvelopeHeader
from veilscore.v1.hub_pb2 import SignedKey
from veilscore.v1.training_pb2 import RunContract, StepRequest, TrainingMessage

COORDINATOR, LABEL_HOLDER = "coordinator", "bank"
HOLDERS = ("agriculture", LABEL_HOLDER, "regulator")
COLUMNS = {"agriculture": 3, "bank": 2, "regulator": 4}
KNOWN = {"agriculture": (60, 390), "bank": (0, 320), "regulator": (30, 420)}
ENTITIES = 420
VALUES = 5  # of every column, each in a bin of its own
RUN = "5f" * 16
NOW = 1.8e9
PAILLIER_BITS = 2048
_STEP_S = 60.0


def _never(run: str, about: object) -> None:
    raise AssertionError(run, about)


@dataclass(frozen=True, slots=True)
class Delivered:
    """One message that the label holder got, and in which step."""

    step: str
    sender: str
    message: Message


@dataclass(frozen=True)
class People:
    """The keys of everybody."""

    signers: Mapping[str, Signer]
    paillier: Mapping[str, PrivateKey]
    registry: Registry

    @classmethod
    def create(cls) -> "People":
        names = (*HOLDERS, COORDINATOR)
        signers = {name: Signer.generate() for name in names}
        paillier = {name: PrivateKey.generate(PAILLIER_BITS) for name in HOLDERS}
        records = tuple(
            PartyRecord(
                name=name,
                roles=frozenset({_role(name)}),
                key=signers[name].verify_key,
                flower_key="",
                joined=date(2026, 3, 1),
                paillier=paillier[name].certify(name) if name in paillier else None,
            )
            for name in names
        )
        registry = Registry(1, records, signers[COORDINATOR].verify_key)
        return cls(signers, paillier, registry)


def _role(name: str) -> Role:
    return Role.COORDINATOR if name == COORDINATOR else Role.DATA_HOLDER


class _Overheard(Mailbox):
    """A mailbox that keeps the last message in sight."""

    last: TrainingMessage

    def put(self, sender: str, message: TrainingMessage) -> None:
        self.last = message
        super().put(sender, message)


def tables() -> dict[str, Columns]:
    """Return what each holder knows, the label holder also who defaulted."""
    rng = np.random.default_rng(4)
    values = {
        name: rng.integers(0, VALUES, (ENTITIES, count)).astype(np.float64)
        for name, count in COLUMNS.items()
    }
    risk = np.sum([each[:, 0] for each in values.values()], axis=0)
    bad = (risk + rng.normal(0, 2, ENTITIES) > 8).astype(np.int8)
    unlabelled = np.full(ENTITIES, -1, np.int8)
    judged = rng.random(ENTITIES) < 0.3
    found: dict[str, Columns] = {}
    for name, (start, stop) in KNOWN.items():
        own = slice(start, stop)
        found[name] = Columns(
            Entities.of(f"firm-{number:03d}" for number in range(start, stop)),
            tuple(
                NumericColumn(f"{name}-{at}", column[own].copy())
                for at, column in enumerate(values[name].T)
            ),
            (bad if name == LABEL_HOLDER else unlabelled)[own].copy(),
            (judged & (name == LABEL_HOLDER))[own].copy(),
        )
    return found


@dataclass
class WholeRun:
    """One run of three holders; ``play`` it once."""

    people: People
    received: list[Delivered] = field(default_factory=list[Delivered])
    contract: RunContract = field(init=False)
    sessions: dict[str, RunSession] = field(default_factory=dict[str, RunSession])
    rows: int = 0
    _mailbox: _Overheard = field(default_factory=_Overheard)
    _hearing: threading.Lock = field(default_factory=threading.Lock)
    _director: rounds.Director = field(init=False)
    _directory: KeyDirectory = field(init=False)

    def __post_init__(self) -> None:
        prints = self.people.registry.fingerprints()
        self.contract = sample_contract(
            HOLDERS, prints, run=RUN, min_count=3, max_columns=8, max_rows=1000
        )
        self._directory = KeyDirectory(self._verify)
        signer = self.people.signers[COORDINATOR]
        around = coordinator_side.Surroundings(
            party=COORDINATOR,
            signer=signer,
            registry=self.people.registry,
            attached=lambda: HOLDERS,
            online=lambda: HOLDERS,
            publish=lambda key: self._directory.publish(COORDINATOR, key),
            directory=self._directory.keys,
            send=lambda to, data: self._carry(COORDINATOR, to, data),
            run_ended=_never,
            log=_never,
            incidents=Incidents(
                Path("/nowhere"), COORDINATOR, signer, _never, lambda: NOW
            ),
            clock=lambda: NOW,
        )
        self._director = rounds.Director(self.contract, around, Notes())

    @property
    def body(self) -> bytes:
        """The contract as all parties agree to it."""
        return self.contract.SerializeToString(deterministic=True)

    def play(self) -> None:
        """Lead the run to its end."""
        with ExitStack() as stack:
            for name, source in tables().items():
                workers = stack.enter_context(PaillierWorkers(0))
                around = self._surroundings(name, source, workers)
                mailbox = self._mailbox if name == LABEL_HOLDER else Mailbox()
                self.sessions[name] = RunSession(
                    around, self.contract, self.body, mailbox
                )
            self._director.lead(self)
            self.rows = self.sessions[LABEL_HOLDER].rows

    # -- what the director uses of Flower ---------------------------------------

    def call(
        self,
        step: str,
        payloads: Mapping[str, bytes],
        timeout_s: float,
        judge: Callable[[StepReply], object] | None = None,
        late: Callable[[RunError], object] | None = None,
    ) -> dict[str, StepReply]:
        """Let all parties do a step at once, each in a thread of its own."""
        assert timeout_s > 0
        assert judge is not None
        assert late is None
        with ThreadPoolExecutor(len(payloads)) as pool:
            waiting = {
                party: pool.submit(self._answer, party, step, payload)
                for party, payload in payloads.items()
            }
            replies = {party: future.result() for party, future in waiting.items()}
        for reply in replies.values():
            judge(reply)
        return replies

    def note_done(self, party: str) -> None:
        raise AssertionError(party)

    def note_lost(self, party: str) -> None:
        raise AssertionError(party)

    def note_left(self, party: str) -> None:
        raise AssertionError(party)

    def abort(self, reason: str) -> None:
        """End the run in every session, as the hub would tell them."""
        for session in self.sessions.values():
            session.mailbox.end(reason)

    def _answer(self, party: str, step: str, payload: bytes) -> StepReply:
        request, session = StepRequest.FromString(payload), self.sessions[party]
        if party == LABEL_HOLDER:
            self.received.append(Delivered(step, COORDINATOR, request))
        report = b""
        if step == "join":
            session.join()
        else:
            report = session.perform(step, request.manifest).SerializeToString()
        return StepReply(
            party, ok=True, payload=report, code="", reason="", message_id=""
        )

    # -- what the parties use of the hub ----------------------------------------

    def _surroundings(
        self, party: str, source: Columns, workers: PaillierWorkers
    ) -> Surroundings:
        return Surroundings(
            party=party,
            coordinator=COORDINATOR,
            signer=self.people.signers[party],
            registry=self.people.registry,
            private_key=self.people.paillier[party],
            workers=workers,
            source=source,
            send=lambda to, data: self._carry(party, to, data),
            publish=lambda key: self._directory.publish(party, key),
            directory=lambda purpose: self._look_up(party, purpose),
            clock=lambda: NOW,
            step_timeout_s=_STEP_S,
            min_rows=1,
        )

    def _verify(self, key: SignedKey, party: str, purpose: str) -> object:
        del party
        return verify_signed_key(key, self.people.registry, purpose, NOW)

    def _look_up(self, party: str, purpose: str) -> list[SignedKey]:
        assert purpose == run_purpose(RUN)
        keys = self._directory.keys(purpose)
        if party == LABEL_HOLDER:
            self.received += [Delivered("rows", named_party(key), key) for key in keys]
        return keys

    def _carry(self, sender: str, to: str, data: bytes) -> None:
        if to == COORDINATOR:
            self._director.receive(sender, data)
        elif to == LABEL_HOLDER:
            self._deliver(data)
        else:
            self.sessions[to].receive(data)

    def _deliver(self, data: bytes) -> None:
        """Give the label holder an envelope, and note what was in it."""
        header = EnvelopeHeader.FromString(Envelope.FromString(data).header)
        with self._hearing:
            self.sessions[LABEL_HOLDER].receive(data)
            inside = self._mailbox.last
            for message in (header, inside):
                self.received.append(Delivered(header.step, header.sender, message))
