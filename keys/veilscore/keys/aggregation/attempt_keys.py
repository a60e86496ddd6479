"""A member's secrets of one attempt, and what follows from them.

Two key pairs of X25519, one that shares are sealed to and one for the masks between two
members, the seed of its own mask, and its part of the group's secret. Mask key and own
mask follow from seeds of 16 bytes, because those are what is shared out (``sharing``).
All of it lives in memory for one attempt. Everybody sees the public halves and the
commitments; whoever gets ``threshold`` shares has the one seed or the other.
"""

import hashlib
import secrets
from collections.abc import Iterable
from typing import Final, Self

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305
from cryptography.hazmat.primitives.kdf.hkdf import HKDF, HKDFExpand

from veilscore.keys import masks
from veilscore.keys.aggregation.sharing import SECRET
from veilscore.keys.errors import SealError

KEY: Final = 32  # bytes of X25519 keys and of secrets that masks are drawn from
PART: Final = 32  # bytes of a part of the group's secret
COMMITMENT: Final = 32
TAG: Final = 16  # bytes that sealing adds
MASK_LABEL: Final = "aggregation"  # one mask from each secret

_NONCE: Final = bytes(12)


class AttemptKeys:
    """The secrets; ``name`` is their owner, ``context`` that of the attempt's terms."""

    __slots__ = ("_channel", "context", "group_part", "mask_seed", "name", "self_seed")

    def __init__(self, context: bytes, name: str, channel: X25519PrivateKey) -> None:
        self.context = context
        self.name = name
        self._channel = channel
        self.mask_seed = secrets.token_bytes(SECRET)
        self.self_seed = secrets.token_bytes(SECRET)
        self.group_part = secrets.token_bytes(PART)

    @classmethod
    def generate(cls, context: bytes, name: str) -> Self:
        """Make new secrets."""
        channel = X25519PrivateKey.from_private_bytes(secrets.token_bytes(KEY))
        return cls(context, name, channel)

    @property
    def channel_public(self) -> bytes:
        """What shares for this member are sealed to."""
        return self._channel.public_key().public_bytes_raw()

    @property
    def mask_public(self) -> bytes:
        """What others derive the masks between them and this member from."""
        key = mask_key(self.mask_seed, self.context, self.name)
        return key.public_key().public_bytes_raw()

    def pair_secret(self, peer_mask: bytes) -> bytes:
        """Return what the masks with a peer are drawn from; raises InvalidKeyError."""
        key = mask_key(self.mask_seed, self.context, self.name)
        return masks.pair_secret(key, peer_mask, self.context)

    def seal(self, peer: str, peer_channel: bytes, plaintext: bytes) -> bytes:
        """Seal to a peer, who knows then that it comes from here.

        Once for each peer: the key has no second nonce. Raises InvalidKeyError.
        """
        cipher = self._cipher(self.name, peer, peer_channel)
        return cipher.encrypt(_NONCE, plaintext, self.context)

    def open(self, peer: str, peer_channel: bytes, sealed: bytes) -> bytes:
        """Open what a peer sealed to this member; raises SealError."""
        try:
            cipher = self._cipher(peer, self.name, peer_channel)
            return cipher.decrypt(_NONCE, sealed, self.context)
        except InvalidTag as error:
            raise SealError("the shares do not open", party=peer) from error

    def _cipher(self, sender: str, recipient: str, channel: bytes) -> ChaCha20Poly1305:
        shared = masks.pair_secret(self._channel, channel, self.context)
        names = sender.encode() + b"\0" + recipient.encode()
        info = b"veilscore-shares/1\0" + names
        kdf = HKDFExpand(algorithm=hashes.SHA256(), length=KEY, info=info)
        return ChaCha20Poly1305(kdf.derive(shared))


def mask_key(seed: bytes, context: bytes, owner: str) -> X25519PrivateKey:
    """Return the private mask key that follows from its seed."""
    derived = _derive(seed, context, b"mask key\0" + owner.encode())
    return X25519PrivateKey.from_private_bytes(derived)


def self_mask_secret(seed: bytes, context: bytes, owner: str) -> bytes:
    """Return what a member's own mask is drawn from."""
    return _derive(seed, context, b"self mask\0" + owner.encode())


def group_secret(context: bytes, share_list: bytes, parts: Iterable[bytes]) -> bytes:
    """Return what the group's masks are drawn from.

    ``parts`` are those of all members whose shares stand in the list of this digest, in
    the order of the roster. All of these members know all of them, also of those that
    drop out later; nobody chose its own after seeing another.
    """
    return _derive(b"".join(parts), context, b"group\0" + share_list)


def commit_to_seed(seed: bytes, context: bytes, owner: str) -> bytes:
    """Return the commitment to the seed of a member's own mask."""
    return _commit(seed, context, b"self mask\0" + owner.encode())


def commit_to_part(part: bytes, context: bytes, owner: str) -> bytes:
    """Return the commitment to a member's part of the group's secret."""
    return _commit(part, context, b"group part\0" + owner.encode())


def _derive(secret: bytes, context: bytes, info: bytes) -> bytes:
    kdf = HKDF(
        algorithm=hashes.SHA256(),
        length=KEY,
        salt=context,
        info=b"veilscore-aggregation/1\0" + info,
    )
    return kdf.derive(secret)


def _commit(secret: bytes, context: bytes, what: bytes) -> bytes:
    # A digest hides what has as many random bits as these secrets.
    tag = b"veilscore-commitment/1\0" + context + what + b"\0"
    return hashlib.sha256(tag + secret).digest()
