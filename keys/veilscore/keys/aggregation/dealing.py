"""Dealing shares to each other member, and checking what was dealt here.

A dealer says in public what it dealt (commitments) and seals the shares themselves from
end to end. Who gets something else than was committed to names the dealer at once.
"""

from dataclasses import dataclass

from google.protobuf.message import DecodeError

from veilscore.keys.aggregation import sharing
from veilscore.keys.aggregation.attempt_keys import AttemptKeys, commit_to_part
from veilscore.keys.aggregation.terms import Terms
from veilscore.keys.aggregation.wire import Statement
from veilscore.keys.errors import Breach, MisconductError, SealError
from veilscore.v1.aggregation_pb2 import SealedShares, SharePair


@dataclass(frozen=True, slots=True, repr=False)
class Held:
    """What one member holds of a dealer: a share of each of its two seeds."""

    mask_key: bytes
    self_mask: bytes

    def commitments(
        self, context: bytes, dealer: str, holder: str
    ) -> tuple[bytes, bytes]:
        """Return what the dealer says in public of both."""
        names = (context, dealer, holder)
        return (
            sharing.commit(*names, sharing.MASK_KEY, self.mask_key),
            sharing.commit(*names, sharing.SELF_MASK, self.self_mask),
        )


def split_seeds(keys: AttemptKeys, terms: Terms) -> dict[str, Held]:
    """Return the shares of both seeds, by who is to hold them."""
    count = len(terms.names)
    mask_key = sharing.split(keys.mask_seed, terms.threshold, count)
    self_mask = sharing.split(keys.self_seed, terms.threshold, count)
    return dict(zip(terms.names, map(Held, mask_key, self_mask), strict=True))


def deal(keys: AttemptKeys, peer: Statement, held: Held, terms: Terms) -> SealedShares:
    """Return a peer's shares, sealed to the key it signed; one's own stay unsealed."""
    commitments = held.commitments(terms.context, keys.name, peer.sender)
    dealt = SealedShares(mask_key=commitments[0], self_mask=commitments[1])
    if peer.sender != keys.name:
        pair = SharePair(
            mask_key=held.mask_key,
            self_mask=held.self_mask,
            group_part=keys.group_part,
        ).SerializeToString(deterministic=True)
        dealt.sealed = keys.seal(peer.sender, peer.content.keys.channel, pair)
    return dealt


def receive(
    keys: AttemptKeys,
    dealer: Statement,
    dealt: SealedShares,
    dealer_keys: Statement,
    terms: Terms,
) -> tuple[Held, bytes]:
    """Return the shares that a dealer dealt here, and its part of the group's secret.

    ``dealer`` is the message that holds ``dealt``, ``dealer_keys`` the one with its
    keys. Raises MisconductError naming the dealer unless all is as it committed to.
    """
    promised = dealer_keys.content.keys
    try:
        plaintext = keys.open(dealer.sender, promised.channel, dealt.sealed)
        pair = SharePair.FromString(plaintext)
    except (SealError, DecodeError) as error:
        raise _bad_share("sealed what does not open", dealer, terms) from error
    held = Held(pair.mask_key, pair.self_mask)
    part = commit_to_part(pair.group_part, terms.context, dealer.sender)
    if (
        len(held.mask_key) != sharing.SECRET
        or len(held.self_mask) != sharing.SECRET
        or held.commitments(terms.context, dealer.sender, keys.name)
        != (dealt.mask_key, dealt.self_mask)
        or part != promised.group_part
    ):
        raise _bad_share("sealed something else than it committed to", dealer, terms)
    return held, pair.group_part


def _bad_share(what: str, dealer: Statement, terms: Terms) -> MisconductError:
    return MisconductError(
        Breach.BAD_SHARE,
        what,
        party=dealer.sender,
        place=terms.place,
        remedy="Start another attempt; if it happens again, ask the party why.",
        evidence=(dealer.signed,),
    )
