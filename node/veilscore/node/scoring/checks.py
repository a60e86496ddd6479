"""What a data holder checks of any query, whatever is asked.

Each check raises QueryRefusedError with one reason; the order is the caller's.
"""

from collections.abc import Mapping, Sequence
from typing import Final, Protocol

from veilscore.keys.errors import InvalidKeyError
from veilscore.keys.paillier.public import PublicKey
from veilscore.keys.receiving import PeerKeys, ReceivingKeys
from veilscore.keys.registry import PartyRecord, Role
from veilscore.node.scoring.refusals import QueryRefusedError, Reason

NONCE_BYTES: Final = 16
DIGEST_BYTES: Final = 32
# How far the requester's clock may be from ours, and a deadline from when it was set.
# The two are one number: what is asked longer ago than that has no time left either.
MAX_APART_S: Final = 300


class Terms(Protocol):
    """Whom a node's settings let ask, and why."""

    @property
    def requesters(self) -> Sequence[str]:
        """Registered names."""
        ...

    @property
    def purposes(self) -> Sequence[str]:
        """Words of ``Purpose``."""
        ...


def check_sender(sender: PartyRecord, requester: str) -> None:
    """Let pass who signed the envelope if it is the requester and registered as one."""
    if requester != sender.name or Role.REQUESTER not in sender.roles:
        raise QueryRefusedError(Reason.NOT_A_REQUESTER)


def check_terms(terms: Terms, requester: str, purpose: str) -> None:
    """Let pass whom this node's operator allowed, for the reasons it allowed."""
    if requester not in terms.requesters:
        raise QueryRefusedError(Reason.REQUESTER_NOT_ALLOWED)
    if purpose not in terms.purposes:
        raise QueryRefusedError(Reason.PURPOSE_NOT_ALLOWED)


def check_keys(
    listed: Mapping[str, bytes],
    party: str,
    own: Mapping[bytes, ReceivingKeys],
    peers: Mapping[str, PeerKeys],
) -> ReceivingKeys:
    """Return our own keys that the query lists; all others must be current."""
    keys = own.get(listed[party])
    others = {name: peers.get(name) for name in listed if name != party}
    if keys is None or any(
        peer is None or peer.digest != listed[name] for name, peer in others.items()
    ):
        raise QueryRefusedError(Reason.STALE_KEYS)
    return keys


def check_freshness(asked: int, deadline: int, now: float, *, nonce_seen: bool) -> None:
    """Let pass what is new, was asked just now and is due soon.

    A clock that is off and a query that somebody held back look the same.
    """
    if nonce_seen:
        raise QueryRefusedError(Reason.REPLAYED)
    if abs(now - asked) > MAX_APART_S:
        raise QueryRefusedError(Reason.CLOCK_SKEW)
    check_deadline(deadline, now)
    if deadline > asked + MAX_APART_S:
        raise QueryRefusedError(Reason.DEADLINE_TOO_FAR)


def check_deadline(deadline: int, now: float) -> None:
    """Let pass what is not too late to answer."""
    if deadline <= now:
        raise QueryRefusedError(Reason.EXPIRED)


def check_modulus(requester: PeerKeys, modulus: bytes) -> PublicKey:
    """Return the requester's key, which is the one that it registered with a proof."""
    try:
        public = requester.paillier_key()
    except InvalidKeyError as error:
        raise QueryRefusedError(Reason.BAD_MODULUS) from error
    if public.to_bytes() != modulus:
        raise QueryRefusedError(Reason.BAD_MODULUS)
    return public
