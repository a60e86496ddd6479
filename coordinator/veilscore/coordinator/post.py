"""The coordinator's own envelopes in one run: what parties send it, what it answers.

Learns in a vertical run what alignment shows it: pseudonyms of every holder's rows and
their marks (``alignment``); in a horizontal one what ``adding`` does. The keys live in
memory for the length of the run.
"""

import hashlib
import logging
from collections.abc import Callable, Iterable
from typing import Final

from google.protobuf.message import DecodeError

from veilscore.coordinator.alignment import place_rows
from veilscore.coordinator.errors import RunError
from veilscore.coordinator.inbox import Inbox
from veilscore.keys.errors import KeysError
from veilscore.keys.identity import Signer
from veilscore.keys.receiving import (
    PeerKeys,
    ReceivingKeys,
    run_purpose,
    verify_signed_key,
)
from veilscore.keys.registry import Registry
from veilscore.keys.sealing import Opener, Sealer
from veilscore.models.script import Arrived, Await, Send, drive
from veilscore.runtime.chunks import MAX_ENVELOPE_BYTES
from veilscore.v1.envelope_pb2 import Envelope, EnvelopeHeader
from veilscore.v1.hub_pb2 import ReceivingKey, SignedKey
from veilscore.v1.training_pb2 import RunContract, SumMessage, TrainingMessage

_log = logging.getLogger(__name__)

_VALID_S: Final = 24 * 3600  # of the keys; the clocks of two hosts may differ
_SKEW_S: Final = 300


class RunPost:
    """Opens and seals for one run; ``now`` is in seconds since 1970."""

    def __init__(
        self,
        contract: RunContract,
        party: str,
        signer: Signer,
        registry: Registry,
        now: float,
    ) -> None:
        self._contract = contract
        self._holders = tuple(entry.party for entry in contract.roster)
        self._registry = registry
        self._inbox = Inbox()
        self._purpose = run_purpose(contract.run)
        keys = ReceivingKeys.generate()
        self.key: SignedKey = keys.signed(
            signer,
            party,
            self._purpose,
            paillier=None,
            not_before=int(now) - _SKEW_S,
            not_after=int(now) + _VALID_S,
        )
        key_id = hashlib.sha256(self.key.body).digest()[:8]
        self._opener = Opener(
            party, self._purpose, {key_id: keys}, {}, MAX_ENVELOPE_BYTES
        )
        self._sealer = Sealer(signer, party, {})

    def receive(self, sender: str, data: bytes) -> None:
        """Take an envelope that the hub brought from ``sender``.

        Raises a Fault if a holder of this run sent it for this run and it is not
        what it should be; everything else is dropped.
        """
        if sender not in self._holders:
            _log.info("dropped an envelope from %s, which is not in the run", sender)
            return
        try:
            header = EnvelopeHeader.FromString(Envelope.FromString(data).header)
            if header.purpose != self._purpose:
                _log.info("dropped an envelope of another run from %s", sender)
                return
            if header.sender != sender:
                raise RunError("sent an envelope in another's name", party=sender)
            _, plaintext = self._opener.open(data, self._registry)
            message = TrainingMessage.FromString(plaintext)
        except DecodeError as error:
            raise RunError("sent what cannot be read", party=sender) from error
        except KeysError as error:
            raise RunError(error.what, party=sender) from error
        self._inbox.put(sender, message)

    def begin(self) -> None:
        """Take messages again after an ``end``: for another step."""
        if self._inbox.ended:
            self._inbox = Inbox()

    def end(self, reason: Exception) -> None:
        """Make who waits for a message of the step raise the first reason given."""
        self._inbox.end(reason)

    def poke(self) -> None:
        """Make ``next_sum`` return."""
        self._inbox.poke()

    def next_sum(self, timeout_s: float) -> tuple[str, SumMessage] | None:
        """Wait for a message of a sum; returns who sent it, too.

        Returns nothing when so many seconds have passed, or after a ``poke``. Raises
        what ``end`` was given.
        """
        return self._inbox.next_sum(timeout_s)

    def seal(self, step: str, peer: PeerKeys, message: TrainingMessage) -> bytes:
        """Return the envelope of a message to a party; only one thread seals."""
        return self._sealer.seal(step, peer, message.SerializeToString())

    def meet(
        self, directory: Callable[[str], Iterable[SignedKey]], now: float
    ) -> dict[str, PeerKeys]:
        """Return the verified keys of all parties; raises RunError naming the absent.

        Also raises what a key that does not verify raises.
        """
        peers = {
            peer.party: peer
            for signed in directory(self._purpose)
            # Others must not stop the run with a key that is not valid.
            if ReceivingKey.FromString(signed.body).party in self._holders
            for peer in [verify_signed_key(signed, self._registry, self._purpose, now)]
        }
        if missing := sorted(set(self._holders) - peers.keys()):
            raise RunError(
                "published no key for this run",
                party=", ".join(missing),
                remedy="See that node's status page.",
            )
        return peers

    def place(
        self,
        peers: dict[str, PeerKeys],
        send: Callable[[str, bytes], None],
        timeout_s: float,
    ) -> None:
        """Place the rows of the run and tell every holder its own places.

        Waits so long for each kind of message. Raises a Fault that names who broke
        the rules, or what ``end`` was given.
        """

        def seal(action: Send) -> None:
            send(action.to, self.seal("rows", peers[action.to], action.message))

        def wait(action: Await) -> Arrived:
            return self._inbox.take(action.kind, action.senders, timeout_s)

        drive(
            place_rows(self._contract, self._holders),
            send=seal,
            wait=wait,
            show=lambda _: None,  # takes seconds
        )
        self._inbox.check_empty()
