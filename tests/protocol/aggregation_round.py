"""One attempt at a secure aggregation, all parties in one process.

Every message is a byte string that is kept. Members may fall silent from any step on;
members of another class, or functions that change what is delivered, play the attacks.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from random import Random
from typing import Final

import numpy as np
from numpy.typing import NDArray

from veilscore.keys.aggregation.aggregator import Aggregator
from veilscore.keys.aggregation.history import RoundHistory
from veilscore.keys.aggregation.member import Aggregate, Member
from veilscore.keys.aggregation.terms import Pinned, Terms
from veilscore.keys.aggregation.wire import Kind
from veilscore.keys.identity import Signer

Vector = NDArray[np.uint64]

NAMES: Final = tuple(f"county-{number}" for number in range(10))
HUB: Final = "hub"
SIGNERS: Final = {name: Signer.generate() for name in (*NAMES, HUB)}
CONTRACT: Final = bytes(range(32))
# What members send, in the order of the steps.
STEPS: Final = (Kind.KEYS, Kind.SHARES, Kind.MASKED, Kind.AGREEMENT, Kind.REVEALED)


def terms(
    members: int | Sequence[str] = 3,
    *,
    round_: int = 1,
    attempt: int = 1,
    length: int = 5,
    colluders: int = 1,
    run: str = "r1",
) -> Terms:
    """Return the terms of an attempt of the first so many members, or of these."""
    names = NAMES[:members] if isinstance(members, int) else members
    return Terms(
        run=run,
        round=round_,
        attempt=attempt,
        roster=tuple(Pinned(name, SIGNERS[name].verify_key) for name in names),
        aggregator=Pinned(HUB, SIGNERS[HUB].verify_key),
        contract=CONTRACT,
        length=length,
        colluders=colluders,
    )


def vectors(asked: Terms, seed: int = 0) -> dict[str, Vector]:
    """Return a random vector of each member."""
    draw = np.random.default_rng(seed)
    return {
        name: draw.integers(0, 2**64, asked.length, dtype=np.uint64)
        for name in asked.names
    }


def plain_sum(found: Mapping[str, Vector], names: Sequence[str]) -> Vector:
    """Return what the aggregation of these must give."""
    total = np.zeros_like(next(iter(found.values())))
    for name in names:
        total += found[name]
    return total


@dataclass(slots=True)
class Attempt:
    """One attempt; ``sent`` keeps what members sent, by step and member."""

    terms: Terms
    vectors: Mapping[str, Vector]
    histories: Mapping[str, RoundHistory] = field(
        default_factory=dict[str, RoundHistory]
    )
    kinds: Mapping[str, type[Member]] = field(default_factory=dict[str, type[Member]])
    members: dict[str, Member] = field(init=False)
    aggregator: Aggregator = field(init=False)
    sent: dict[Kind, dict[str, bytes]] = field(init=False)
    said: dict[Kind, bytes] = field(default_factory=dict[Kind, bytes])

    def __post_init__(self) -> None:
        self.sent = {step: {} for step in STEPS}
        self.aggregator = Aggregator(self.terms, SIGNERS[HUB])
        self.members = {
            name: self.kinds.get(name, Member)(
                self.terms,
                name,
                SIGNERS[name],
                self.histories.get(name, RoundHistory()),
            )
            for name in self.terms.names
        }

    def answer(self, step: Kind, name: str, heard: bytes) -> bytes:
        """Return what a member sends in a step when it hears this."""
        member = self.members[name]
        answers: dict[Kind, Callable[[], bytes]] = {
            Kind.KEYS: member.advertise,
            Kind.SHARES: lambda: member.share_keys(heard),
            Kind.MASKED: lambda: member.mask_input(heard, self.vectors[name]),
            Kind.AGREEMENT: lambda: member.agree(heard),
            Kind.REVEALED: lambda: member.reveal_shares(heard),
        }
        self.sent[step][name] = answers[step]()
        return self.sent[step][name]

    def close(self, step: Kind) -> bytes:
        """Return what the aggregator says when it ends a step."""
        closing: dict[Kind, Callable[[], bytes]] = {
            Kind.KEYS: self.aggregator.key_list,
            Kind.SHARES: self.aggregator.share_list,
            Kind.MASKED: self.aggregator.survivor_set,
            Kind.AGREEMENT: self.aggregator.agreement_list,
            Kind.REVEALED: self.aggregator.total,
        }
        self.said[step] = closing[step]()
        return self.said[step]

    def play_until(
        self, last: Kind, drops: Mapping[str, Kind] | None = None
    ) -> tuple[str, ...]:
        """Play all steps before ``last``; return who would take part in it.

        ``drops`` says which member is silent from which step on.
        """
        silent_from = {name: STEPS.index(step) for name, step in (drops or {}).items()}
        present, heard = self.terms.names, b""
        for at, step in enumerate(STEPS):
            present = tuple(
                name for name in present if silent_from.get(name, len(STEPS)) > at
            )
            if step is last:
                break
            for name in present:
                self.aggregator.take(self.answer(step, name, heard))
            heard = self.close(step)
        return present

    def play(self, drops: Mapping[str, Kind] | None = None) -> dict[str, Aggregate]:
        """Play it all; return what each member that is left got."""
        present = self.play_until(Kind.TOTAL, drops)
        total = self.said[Kind.REVEALED]
        return {name: self.members[name].finish(total) for name in present}


def shuffled(random: Random, names: Sequence[str]) -> list[str]:
    """Return them in another order."""
    return random.sample(list(names), len(names))
