"""Receiving keys: made for one purpose, signed by their owner, deleted after it.

Everybody sees the public halves. Because the private halves of a run live in memory
only, a long-term key stolen later opens nothing that was recorded before. Sealing is
HPKE (RFC 9180, base mode) with the hybrid of ML-KEM-768 and X25519, so that what is
recorded today stays closed to a later quantum computer.

The owner signs its Paillier modulus here, and the registry holds the proof that it is
well formed: one without the other is refused. Times are seconds since 1970.
"""

import hashlib
import re
import secrets
from dataclasses import dataclass
from typing import Final, Self

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.asymmetric.mlkem import (
    MLKEM768PrivateKey,
    MLKEM768PublicKey,
)
from cryptography.hazmat.primitives.asymmetric.x25519 import (
    X25519PrivateKey,
    X25519PublicKey,
)
from cryptography.hazmat.primitives.hpke import (
    AEAD,
    KDF,
    KEM,
    MLKEM768X25519PrivateKey,
    MLKEM768X25519PublicKey,
    Suite,
)
from google.protobuf.message import DecodeError

from veilscore.keys.errors import InvalidKeyError, SealError
from veilscore.keys.identity import RECEIVING_KEY_DOMAIN, Signer
from veilscore.keys.paillier.modulus_proof import CertifiedModulus
from veilscore.keys.paillier.public import MINIMUM_BITS, PublicKey
from veilscore.keys.registry import PartyRecord, Registry
from veilscore.v1 import hub_pb2

SCORE: Final = "score"

_SUITE: Final = Suite(KEM.MLKEM768_X25519, KDF.HKDF_SHA256, AEAD.CHACHA20_POLY1305)
_PURPOSE = re.compile(r"score|run:[0-9a-zA-Z_-]{1,64}")
_VERSION: Final = b"\1"
_SEED: Final = 64  # an ML-KEM private key, FIPS 203 section 7.1: d || z
_MLKEM_PUBLIC: Final = 1184
_X25519: Final = 32
_NONCE: Final = 32
_PRIVATE: Final = 1 + _SEED + _X25519 + _X25519 + _NONCE


def run_purpose(run: str) -> str:
    """Return the purpose of the keys of one run."""
    purpose = f"run:{run}"
    check_purpose(purpose)
    return purpose


def check_purpose(purpose: str) -> None:
    """Raise InvalidKeyError unless it is "score" or "run:" and a run's id."""
    if not _PURPOSE.fullmatch(purpose):
        raise InvalidKeyError(f"{purpose[:80]!r} is not a purpose of a receiving key")


class ReceivingKeys:
    """The private halves; their owner opens envelopes and derives masks with them."""

    __slots__ = ("_mlkem", "_x25519", "mask", "nonce")

    def __init__(
        self,
        mlkem: MLKEM768PrivateKey,
        x25519: X25519PrivateKey,
        mask: X25519PrivateKey,
        nonce: bytes,
    ) -> None:
        self._mlkem = mlkem
        self._x25519 = x25519
        self.mask = mask
        self.nonce = nonce

    @classmethod
    def generate(cls) -> Self:
        """Make new keys."""
        return cls(
            MLKEM768PrivateKey.generate(),
            X25519PrivateKey.generate(),
            X25519PrivateKey.generate(),
            secrets.token_bytes(_NONCE),
        )

    @classmethod
    def from_private_bytes(cls, raw: bytes) -> Self:
        """Read what ``private_bytes`` wrote; raises InvalidKeyError."""
        if len(raw) != _PRIVATE or raw[:1] != _VERSION:
            raise InvalidKeyError("these are not receiving keys of a version we read")
        seed, x25519, mask, nonce = _split(raw[1:], _SEED, _X25519, _X25519)
        return cls(
            MLKEM768PrivateKey.from_seed_bytes(seed),
            X25519PrivateKey.from_private_bytes(x25519),
            X25519PrivateKey.from_private_bytes(mask),
            nonce,
        )

    def private_bytes(self) -> bytes:
        """Return the secret bytes, for the keystore only; never for keys of a run."""
        return b"".join(
            (
                _VERSION,
                self._mlkem.private_bytes_raw(),
                self._x25519.private_bytes_raw(),
                self.mask.private_bytes_raw(),
                self.nonce,
            )
        )

    def signed(
        self,
        signer: Signer,
        party: str,
        purpose: str,
        *,
        paillier: PublicKey | None,
        not_before: int,
        not_after: int,
    ) -> hub_pb2.SignedKey:
        """Return the public halves, signed; the same arguments give the same bytes."""
        check_purpose(purpose)
        body = hub_pb2.ReceivingKey(
            party=party,
            purpose=purpose,
            hpke=self._mlkem.public_key().public_bytes_raw()
            + self._x25519.public_key().public_bytes_raw(),
            mask=self.mask.public_key().public_bytes_raw(),
            nonce=self.nonce,
            paillier_modulus=paillier.to_bytes() if paillier else b"",
            not_before=not_before,
            not_after=not_after,
        ).SerializeToString(deterministic=True)
        signature = signer.sign(RECEIVING_KEY_DOMAIN, body)
        return hub_pb2.SignedKey(body=body, signature=signature)

    def decrypt(self, sealed: bytes, info: bytes) -> bytes:
        """Open what ``PeerKeys.encrypt`` sealed with the same ``info``.

        Raises SealError. Says nothing about who sealed it.
        """
        try:
            key = MLKEM768X25519PrivateKey(self._mlkem, self._x25519)
            return _SUITE.decrypt(sealed, key, info=info)
        except (InvalidTag, ValueError) as error:
            raise SealError("the sealed part does not open with our key") from error


@dataclass(frozen=True, slots=True)
class PeerKeys:
    """The verified public halves of a party's receiving keys."""

    party: str
    purpose: str
    digest: bytes  # SHA-256 of the signed body
    hpke: bytes
    mask: bytes
    nonce: bytes
    paillier: CertifiedModulus | None  # None: decrypts nothing
    not_after: int

    @property
    def key_id(self) -> bytes:
        """First 8 bytes of the digest: what an envelope names its recipient by."""
        return self.digest[:8]

    def paillier_key(self, minimum_bits: int = MINIMUM_BITS) -> PublicKey:
        """Return the Paillier key; raises InvalidKeyError unless it is proven."""
        if self.paillier is None:
            raise InvalidKeyError("has no Paillier key", party=self.party)
        return self.paillier.key(self.party, minimum_bits)

    def encrypt(self, plaintext: bytes, info: bytes) -> bytes:
        """Seal to this party; raises InvalidKeyError if its key is unusable."""
        mlkem, x25519 = _split(self.hpke, _MLKEM_PUBLIC)
        try:
            key = MLKEM768X25519PublicKey(
                MLKEM768PublicKey.from_public_bytes(mlkem),
                X25519PublicKey.from_public_bytes(x25519),
            )
            return _SUITE.encrypt(plaintext, key, info=info)
        except ValueError as error:
            raise InvalidKeyError(
                "the receiving key cannot be sealed to", party=self.party
            ) from error


def named_party(key: hub_pb2.SignedKey) -> str:
    """Return whose key this claims to be, before anything of it is believed."""
    try:
        return hub_pb2.ReceivingKey.FromString(key.body).party
    except DecodeError:
        return ""


def verify_signed_key(
    key: hub_pb2.SignedKey, registry: Registry, purpose: str, now: float
) -> PeerKeys:
    """Return a party's keys for ``purpose`` if it signed them and they are valid.

    Raises InvalidKeyError, RegistryError (an unregistered party) or SignatureError.
    """
    try:
        body = hub_pb2.ReceivingKey.FromString(key.body)
    except DecodeError as error:
        raise InvalidKeyError("this is not a receiving key") from error
    record = registry.party(body.party)
    record.key.verify(key.signature, RECEIVING_KEY_DOMAIN, key.body)
    if body.purpose != purpose:
        raise InvalidKeyError(
            f"the receiving key was made for {body.purpose[:80]!r}, not {purpose!r}",
            party=body.party,
        )
    if not body.not_before <= now < body.not_after:
        raise InvalidKeyError(
            "the receiving key is not valid now",
            party=body.party,
            remedy="Check the clocks of both hosts; restart the party's node, which "
            "publishes a new key.",
        )
    lengths = (len(body.hpke), len(body.mask), len(body.nonce))
    if lengths != (_MLKEM_PUBLIC + _X25519, _X25519, _NONCE):
        raise InvalidKeyError("the receiving key has a wrong size", party=body.party)
    return PeerKeys(
        party=body.party,
        purpose=body.purpose,
        digest=hashlib.sha256(key.body).digest(),
        hpke=body.hpke,
        mask=body.mask,
        nonce=body.nonce,
        paillier=_registered(body.paillier_modulus, record),
        not_after=body.not_after,
    )


def _registered(modulus: bytes, record: PartyRecord) -> CertifiedModulus | None:
    if not modulus:
        return None
    if record.paillier is None or record.paillier.modulus != modulus:
        raise InvalidKeyError(
            "uses another Paillier key than the registered one",
            party=record.name,
            remedy="Admit the party again with the card of its node.",
        )
    return record.paillier


def _split(raw: bytes, *lengths: int) -> tuple[bytes, ...]:
    """Cut ``raw`` into parts of the given lengths and the rest."""
    parts: list[bytes] = []
    for length in lengths:
        parts.append(raw[:length])
        raw = raw[length:]
    return (*parts, raw)
