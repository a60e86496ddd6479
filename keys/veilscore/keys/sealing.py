"""Envelopes: sealed to one party, signed by another, carried by the hub.

The hub sees the header and the size. It cannot read (HPKE), forge (Ed25519), re-sign or
re-address (the header is bound into the seal and into the signature), replay or drop
unnoticed (sequence numbers, whose marks the receiver keeps). It can delay
and it can stop everything. A sender cannot deny what it signed.

Wire format: ``protos/veilscore/v1/envelope.proto``. The signature is over
SHA-256(sealed) || header: signing 12 MB itself takes 35 ms, hashing it 7.
"""

import hashlib
from collections.abc import Mapping
from typing import Final, Protocol

from google.protobuf.message import DecodeError

from veilscore.keys.errors import ReplayError, SealError
from veilscore.keys.identity import ENVELOPE_DOMAIN, Signer
from veilscore.keys.receiving import SCORE, PeerKeys, ReceivingKeys
from veilscore.keys.registry import Registry
from veilscore.v1.envelope_pb2 import Envelope, EnvelopeHeader

_VERSION: Final = 1
_LAST_SEQ: Final = 2**63 - 1  # what a mark on disk can hold (SQLite)


class Marks(Protocol):
    """Sequence numbers by name; a dictionary will do where nothing outlives it."""

    def get(self, name: str, default: int, /) -> int:
        """Return the last number under this name."""
        ...

    def __setitem__(self, name: str, seq: int, /) -> None:
        """Move it."""
        ...


class Sealer:
    """Seals what one party sends.

    ``marks`` keeps the last sequence number used, by purpose and recipient. For scores
    it must outlive a crash that a number was used: it is used once.
    """

    def __init__(self, signer: Signer, party: str, marks: Marks) -> None:
        self._signer = signer
        self._party = party
        self._marks = marks

    def seal(self, step: str, recipient: PeerKeys, plaintext: bytes) -> bytes:
        """Return an envelope for the purpose the recipient's key was made for."""
        mark = f"sent {recipient.purpose} {recipient.party}"
        seq = self._marks.get(mark, 0) + 1
        self._marks[mark] = seq
        header = EnvelopeHeader(
            version=_VERSION,
            purpose=recipient.purpose,
            step=step,
            sender=self._party,
            recipient=recipient.party,
            seq=seq,
            recipient_key=recipient.key_id,
        ).SerializeToString(deterministic=True)
        sealed = recipient.encrypt(plaintext, header)
        signature = self._signer.sign(ENVELOPE_DOMAIN, signed_part(sealed, header))
        return Envelope(
            header=header, sealed=sealed, signature=signature
        ).SerializeToString(deterministic=True)


class Opener:
    """Opens what one party receives for one purpose.

    ``keys`` holds its receiving keys by ``PeerKeys.key_id``; the owner of the mapping
    adds and removes keys. ``marks`` keeps the last sequence number accepted, by purpose
    and sender: what has no larger one is refused, as a copy or because it comes late.
    """

    def __init__(
        self,
        party: str,
        purpose: str,
        keys: Mapping[bytes, ReceivingKeys],
        marks: Marks,
        max_bytes: int,
    ) -> None:
        self._party = party
        self._purpose = purpose
        self._keys = keys
        self._marks = marks
        self._max_bytes = max_bytes

    def open(self, data: bytes, registry: Registry) -> tuple[EnvelopeHeader, bytes]:
        """Return header and plaintext of an envelope, once.

        Raises SealError, ReplayError, SignatureError or RegistryError; only an
        envelope that opens moves the mark.
        """
        if len(data) > self._max_bytes:
            raise SealError(f"the envelope is over {self._max_bytes} bytes long")
        try:
            envelope = Envelope.FromString(data)
            header = EnvelopeHeader.FromString(envelope.header)
        except DecodeError as error:
            raise SealError("this is not an envelope") from error
        key = self._check_address(header)
        sender = registry.party(header.sender)
        sender.key.verify(
            envelope.signature,
            ENVELOPE_DOMAIN,
            signed_part(envelope.sealed, envelope.header),
        )
        mark = f"received {header.purpose} {header.sender}"
        self._check_sequence(header, self._marks.get(mark, 0))
        try:
            plaintext = key.decrypt(envelope.sealed, envelope.header)
        except SealError as error:
            raise SealError(
                "the envelope is signed but does not open with our key",
                party=header.sender,
                place=f"step {header.step[:80]!r}",
            ) from error
        self._marks[mark] = header.seq
        return header, plaintext

    def _check_address(self, header: EnvelopeHeader) -> ReceivingKeys:
        sender = header.sender[:40]
        if header.version != _VERSION:
            raise SealError(
                f"envelopes of version {header.version} cannot be read",
                party=sender,
                remedy="Update the older of the two nodes.",
            )
        if header.recipient != self._party:
            raise SealError(
                f"the envelope is for {header.recipient[:40]!r}", party=sender
            )
        if header.purpose != self._purpose:
            raise SealError(
                f"the envelope is for purpose {header.purpose[:80]!r}, "
                f"expected {self._purpose!r}",
                party=sender,
            )
        if header.recipient_key not in self._keys:
            raise SealError(
                "the envelope is sealed to a key we do not have, or no longer",
                party=sender,
                remedy="The sender must fetch our current receiving key.",
            )
        return self._keys[header.recipient_key]

    def _check_sequence(self, header: EnvelopeHeader, last: int) -> None:
        if header.seq <= last:
            raise ReplayError(
                f"envelope {header.seq} was received before, or left behind by "
                f"envelope {last}",
                party=header.sender,
            )
        if header.seq > _LAST_SEQ:
            raise SealError(f"no envelope has number {header.seq}", party=header.sender)
        # In a run every message counts; a score query may be lost and asked again.
        if header.purpose != SCORE and header.seq != last + 1:
            raise SealError(
                f"envelope {last + 1} is missing, {header.seq} came instead",
                party=header.sender,
                place=f"step {header.step[:80]!r}",
            )


def signed_part(sealed: bytes, header: bytes) -> bytes:
    """Return what the sender signs, after the domain."""
    return hashlib.sha256(sealed).digest() + header
