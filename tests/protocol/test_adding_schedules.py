"""Sums of a run on a bad network: the coordinator's adding, an exact sum or the reason.

A schedule is a pure function of its seed: how many members, which messages are lost,
doubled, damaged or overtaken, who dies when, and whether the hub notices that. What
counts as a failure:

- a member gets anything but the exact sum of those that the log will name
- two members get different sums, or the log names another than they got
- below six members anybody is missing in a sum
- a vector is in a sum although its member died before it sent it
- a run ends without naming a member that was lost, died or was late
- anything happens after the end, or somebody is waited for for ever

``make soak`` plays 200 schedules, ``make test`` 20.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from random import Random
from typing import Final

import pytest

from tests.protocol.aggregation_round import HUB, STEPS, Vector
from tests.protocol.summed_run import STEP_S, SummedRun, kind_of
from veilscore.coordinator.adding import MOST_PHASES, PHASE_S
from veilscore.keys.aggregation.wire import Kind
from veilscore.v1.training_pb2 import SumMessage

SCHEDULES: Final = 200
QUICK: Final = 20
SUMS: Final = 3
seeds = pytest.mark.parametrize(
    "seed",
    [
        pytest.param(seed, marks=pytest.mark.soak if seed >= QUICK else ())
        for seed in range(SCHEDULES)
    ],
)


@dataclass
class Schedule(SummedRun):
    """A run whose messages have bad luck; those of two parties stay in order."""

    random: Random = field(default_factory=Random)
    loss: float = 0.0
    doomed: dict[str, tuple[int, str]] = field(  # in which sum, before which message
        default_factory=dict[str, tuple[int, str]]
    )
    noticed: dict[str, bool] = field(default_factory=dict[str, bool])
    dead: set[str] = field(default_factory=set[str])
    handed_in: set[str] = field(default_factory=set[str])  # vectors of this sum
    losses: set[str] = field(default_factory=set[str])  # to or from whom one was lost

    def __post_init__(self) -> None:
        """Lose what the dead would send or hear, and now and then more."""
        super().__post_init__()
        self.lost = self._lost

    def step(self) -> None:
        """Deliver the oldest message between any two parties."""
        sender, to, _ = self.random.choice(self.moving)
        pair = next(each for each in self.moving if each[:2] == (sender, to))
        self.moving.remove(pair)
        self.moving.appendleft(pair)
        super().step()

    def post(self, sender: str, message: SumMessage) -> None:
        """Send a message, perhaps twice, or after a damaged copy."""
        due, kind = self.doomed.get(sender, (0, ""))
        if due == len(self.made) + 1 and kind == kind_of(message):
            self.dead.add(sender)
            if self.noticed[sender]:
                self.leave(sender)
        if sender in self.dead:
            return
        if message.signed and self.random.random() < 0.1:
            at = self.random.randrange(len(message.signed))
            bent = bytes((message.signed[at] ^ (1 << self.random.randrange(8)),))
            damaged = message.signed[:at] + bent + message.signed[at + 1 :]
            self.moving.append((sender, HUB, SumMessage(signed=damaged)))
        for _ in range(1 + (self.random.random() < 0.1)):
            super().post(sender, message)
        if kind_of(message) == Kind.MASKED:
            self.handed_in.add(sender)

    def next_sum(self, seed: int) -> None:
        """Play a sum of those that got the sums before, and check it."""
        self.handed_in.clear()
        before, vectors = len(self.made), self.vectors(seed)
        self.adding.begin_step(self.now + STEP_S)
        began = self.now
        for name in self.adding.members:
            player = self.players[name]
            if name not in self.dead and len(player.sums) == before:
                self.post(name, player.want(vectors[name]))
        self.play()
        assert self.now - began <= STEP_S + MOST_PHASES * PHASE_S
        if len(self.made) > before:
            self._check_made(vectors)

    def _check_made(self, vectors: dict[str, Vector]) -> None:
        made = self.made[-1]
        assert set(made.members) <= self.handed_in
        got = [
            name
            for name in self.adding.members
            if len(self.players[name].sums) == len(self.made)
        ]
        missed = set(self.adding.members) - set(got)
        assert missed <= self.dead | self.losses
        self.check(vectors, got)

    def _lost(self, name: str, kind: str) -> bool:
        if name in self.dead:
            return True
        if kind == "wanted" or self.random.random() >= self.loss:
            return False
        self.losses.add(name)
        return True


def schedule(seed: int) -> Schedule:
    random = Random(seed)
    members = random.choice((3, 4, 5, 6, 7, 8, 10))
    run = Schedule(members, random=random, loss=random.choice((0.0, 0.0, 0.005, 0.03)))
    kinds = ["wanted", *map(str, STEPS)]
    for name in random.sample(run.names, random.choice((0, 0, 1, 1, 2, 3))):
        run.doomed[name] = random.randint(1, SUMS), random.choice(kinds)
        run.noticed[name] = random.random() < 0.5
    return run


@seeds
def test_a_run_makes_exact_sums_or_says_who_is_missing(
    seed: int, record_property: Callable[[str, object], None]
) -> None:
    run = schedule(seed)
    for _ in range(SUMS):
        run.next_sum(run.random.randrange(2**32))
    unlucky = run.dead | run.losses
    if run.over is None:
        assert len(run.made) == SUMS or run.dead >= set(run.adding.members)
    else:
        named = set(run.over.party.split(", "))
        assert named
        assert named <= unlucky
    assert run.left.keys() <= unlucky
    assert run.caught == []
    ends = [f"sum of {len(each.members)}, attempt {each.attempt}" for each in run.made]
    told = f"adding, seed {seed}: {run.members} members, {len(run.dead)} died, "
    record_property("chaos", told + "; ".join([*ends, str(run.over or "completed")]))
