"""Rounds of secure aggregation on a bad network: an exact sum, or the reason why not.

A schedule is a pure function of its seed: how many members, which messages are lost,
late, doubled, reordered or damaged, who dies when, which attempts the aggregator gives
up. A failed attempt is followed by another one of the same round, at most four and none
after shares may have left; then comes the next round. What counts as a failure:

- a member gets anything but the exact sum of the survivors that it is told of
- two members get different sums of one round, or fewer than three are in a sum
- below six members anybody is missing in a sum
- an attempt ends with another error than a dropout that names who is missing
- a vector is in a sum although its member fell silent before it sent it

``make soak`` plays 200 schedules, ``make test`` 20.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from random import Random
from typing import Final, TypeVar

import numpy as np
import pytest

from tests.protocol.aggregation_round import (
    NAMES,
    STEPS,
    Attempt,
    Vector,
    plain_sum,
    terms,
    vectors,
)
from veilscore.keys.aggregation.history import RoundHistory
from veilscore.keys.aggregation.member import Aggregate
from veilscore.keys.aggregation.terms import TOLERANT_FROM, Terms
from veilscore.keys.aggregation.wire import Kind
from veilscore.keys.errors import Breach, DropoutError, UnheardError

SCHEDULES: Final = 200
QUICK: Final = 20
ROUNDS: Final = 2
ATTEMPTS: Final = 4
seeds = pytest.mark.parametrize(
    "seed",
    [
        pytest.param(seed, marks=pytest.mark.soak if seed >= QUICK else ())
        for seed in range(SCHEDULES)
    ],
)

_T = TypeVar("_T")


@dataclass(slots=True)
class Network:
    """Loses, delays, doubles, reorders and damages messages."""

    random: Random
    lost: float
    late: list[bytes] = field(default_factory=list[bytes])

    def carry(self, data: bytes) -> Iterator[bytes]:
        """Yield what arrives of a message, before its step is closed."""
        if self.random.random() < self.lost:
            if self.random.random() < 0.5:
                self.late.append(data)
            return
        if self.random.random() < 0.2:
            yield self.damaged(data)
        yield data
        if self.random.random() < 0.2:
            yield data

    def damaged(self, data: bytes) -> bytes:
        """Return a message with one other bit, or a part of it."""
        at = self.random.randrange(len(data))
        if self.random.random() < 0.3:
            return data[:at]
        bit = 1 << self.random.randrange(8)
        return data[:at] + bytes((data[at] ^ bit,)) + data[at + 1 :]


@dataclass(slots=True)
class Play:
    """One attempt over such a network."""

    attempt: Attempt
    network: Network
    given_up_at: Kind | None
    alive: set[str] = field(init=False)

    def __post_init__(self) -> None:
        self.alive = set(self.attempt.terms.names)

    def run(self) -> dict[str, Aggregate]:
        """Return what members got; raises DropoutError or MisconductError."""
        heard = dict.fromkeys(self.attempt.terms.names, b"")
        for step in STEPS:
            if step is self.given_up_at:
                missing = ", ".join(self.attempt.terms.names)
                raise DropoutError(Breach.DROPOUT, "given up", party=missing)
            self._send(step, heard)
            said = self.attempt.close(step)
            heard = {name: said for name in self.alive if self._arrives(said)}
            self.alive &= heard.keys()
        found: dict[str, Aggregate] = {}
        for name, said in heard.items():
            found[name] = self.attempt.members[name].finish(said)
        return found

    def _send(self, step: Kind, heard: dict[str, bytes]) -> None:
        arriving: list[bytes] = []
        for name in self._shuffled(sorted(self.alive)):
            if self.network.random.random() < self.network.lost / 2:
                self.alive.discard(name)  # it died
                continue
            try:
                sent = self._answer(step, name, heard[name])
            except DropoutError as error:
                if error.party != name:
                    raise
                self.alive.discard(name)
                continue
            arriving += self.network.carry(sent)
        late, self.network.late = self.network.late, []
        for data in self._shuffled([*arriving, *late]):
            with suppress(UnheardError):
                self.attempt.aggregator.take(data)

    def _answer(self, step: Kind, name: str, heard: bytes) -> bytes:
        """Let a member hear what came, perhaps damaged or twice."""
        if step is not Kind.KEYS and self.network.random.random() < 0.2:
            with pytest.raises(UnheardError):
                self.attempt.answer(step, name, self.network.damaged(heard))
        sent = self.attempt.answer(step, name, heard)
        if step is not Kind.KEYS and self.network.random.random() < 0.2:
            with pytest.raises(UnheardError):
                self.attempt.answer(step, name, heard)
        return sent

    def _arrives(self, said: bytes) -> bool:
        return any(data == said for data in self.network.carry(said))

    def _shuffled(self, values: Sequence[_T]) -> list[_T]:
        return self.network.random.sample(values, len(values))


def check(found: dict[str, Aggregate], play: Play, sent: dict[str, Vector]) -> None:
    """Fail unless all got the exact sum of the survivors."""
    names = play.attempt.terms.names
    for each in found.values():
        assert len(each.survivors) >= 3
        assert set(each.survivors) <= play.attempt.sent[Kind.MASKED].keys()
        assert len(names) >= TOLERANT_FROM or each.survivors == names
        assert np.array_equal(each.total, plain_sum(sent, each.survivors))
    assert len({each.digest for each in found.values()}) <= 1


@seeds
def test_a_round_gives_the_exact_sum_or_says_why_not(
    seed: int, record_property: Callable[[str, object], None]
) -> None:
    random = Random(seed)
    members = random.randint(3, 10)
    lost = random.choice((0.0, 0.01, 0.03, 0.1))
    remembered = {name: RoundHistory() for name in NAMES}
    ends: list[str] = []
    for round_ in range(1, ROUNDS + 1):
        sent = vectors(terms(members), seed=random.randrange(2**32))
        for number in range(1, ATTEMPTS + 1):
            asked = terms(members, round_=round_, attempt=number)
            attempt = Attempt(asked, sent, remembered)
            give_up = random.choice(STEPS) if random.random() < 0.2 else None
            play = Play(attempt, Network(random, lost), give_up)
            try:
                check(play.run(), play, sent)
            except DropoutError as error:
                ends.append(check_reason(error, asked))
            else:
                ends.append("sum")
            if attempt.aggregator.spent:
                break
    assert len(ends) >= ROUNDS
    told = f"aggregation, seed {seed}: {members} members, {', '.join(ends)}"
    record_property("chaos", told)


def check_reason(error: DropoutError, asked: Terms) -> str:
    """Fail unless it is said who is missing; return how many are."""
    missing = error.party.split(", ")
    assert missing
    assert set(missing) <= set(asked.names)
    return f"{len(missing)} missing"
