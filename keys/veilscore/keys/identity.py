"""Who a party is: its name and its Ed25519 signing key.

The key signs what must stay provable for years: events, receiving keys, envelopes,
registries. Everybody sees names and public keys; the private half leaves this module
only as bytes for the keystore. Who is registered, ``registry`` decides; keys that speak
TLS are another matter (``certificates``).
"""

import hashlib
import re
from dataclasses import dataclass
from typing import Final, Self

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import (
    Ed25519PrivateKey,
    Ed25519PublicKey,
)

from veilscore.keys.errors import InvalidKeyError, RegistryError, SignatureError

# What is signed begins with one of these. Each ends with its only zero byte, so
# none is the beginning of another and no signature passes for another kind.
EVENT_DOMAIN: Final = b"veilscore-event/1\0"
RECEIVING_KEY_DOMAIN: Final = b"veilscore-receiving-key/1\0"
ENVELOPE_DOMAIN: Final = b"veilscore-envelope/1\0"
REGISTRY_DOMAIN: Final = b"veilscore-registry/1\0"
PARTY_CARD_DOMAIN: Final = b"veilscore-party-card/1\0"
WELCOME_KIT_DOMAIN: Final = b"veilscore-welcome-kit/1\0"
EVIDENCE_DOMAIN: Final = b"veilscore-evidence/1\0"
AGGREGATION_DOMAIN: Final = b"veilscore-aggregation/1\0"
OPENING_DOMAIN: Final = b"veilscore-opening/1\0"

_PARTY_NAME = re.compile(r"[a-z0-9][a-z0-9-]{0,38}[a-z0-9]")
_FIELD_PRIME = 2**255 - 19
# y-coordinates of the points of order 1, 2, 4 and 8. Under such a key one
# signature fits every message (Chalkias et al., "Taming the many EdDSAs", 2020).
_ORDER_8_Y = 0x7A03AC9277FDC74EC6CC392CFA53202A0F67100D760B3CBA4FD84D3D706A17C7
_SMALL_ORDER_Y = {0, 1, _FIELD_PRIME - 1, _ORDER_8_Y, _FIELD_PRIME - _ORDER_8_Y}


def check_party_name(name: str) -> None:
    """Raise RegistryError unless ``name`` may name a party."""
    if not _PARTY_NAME.fullmatch(name):
        raise RegistryError(
            f"{name[:60]!r} cannot name a party",
            remedy="Use 2 to 40 of a-z, 0-9 and hyphen, no hyphen at either end.",
        )


@dataclass(frozen=True, slots=True)
class VerifyKey:
    """An Ed25519 public key, 32 raw bytes; raises InvalidKeyError on others."""

    raw: bytes

    def __post_init__(self) -> None:
        """Refuse other encodings and the few keys under which anybody can sign."""
        # bit 255 is the sign of x
        y = int.from_bytes(self.raw, "little") & (2**255 - 1)
        if len(self.raw) != 32 or y >= _FIELD_PRIME or y in _SMALL_ORDER_Y:  # noqa: PLR2004 - RFC 8032: 32 bytes
            raise InvalidKeyError("this is not a usable Ed25519 public key")

    @property
    def fingerprint(self) -> bytes:
        """SHA-256 of the key: what people compare out of band and nodes pin."""
        return hashlib.sha256(self.raw).digest()

    @property
    def key_id(self) -> bytes:
        """First 8 bytes of the fingerprint: finds a key, proves nothing."""
        return self.fingerprint[:8]

    def verify(self, signature: bytes, domain: bytes, data: bytes) -> None:
        """Raise SignatureError unless ``signature`` is over ``domain || data``."""
        try:
            key = Ed25519PublicKey.from_public_bytes(self.raw)
            key.verify(signature, domain + data)
        except (InvalidSignature, ValueError) as error:
            raise SignatureError(
                f"the signature does not verify under key {self.key_id.hex()}"
            ) from error


class Signer:
    """An Ed25519 private key (RFC 8032)."""

    __slots__ = ("_key", "verify_key")

    def __init__(self, key: Ed25519PrivateKey) -> None:
        self._key = key
        self.verify_key = VerifyKey(key.public_key().public_bytes_raw())

    @classmethod
    def generate(cls) -> Self:
        """Make a new key."""
        return cls(Ed25519PrivateKey.generate())

    @classmethod
    def from_private_bytes(cls, raw: bytes) -> Self:
        """Read what ``private_bytes`` wrote; raises InvalidKeyError."""
        try:
            return cls(Ed25519PrivateKey.from_private_bytes(raw))
        except ValueError as error:
            raise InvalidKeyError("this is not an Ed25519 private key") from error

    def private_bytes(self) -> bytes:
        """Return the 32 secret bytes, for the keystore only."""
        return self._key.private_bytes_raw()

    def sign(self, domain: bytes, data: bytes) -> bytes:
        """Sign ``domain || data``; 64 bytes."""
        return self._key.sign(domain + data)
