"""Taking the masks off a sum whose members revealed shares of the seeds.

Of each survivor its own mask, of each member that dropped out after it dealt the masks
between it and the survivors. What is left is noise to the aggregator still: the group's
masks are the members' to take off.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from veilscore.keys import masks
from veilscore.keys.aggregation import sharing
from veilscore.keys.aggregation.attempt_keys import (
    MASK_LABEL,
    commit_to_seed,
    mask_key,
    self_mask_secret,
)
from veilscore.keys.aggregation.terms import Terms
from veilscore.keys.aggregation.wire import Statement
from veilscore.keys.errors import Breach, MisconductError


@dataclass(slots=True, repr=False)
class Dealer:
    """A member of U2: what it signed, and what others revealed of its one seed."""

    keys: Statement
    shares: Statement
    survived: bool  # then its own mask's seed is revealed, else that of its mask key
    revealed: dict[str, bytes] = field(default_factory=dict[str, bytes])

    @property
    def name(self) -> str:
        """The member's name."""
        return self.keys.sender

    def check(self, share: bytes, holder: Statement, place: int, terms: Terms) -> None:
        """Raise MisconductError naming the holder unless it was dealt this share.

        ``place`` is the holder's in the list of keys.
        """
        dealt = self.shares.content.shares.sealed[place]
        what = sharing.SELF_MASK if self.survived else sharing.MASK_KEY
        commitment = dealt.self_mask if self.survived else dealt.mask_key
        names = (terms.context, self.name, holder.sender)
        if sharing.commit(*names, what, share) != commitment:
            raise MisconductError(
                Breach.BAD_SHARE,
                f"revealed another share than {self.name} dealt it",
                party=holder.sender,
                place=terms.place,
                evidence=(self.shares.signed, holder.signed),
            )

    def seed(self, terms: Terms) -> bytes:
        """Return the seed that the shares give; raises MisconductError.

        The shares are those that the dealer committed to, and the seed is held against
        its key, so that inconsistent shares convict the dealer.
        """
        shares = {terms.index(name): share for name, share in self.revealed.items()}
        seed, promised = (
            sharing.combine(shares, terms.threshold),
            self.keys.content.keys,
        )
        if self.survived:
            right = commit_to_seed(seed, terms.context, self.name) == promised.self_mask
        else:
            key = mask_key(seed, terms.context, self.name)
            right = key.public_key().public_bytes_raw() == promised.mask
        if not right:
            raise MisconductError(
                Breach.BAD_SHARE,
                "dealt shares that give another seed than it promised",
                party=self.name,
                place=terms.place,
                remedy="Start another attempt; if it happens again, ask the party why.",
                evidence=(self.keys.signed, self.shares.signed),
            )
        return seed


def unmask(
    total: NDArray[np.uint64], dealers: Mapping[str, Dealer], terms: Terms
) -> None:
    """Take all masks but the group's off the sum, in place; raises MisconductError."""
    seeds = {name: dealer.seed(terms) for name, dealer in dealers.items()}
    survivors = [dealer for dealer in dealers.values() if dealer.survived]
    for name, dealer in dealers.items():
        if dealer.survived:
            own = self_mask_secret(seeds[name], terms.context, name)
            total -= masks.words(own, MASK_LABEL, terms.length)
            continue
        key = mask_key(seeds[name], terms.context, name)
        pairs = {
            peer.name: masks.pair_secret(
                key, peer.keys.content.keys.mask, terms.context
            )
            for peer in survivors
        }
        # What it would have added cancels what the survivors added for it.
        total += masks.zero_sum_words(name, pairs, MASK_LABEL, terms.length)
