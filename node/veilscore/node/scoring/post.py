"""Score messages on their way: sealed, sent in order, opened in order.

The hub sees who writes to whom, when and how much. Sequence numbers are kept, so
nothing that arrived once is accepted again; what a crash makes a node accept again is
a query whose nonce is spent or that was refused, or an answer nobody waits for.
"""

import logging
import math
from collections.abc import Callable, Collection, Mapping
from threading import Lock
from typing import Final, Protocol, TypeAlias

from google.protobuf.message import DecodeError

from veilscore.fault import Fault
from veilscore.keys.receiving import SCORE, PeerKeys, verify_signed_key
from veilscore.keys.registry import Registry
from veilscore.keys.sealing import Opener, Sealer
from veilscore.node.errors import TooManyEntitiesError
from veilscore.runtime.errors import WireError
from veilscore.v1.hub_pb2 import SignedKey
from veilscore.v1.score_pb2 import ScoreMessage

MAX_BYTES: Final = 1024 * 1024  # of an envelope
# Receiving keys are renewed every four hours; who asks with an old one is told so.
_FRESH_S: Final = 10.0

FindPeers: TypeAlias = Callable[[Collection[bytes]], Mapping[str, PeerKeys]]
"""Returns receiving keys by party; those of these digests, too, if there are any."""

_Known: TypeAlias = tuple[float, Registry, Mapping[str, PeerKeys]]
"""When keys were looked up, by which registry they were verified, and they by party."""

_LOG = logging.getLogger(__name__)


class HubLink(Protocol):
    """What scoring needs of the node's link to the coordinator."""

    def send(
        self, to: str, data: bytes, *, urgent: bool = False, timeout_s: float = ...
    ) -> None:
        """Queue an envelope."""
        ...

    def publish(self, key: SignedKey) -> None:
        """Hand in a signed receiving key."""
        ...

    def directory(self, purpose: str) -> list[SignedKey]:
        """Return every party's newest receiving key for a purpose."""
        ...


class Post:
    """Seals and opens one party's score messages.

    The owner replaces ``registry`` when it gets a newer one.
    """

    def __init__(
        self, registry: Registry, link: HubLink, sealer: Sealer, opener: Opener
    ) -> None:
        self.registry = registry
        self._link = link
        self._sealer = sealer
        self._opener = opener
        # Held over sealing and queueing: a number that overtakes a lower one makes
        # the recipient take the lower one for a replay.
        self._turn = Lock()
        self._known: _Known = (-math.inf, registry, {})

    def peers(
        self,
        now: float,
        *,
        parties: Collection[str] = (),
        listed: Collection[bytes] = (),
    ) -> Mapping[str, PeerKeys]:
        """Return the receiving keys of all parties whose key is good, by name.

        They may be some seconds old, unless one of the ``parties`` or of the digests in
        ``listed`` is not among them. Raises what ``directory`` raises.
        """
        since, registry, known = self._known
        digests = {keys.digest for keys in known.values()}
        if not (
            0 <= now - since < _FRESH_S
            and registry is self.registry
            and known.keys() >= set(parties)
            and digests.issuperset(listed)
        ):
            registry = self.registry
            known = self._fetch(now, registry)
            self._known = now, registry, known
        return known

    def forget(self) -> None:
        """Look into the directory again the next time."""
        self._known = (-math.inf, self.registry, {})

    def _fetch(self, now: float, registry: Registry) -> dict[str, PeerKeys]:
        good: dict[str, PeerKeys] = {}
        for key in self._link.directory(SCORE):
            try:
                keys = verify_signed_key(key, registry, SCORE, now)
            except Fault as fault:  # one bad key must not keep us from all others
                _LOG.warning("a receiving key in the directory is no good: %s", fault)
            else:
                good[keys.party] = keys
        return good

    def send(
        self, recipient: PeerKeys, message: ScoreMessage, query: str, timeout_s: float
    ) -> None:
        """Seal and queue a message that belongs to ``query``.

        Raises TooManyEntitiesError if it is too large, InvalidKeyError, LogStoreError,
        and what the link's ``send`` raises.
        """
        plain = message.SerializeToString()
        with self._turn:
            envelope = self._sealer.seal(query, recipient, plain)
            if len(envelope) > MAX_BYTES:
                raise TooManyEntitiesError(
                    f"the request is over {MAX_BYTES} bytes long",
                    remedy="Split the request; the commands have --batch for that.",
                )
            self._link.send(recipient.party, envelope, urgent=True, timeout_s=timeout_s)

    def open(self, data: bytes) -> tuple[str, ScoreMessage]:
        """Return the verified sender and the message; call it in order of arrival.

        Raises what ``Opener.open`` raises, and WireError.
        """
        header, plain = self._opener.open(data, self.registry)
        try:
            return header.sender, ScoreMessage.FromString(plain)
        except DecodeError as error:
            raise WireError(
                "this is not a score message",
                party=header.sender,
                remedy="Update the older of the two nodes.",
            ) from error
