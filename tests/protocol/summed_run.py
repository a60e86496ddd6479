"""Sums of a run in one process: the coordinator's adding, and members that answer it.

Members are those of ``keys.aggregation``, with the round history that a run needs. Time
goes on only where nothing moves any more. A test says which messages are lost, and who
falls silent at which of its messages.
"""

from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from tests.protocol.aggregation_round import (
    HUB,
    NAMES,
    SIGNERS,
    Vector,
    plain_sum,
    terms,
)
from veilscore.coordinator.adding import (
    Adding,
    Caught,
    LeftOut,
    Outcome,
    Over,
    Say,
)
from veilscore.fault import Fault
from veilscore.keys.aggregation.history import RoundHistory
from veilscore.keys.aggregation.member import Aggregate, Member
from veilscore.keys.aggregation.terms import TOLERANT_FROM, Terms
from veilscore.keys.aggregation.wire import Kind
from veilscore.keys.errors import DropoutError, UnheardError
from veilscore.keys.identity import Signer
from veilscore.v1.aggregation_pb2 import AggregationBody, SignedAggregation
from veilscore.v1.audit_pb2 import SumMade
from veilscore.v1.training_pb2 import SumMessage, SumWanted

LENGTH = 5
STEP_S = 7200.0


def kind_of(message: SumMessage) -> str:
    """Return what a message of a member or the coordinator says."""
    if not message.signed:
        return message.WhichOneof("body") or ""
    body = SignedAggregation.FromString(message.signed).body
    return AggregationBody.FromString(body).WhichOneof("content") or ""


class SummedMember:
    """A member of a run: hands in vectors, hears the coordinator, keeps the sums."""

    def __init__(self, name: str, base: Terms, signer: Signer) -> None:
        self.name = name
        self.attempt = base
        self._signer = signer
        self.vectors: list[Vector] = []
        self.sums: list[Aggregate] = []
        self._history = RoundHistory()
        self._member: Member | None = None
        self._answers: list[Callable[[bytes], bytes | Aggregate]] = []

    def want(self, vector: Vector, label: str = "") -> SumMessage:
        """Return the message that a vector is ready."""
        self.vectors.append(vector)
        label = label or f"sum-{len(self.vectors)}"
        return SumMessage(wanted=SumWanted(label=label, length=vector.size))

    def hear(self, message: SumMessage) -> SumMessage | None:
        """Take a message of the coordinator; return the answer, if there is one."""
        if message.HasField("begins"):
            begins, vector = message.begins, self.vectors[-1]
            self.attempt = replace(
                self.attempt,
                round=begins.round,
                attempt=begins.attempt,
                length=vector.size,
            )
            member = Member(self.attempt, self.name, self._signer, self._history)
            self._answers = [
                member.share_keys,
                lambda shares: member.mask_input(shares, vector),
                member.agree,
                member.reveal_shares,
                member.finish,
            ]
            return SumMessage(signed=member.advertise())
        try:
            answer = self._answers[0](message.signed)
        except UnheardError:
            return None
        except DropoutError:
            return None  # the run goes on without it
        del self._answers[0]
        if isinstance(answer, Aggregate):
            self.sums.append(answer)
            return None
        return SumMessage(signed=answer)


@dataclass
class SummedRun:
    """One run; ``lost`` says whether a message to or from the coordinator is lost."""

    members: int = 3
    lost: Callable[[str, str], bool] = lambda _name, _kind: False
    now: float = 0.0
    made: list[SumMade] = field(default_factory=list[SumMade])
    left: dict[str, Fault] = field(default_factory=dict[str, Fault])
    caught: list[Caught] = field(default_factory=list[Caught])
    over: Fault | None = None
    said: list[tuple[tuple[str, ...], SumMessage]] = field(
        default_factory=list[tuple[tuple[str, ...], SumMessage]]
    )
    adding: Adding = field(init=False)
    players: dict[str, SummedMember] = field(init=False)
    moving: deque[tuple[str, str, SumMessage]] = field(
        default_factory=deque[tuple[str, str, SumMessage]]
    )

    def __post_init__(self) -> None:
        """Begin the first step."""
        base = terms(self.members)
        self.adding = Adding(base, SIGNERS[HUB])
        self.players = {
            name: SummedMember(name, base, SIGNERS[name]) for name in base.names
        }
        self.adding.begin_step(self.now + STEP_S)

    @property
    def names(self) -> tuple[str, ...]:
        """All members of the roster."""
        return NAMES[: self.members]

    @property
    def attempt(self) -> Terms:
        """The terms of the first attempt at the first sum."""
        return terms(self.members, length=LENGTH)

    @property
    def end(self) -> Fault:
        """What ended the run."""
        assert self.over is not None
        return self.over

    def vectors(self, seed: int) -> dict[str, Vector]:
        """Return a random vector of each member."""
        draw = np.random.default_rng(seed)
        return {
            name: draw.integers(0, 2**64, LENGTH, dtype=np.uint64)
            for name in self.names
        }

    def want(self, vectors: Mapping[str, Vector]) -> None:
        """Let every member that is in have a vector ready."""
        for name in self.adding.members:
            self.post(name, self.players[name].want(vectors[name]))

    def sum(self, seed: int = 0) -> dict[str, Vector]:
        """Play one sum to its end, whatever that is; return the vectors."""
        vectors = self.vectors(seed)
        self.want(vectors)
        self.play()
        return vectors

    def play(self) -> None:
        """Move what moves; where nothing does, time goes on until nobody waits."""
        while self.moving or self.adding.due < float("inf"):
            if not self.moving:
                self.now = max(self.now, self.adding.due)
                self.do(self.adding.wake(self.now))
                continue
            self.step()

    def step(self) -> None:
        """Deliver one message."""
        sender, to, message = self.moving.popleft()
        if to == HUB:
            self.do(self.adding.take(sender, message, self.now))
        elif (answer := self.players[to].hear(message)) is not None:
            self.post(to, answer)

    def post(self, sender: str, message: SumMessage) -> None:
        """Send a member's message, unless it is lost."""
        if not self.lost(sender, kind_of(message)):
            self.moving.append((sender, HUB, message))

    def leave(self, name: str) -> None:
        """Let the hub say that a member is gone."""
        self.left[name] = Fault("it has left")
        self.do(self.adding.leave(name, self.now))

    def do(self, outcomes: list[Outcome]) -> None:
        """Do what the adding says, in its order."""
        for each in outcomes:
            assert self.over is None, "nothing happens after the end"
            match each:
                case Say(to, message):
                    self.said.append((to, message))
                    for name in to:
                        if not self.lost(name, kind_of(message)):
                            self.moving.append((HUB, name, message))
                case SumMade():
                    self.made.append(each)
                case LeftOut(party, fault):
                    self.left[party] = fault
                case Caught():
                    self.caught.append(each)
                case Over(fault):
                    self.over = fault

    def check(
        self, vectors: Mapping[str, Vector], names: Sequence[str] | None = None
    ) -> None:
        """Fail unless these, or all, have the exact sum of whose it is said to be."""
        made = self.made[-1]
        assert len(made.members) >= 3
        assert self.members >= TOLERANT_FROM or tuple(made.members) == self.names
        for name in self.adding.members if names is None else names:
            found = self.players[name].sums
            assert len(found) == len(self.made)
            assert sorted(found[-1].survivors) == list(made.members)
            assert found[-1].digest == made.total
            assert np.array_equal(
                found[-1].total, plain_sum(vectors, found[-1].survivors)
            )


def silent_from(name: str, kind: Kind | str) -> Callable[[str, str], bool]:
    """Return what loses a member's messages from one of a kind on, and all to it."""
    silent = False

    def lost(party: str, said: str) -> bool:
        nonlocal silent
        silent = silent or (party == name and said == str(kind))
        return party == name and silent

    return lost
