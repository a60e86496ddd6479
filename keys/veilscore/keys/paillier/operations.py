"""The jobs of a worker process that need tables, with the tables of its last keys.

A private key comes with every job, as bytes, and stays in the memory of the process
until another one replaces it or the process ends.
"""

from collections.abc import Sequence
from functools import lru_cache

from veilscore.keys.paillier.owner_noise import OwnerEncryptor
from veilscore.keys.paillier.peer_noise import PeerEncryptor
from veilscore.keys.paillier.private import PrivateKey
from veilscore.keys.paillier.public import PublicKey
from veilscore.keys.paillier.zero_pool import FreshZero

_private_key = lru_cache(maxsize=1)(PrivateKey.from_bytes)
_peer_encryptor = lru_cache(maxsize=2)(PeerEncryptor)  # 17 MB each at 3072 bits


@lru_cache(maxsize=1)  # 18 MB at 3072 bits
def _owner_encryptor(secret: bytes) -> OwnerEncryptor:
    return OwnerEncryptor(_private_key(secret))


def encrypt_own(secret: bytes, plaintexts: Sequence[int]) -> list[int]:
    """Encrypt residues with the owner's own fast noise."""
    return _owner_encryptor(secret).encrypt(plaintexts)


def encrypt_for(public: PublicKey, plaintexts: Sequence[int]) -> list[int]:
    """Encrypt this party's own residues under a peer's key."""
    return _peer_encryptor(public).encrypt(plaintexts)


def zeros_own(secret: bytes, count: int) -> list[FreshZero]:
    """Make fresh encryptions of zero under the own key."""
    return _owner_encryptor(secret).zeros(count)


def zeros_for(public: PublicKey, count: int) -> list[FreshZero]:
    """Make fresh encryptions of zero under a peer's key."""
    return _peer_encryptor(public).zeros(count)


def decrypt(secret: bytes, ciphertexts: Sequence[int]) -> list[int]:
    """Decrypt checked ciphertexts."""
    return _private_key(secret).decrypt(ciphertexts)


def forget() -> None:
    """Drop all tables and the private key."""
    _owner_encryptor.cache_clear()
    _peer_encryptor.cache_clear()
    _private_key.cache_clear()
