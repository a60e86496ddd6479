"""One attempt at a secure aggregation, all parties in one process.

Every message is a byte string that is kept. Members may fall silent from any step on;
members of another class, or functions that change what is delivered, play the attacks.
"""

import copy
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Final, Self

import numpy as np
from numpy.typing import NDArray

from veilscore.keys.aggregation.aggregator import Aggregator
from veilscore.keys.aggregation.attempt_keys import AttemptKeys
from veilscore.keys.aggregation.dealing import Held
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


class Watched(Member):
    """A member like any other, of which a test may see the secrets."""

    @property
    def keys(self) -> AttemptKeys:
        """Its secrets of the attempt, until it forgets them."""
        return self._keys

    @property
    def held(self) -> dict[str, Held]:
        """What each dealer dealt it."""
        return self._held

    @property
    def pairs(self) -> dict[str, bytes]:
        """What its masks with each other member are drawn from."""
        return self._pairs

    @property
    def group(self) -> bytes:
        """What the group's masks are drawn from."""
        return self._group

    def twin(self) -> Self:
        """Return a member in the same state, which may go on by itself."""
        other = copy.copy(self)
        other._heard, other._held = dict(self._heard), dict(self._held)
        other._peers, other._pairs = dict(self._peers), dict(self._pairs)
        other._history = copy.deepcopy(self._history)
        return other


class WatchedAggregator(Aggregator):
    """An aggregator like any other, of which there may be a twin."""

    def twin(self) -> Self:
        """Return an aggregator in the same state, which may go on by itself."""
        other = copy.copy(self)
        other._got = {step: dict(got) for step, got in self._got.items()}
        other._dealers = {
            name: replace(dealer, revealed=dict(dealer.revealed))
            for name, dealer in self._dealers.items()
        }
        other._total = self._total.copy()
        return other


@dataclass(slots=True)
class Attempt:
    """One attempt; ``sent`` keeps what members sent, by step and member."""

    terms: Terms
    vectors: Mapping[str, Vector]
    histories: Mapping[str, RoundHistory] = field(
        default_factory=dict[str, RoundHistory]
    )
    kinds: Mapping[str, type[Watched]] = field(default_factory=dict[str, type[Watched]])
    members: dict[str, Watched] = field(init=False)
    aggregator: WatchedAggregator = field(init=False)
    sent: dict[Kind, dict[str, bytes]] = field(init=False)
    said: dict[Kind, bytes] = field(default_factory=dict[Kind, bytes])

    def __post_init__(self) -> None:
        self.sent = {step: {} for step in STEPS}
        self.aggregator = WatchedAggregator(self.terms, SIGNERS[HUB])
        self.members = {
            name: self.kinds.get(name, Watched)(
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
        self,
        last: Kind,
        drops: Mapping[str, Kind] | None = None,
        first: Kind = Kind.KEYS,
    ) -> tuple[str, ...]:
        """Play the steps from ``first``, before ``last``; return who takes part in it.

        ``drops`` says which member is silent from which step on.
        """
        silent_from = {name: STEPS.index(step) for name, step in (drops or {}).items()}
        present, begin = self.terms.names, STEPS.index(first)
        heard = self.said[STEPS[begin - 1]] if begin else b""
        for at, step in list(enumerate(STEPS))[begin:]:
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
