"""What an aggregator can compute from all that it sees, and whether a vector shows.

``Witness`` plays an attempt and keeps the members' secrets, which the aggregator does
not have, to look at each layer of masks by itself. A finding is a sentence.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import chain, combinations
from typing import Final, Self

import numpy as np

from tests.protocol.aggregation_round import STEPS, Attempt, Vector
from veilscore.keys import masks
from veilscore.keys.aggregation.attempt_keys import (
    MASK_LABEL,
    mask_key,
    self_mask_secret,
)
from veilscore.keys.aggregation.wire import Kind, read, read_words

# Of the share of ones in each of 64 places of n words, whose deviation is .5 / sqrt(n).
_DEVIATIONS: Final = 7.0


@dataclass(frozen=True, slots=True)
class Layers:
    """The masks that one member should have added."""

    own: Vector
    pairs: Vector
    group: Vector


@dataclass(frozen=True, slots=True)
class Witness:
    """A whole attempt, with what its members kept to themselves."""

    attempt: Attempt
    layers: Mapping[str, Layers]

    @classmethod
    def play(cls, attempt: Attempt, drops: Mapping[str, Kind] | None = None) -> Self:
        """Play to the end, whether or not the sum is right."""
        attempt.play_until(Kind.AGREEMENT, drops)
        asked = attempt.terms
        publics = {
            name: read(sent, asked).content.keys.mask
            for name, sent in attempt.sent[Kind.KEYS].items()
        }
        dealt = attempt.sent[Kind.SHARES]
        layers: dict[str, Layers] = {}
        for name in attempt.sent[Kind.MASKED]:
            member = attempt.members[name]
            own = self_mask_secret(member.keys.self_seed, asked.context, name)
            key = mask_key(member.keys.mask_seed, asked.context, name)
            pairs = {
                peer: masks.pair_secret(key, publics[peer], asked.context)
                for peer in dealt
                if peer != name
            }
            layers[name] = Layers(
                masks.words(own, MASK_LABEL, asked.length),
                masks.zero_sum_words(name, pairs, MASK_LABEL, asked.length),
                masks.words(member.group, f"group {name}", asked.length),
            )
        attempt.play_until(Kind.TOTAL, drops, first=Kind.AGREEMENT)
        return cls(attempt, layers)

    def masked(self, name: str) -> Vector:
        """Return the vector that a member sent."""
        sent = self.attempt.sent[Kind.MASKED][name]
        return read_words(read(sent, self.attempt.terms).words)

    def total(self) -> Vector:
        """Return the sum that the aggregator made."""
        said = self.attempt.said[Kind.REVEALED]
        return read_words(read(said, self.attempt.terms).words)

    def findings(self) -> list[str]:
        """Return everything in which a vector, or a sum, can be seen."""
        return [
            *chain.from_iterable(self._in_layers(name) for name in self.layers),
            *self._in_sums(),
            *self._in_total(),
        ]

    def _in_layers(self, name: str) -> Iterator[str]:
        """Take two of the three masks off: the third alone must hide the vector."""
        masked, layers = self.masked(name), self.layers[name]
        vector = self.attempt.vectors[name]
        for what, left in (
            ("no mask", masked),
            ("its own mask", masked - layers.pairs - layers.group),
            ("the masks of pairs", masked - layers.own - layers.group),
            ("the group's mask", masked - layers.own - layers.pairs),
        ):
            yield from _shown(f"{name} under {what}", left, vector)

    def _in_sums(self) -> Iterator[str]:
        """Add up any survivors, without all masks that the aggregator ever learns."""
        names = sorted(self.layers)
        for size in range(1, len(names) + 1):
            for chosen in combinations(names, size):
                left = np.zeros_like(self.total())
                plain = np.zeros_like(left)
                for name in chosen:
                    left += self.masked(name) - self.layers[name].own
                    plain += self.attempt.vectors[name]
                yield from _shown("sum of " + ", ".join(chosen), left, plain)

    def _in_total(self) -> Iterator[str]:
        plain = np.zeros_like(self.total())
        for name in self.layers:
            plain += self.attempt.vectors[name]
        yield from _shown("the aggregator's sum", self.total(), plain)


def _shown(where: str, seen: Vector, plain: Vector) -> Iterator[str]:
    """Say where a vector stands in clear, or noise is none."""
    if (seen == plain).any():
        yield f"{where}: entry {int(np.argmax(seen == plain))} in clear"
    bits = np.unpackbits(seen.view(np.uint8)).reshape(-1, 64)
    bound = _DEVIATIONS * 0.5 / np.sqrt(len(seen))
    if np.abs(bits.mean(axis=0) - 0.5).max() > bound:
        yield f"{where}: not uniform"


def unmasked_messages(attempt: Attempt) -> dict[tuple[Kind, str], bytes]:
    """Return all that members sent but the masked vectors."""
    return {
        (step, name): data
        for step in STEPS
        if step is not Kind.MASKED
        for name, data in attempt.sent[step].items()
    }
