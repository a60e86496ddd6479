"""A whole horizontal run in this process: director, sums, sessions, envelopes.

All of it is the product's but the hub and Flower, which add nothing that the
coordinator does not know. Members can be killed in the midst of a step; everything that
the coordinator gets is kept as it can read it.
"""

import threading
from collections.abc import Callable, Generator, Mapping
from concurrent.futures import FIRST_COMPLETED, ThreadPoolExecutor, wait
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeAlias
from unittest.mock import patch

import numpy as np

from tests.protocol.counties import (
    HUB,
    RUN,
    contract,
    county,
    paillier,
    registry,
    signer,
)
from tests.protocol.farm_tables import farms
from veilscore.coordinator.directory import KeyDirectory
from veilscore.coordinator.errors import RunError
from veilscore.coordinator.fleet import StepReply
from veilscore.coordinator.inbox import Inbox
from veilscore.coordinator.incidents import Incidents
from veilscore.coordinator.rounds import Director
from veilscore.coordinator.surroundings import Patience
from veilscore.coordinator.surroundings import Surroundings as CoordinatorSurroundings
from veilscore.fault import Fault
from veilscore.keys.paillier.workers import PaillierWorkers
from veilscore.keys.receiving import verify_signed_key
from veilscore.keys.registry import Registry
from veilscore.keys.tlog.events import Detail
from veilscore.models.horizontal.ports import Words
from veilscore.models.script import Action, Arrived
from veilscore.node.columns import Columns
from veilscore.node.training.session import RunSession
from veilscore.node.training.summing import Sums
from veilscore.node.training.surroundings import Surroundings
from veilscore.v1.audit_pb2 import SumMade
from veilscore.v1.hub_pb2 import SignedKey
from veilscore.v1.training_pb2 import (
    RunContract,
    StepRequest,
    TrainingMessage,
)

Adding: TypeAlias = Generator[Action, Arrived, Words]

NOW = 1.8e9
_STEP_S = 60.0


@dataclass(frozen=True, slots=True)
class Heard:
    """What the coordinator got from a party, as it can read it."""

    sender: str
    message: TrainingMessage


@dataclass(frozen=True, slots=True)
class Report:
    """What the coordinator got from a party through Flower."""

    party: str
    step: str
    data: bytes


@dataclass(frozen=True, slots=True)
class Summand:
    """A member's vector before any mask, which nobody else may see; or a sum."""

    party: str
    label: str
    words: Words


@dataclass
class RegionRun:
    """One run of so many counties; ``play`` it once.

    ``table`` gives the n-th member's rows, ``hand_in`` may change a party's vector of a
    sum before it is masked. ``on_heard`` sees each message of a member
    before the coordinator takes it, and may kill the member by raising
    :class:`KilledError`: the message is lost, and the hub says so. ``summands`` are
    what members hand in, before any mask, and ``totals`` the sums that they get.
    """

    state: Path
    members: int = 3
    rounds: int = 2
    own: str = "nothing"
    table: Callable[[int], Columns] = farms
    hand_in: Callable[[str, str, Words], Words] = lambda _party, _label, words: words
    on_heard: Callable[[str, TrainingMessage], object] = lambda _sender, _said: None
    sessions: dict[str, RunSession] = field(default_factory=dict[str, RunSession])
    heard: list[Heard] = field(default_factory=list[Heard])
    summands: list[Summand] = field(default_factory=list[Summand])
    totals: list[Summand] = field(default_factory=list[Summand])
    reports: list[Report] = field(default_factory=list[Report])
    logged: list[Detail] = field(default_factory=list[Detail])
    left: dict[str, Fault] = field(default_factory=dict[str, Fault])
    failed: dict[str, Exception] = field(default_factory=dict[str, Exception])
    director: Director = field(init=False)
    contract: RunContract = field(init=False)
    _registry: Registry = field(init=False)
    _directory: KeyDirectory = field(init=False)
    _gone: set[str] = field(default_factory=set[str])
    _stopped: threading.Event = field(default_factory=threading.Event)

    def __post_init__(self) -> None:
        self.contract = contract(self.members, self.rounds, self.own)
        self._registry = registry(self.members)
        self._directory = KeyDirectory(self._verify)
        self.director = Director(self.contract, self._coordinator(), self)

    @property
    def names(self) -> list[str]:
        return [county(number) for number in range(self.members)]

    @property
    def made(self) -> list[SumMade]:  # as the log says
        return [each for each in self.logged if isinstance(each, SumMade)]

    def check_sums(self) -> None:
        """Hold every sum that a member got against those who are said to be in it."""
        labels = list(dict.fromkeys(each.label for each in self.summands))
        made = {labels[each.round - 1]: each.members for each in self.made}
        for total in self.totals:
            expected = np.zeros_like(total.words)
            for each in self.summands:
                if each.label == total.label and each.party in made[total.label]:
                    expected += each.words
            np.testing.assert_array_equal(total.words, expected)

    def play(self) -> bytes:
        """Lead the run to its end; return the manifest, or raise what ended it."""
        body = self.contract.SerializeToString(deterministic=True)
        put, add = Inbox.put, Sums.add

        def heard(inbox: Inbox, sender: str, message: TrainingMessage) -> None:
            self.on_heard(sender, message)
            self.heard.append(Heard(sender, message))
            put(inbox, sender, message)

        def noted(
            sums: Sums, label: str, words: Words, *, whole: bool = False
        ) -> Adding:
            party = sums.around.party
            words = self.hand_in(party, label, words)
            self.summands.append(Summand(party, label, words.copy()))
            total = yield from add(sums, label, words, whole=whole)
            self.totals.append(Summand(party, label, total.copy()))
            return total

        with ExitStack() as stack:
            stack.enter_context(patch.object(Inbox, "put", heard))
            stack.enter_context(patch.object(Sums, "add", noted))
            for number, name in enumerate(self.names):
                workers = stack.enter_context(PaillierWorkers(0))
                around = self._node(name, self.table(number), workers)
                self.sessions[name] = RunSession(around, self.contract, body)
            return self.director.lead(self)

    def kill(self, party: str) -> None:
        """Let a member's process end at once."""
        self._gone.add(party)
        self.sessions[party].mailbox.end("killed")
        self.director.lose(party, "its connection broke and it did not come back")

    # -- what the director uses of Flower ------------------------------------------

    def call(
        self,
        step: str,
        payloads: Mapping[str, bytes],
        timeout_s: float,
        judge: Callable[[StepReply], object] | None = None,
        late: Callable[[RunError], object] | None = None,
    ) -> dict[str, StepReply]:
        """Let all parties do a step at once; judge their replies as they come."""
        del late
        assert timeout_s > 0
        assert judge is not None
        replies: dict[str, StepReply] = {}
        with ThreadPoolExecutor(len(payloads)) as pool:
            waiting = {
                pool.submit(self._answer, party, step, payload): party
                for party, payload in payloads.items()
            }
            while waiting:
                done, _ = wait(waiting, return_when=FIRST_COMPLETED)
                for future in done:
                    party, reply = waiting.pop(future), future.result()
                    if reply is not None:
                        replies[party] = reply
                        self.reports.append(Report(party, step, reply.payload))
                        judge(reply)
                if self._stopped.is_set():
                    raise RunError("the run was stopped")
        return replies

    def note_done(self, party: str) -> None:
        raise AssertionError(party)

    def note_lost(self, party: str) -> None:
        raise AssertionError(party)

    def note_left(self, party: str) -> None:
        """Note that nobody waits for a party any more: ``call`` does not anyway."""
        self._gone.add(party)

    def abort(self, reason: str) -> None:
        """End the run in every session, as the hub would tell them."""
        self._stopped.set()
        for session in self.sessions.values():
            session.mailbox.end(reason)

    def _answer(self, party: str, step: str, payload: bytes) -> StepReply | None:
        request, session = StepRequest.FromString(payload), self.sessions[party]
        try:
            if step == "join":
                session.join()
                report = b""
            else:
                report = session.perform(step, request.manifest).SerializeToString()
        except KilledError:
            self.kill(party)
            return None
        except Exception as error:  # noqa: BLE001 - as the desk's border
            if party in self._gone:
                return None
            self.failed[party] = error
            code = error.code if isinstance(error, Fault) else "training"
            return StepReply(party, False, b"", code, "", "")  # noqa: FBT003 - ok
        return StepReply(
            party, ok=True, payload=report, code="", reason="", message_id=""
        )

    # -- who follows the run ---------------------------------------------------------

    def on_step(self, step: str) -> None:
        assert step

    def on_approval(self, party: str, estimated_s: int) -> None:
        assert party in self.names
        assert estimated_s == 0

    def on_refusal(self, party: str) -> None:
        raise AssertionError(party)

    def on_left(self, party: str, fault: Fault) -> None:
        self.left[party] = fault

    # -- what the parties use of the hub ---------------------------------------------

    def _coordinator(self) -> CoordinatorSurroundings:
        return CoordinatorSurroundings(
            party=HUB,
            signer=signer(HUB),
            registry=self._registry,
            attached=lambda: self.names,
            online=lambda: self.names,
            publish=lambda key: self._directory.publish(HUB, key),
            directory=self._directory.keys,
            send=self._tell,
            run_ended=self._end_for,
            log=self._log,
            incidents=Incidents(self.state, HUB, signer(HUB), self._log, lambda: NOW),
            clock=lambda: NOW,
            patience=Patience(phase_s=5.0, verdict_s=0.1, again_s=0.05),
        )

    def _node(
        self, party: str, source: Columns, workers: PaillierWorkers
    ) -> Surroundings:
        return Surroundings(
            party=party,
            coordinator=HUB,
            signer=signer(party),
            registry=self._registry,
            private_key=paillier(party),
            workers=workers,
            source=source,
            send=lambda to, data: self._carry(party, to, data),
            publish=lambda key: self._directory.publish(party, key),
            directory=self._directory.keys,
            clock=lambda: NOW,
            step_timeout_s=_STEP_S,
            min_rows=1,
        )

    def _log(self, run: str, detail: Detail) -> None:
        assert run == RUN
        self.logged.append(detail)

    def _tell(self, to: str, data: bytes) -> None:
        if to not in self._gone:
            self.sessions[to].receive(data)

    def _end_for(self, run: str, party: str) -> None:
        assert run == RUN
        self.sessions[party].mailbox.end("the coordinator goes on without it")

    def _carry(self, sender: str, to: str, data: bytes) -> None:
        assert to == HUB, "members send each other nothing"
        if sender in self._gone:
            raise KilledError
        self.director.receive(sender, data)

    def _verify(self, key: SignedKey, party: str, purpose: str) -> object:
        del party
        return verify_signed_key(key, self._registry, purpose, NOW)


class KilledError(Exception):
    """The process of a member ends here."""
