"""Many keys out of one secret, each of which can be destroyed for itself.

The tree of Goldreich, Goldwasser and Micali ("How to construct random functions",
1986): every node makes its two children, by keyed BLAKE2b (RFC 7693), and the leaves
are the keys. Whoever destroys a leaf keeps the siblings along its path instead of the
root (Boneh and Waters, 2013: a punctured key): all other leaves are still there, and
this one cannot be computed any more from what is left.

A holder of nodes has all leaves under them and nothing else. Nothing here touches a
file: that old copies are destroyed, too, is for whoever stores the nodes.
"""

import hashlib
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305

from veilscore.keys.errors import SealError

DEPTH: Final = 16
LEAVES: Final = 1 << DEPTH
ROOT: Final = 1  # children of node n are 2n and 2n + 1, as in a heap
KEY_BYTES: Final = 32
_INNER: Final = b"veilscore-tree/1"
_LEAF: Final = b"veilscore-leaf/1"
_VERSION: Final = b"\x01"
_NONCE: Final = bytes(12)  # a key encrypts once


@dataclass(frozen=True, slots=True, repr=False)
class LeafKeys:
    """What a leaf is used for: either half tells nothing of the other."""

    salt: bytes  # of a commitment; shown to whom it is opened
    _key: bytes

    def seal(self, data: bytes, about: bytes) -> bytes:
        """Encrypt the one thing of this leaf, bound to what it is about."""
        cipher = ChaCha20Poly1305(self._key)
        return _VERSION + cipher.encrypt(_NONCE, data, _VERSION + about)

    def open(self, sealed: bytes, about: bytes) -> bytes:
        """Decrypt what ``seal`` made; raises SealError."""
        try:
            cipher = ChaCha20Poly1305(self._key)
            return cipher.decrypt(_NONCE, sealed[1:], sealed[:1] + about)
        except InvalidTag as error:
            raise SealError(
                "an opening is damaged, or sealed under another key",
                remedy="Restore the newest backups of events.db and shredder.db.",
            ) from error


def new_root() -> bytes:
    """Return a fresh root."""
    return secrets.token_bytes(KEY_BYTES)


def first_leaves(root: bytes, count: int) -> list[LeafKeys]:
    """Return the first leaves of a whole tree, at most ``LEAVES``."""
    row = [root]
    for height in reversed(range(DEPTH)):
        wanted = ((count - 1) >> height) + 1
        row = [child for node in row for child in _children(node)][:wanted]
    return [_of_leaf(node) for node in row[:count]]


def leaf(held: Mapping[int, bytes], index: int) -> LeafKeys | None:
    """Return a leaf that lies under one of the nodes, or None if none does."""
    node, sides = LEAVES + index, list[int]()
    while node not in held:
        if node <= ROOT:
            return None
        sides.append(node & 1)
        node >>= 1
    key = held[node]
    for side in reversed(sides):
        key = _children(key)[side]
    return _of_leaf(key)


def without(held: Mapping[int, bytes], index: int) -> dict[int, bytes]:
    """Return nodes that have the same leaves but for one."""
    left, path = dict(held), [LEAVES + index]
    while path[-1] not in held:
        if path[-1] <= ROOT:
            return left
        path.append(path[-1] >> 1)
    key = left.pop(path.pop())
    for node in reversed(path):
        pair = _children(key)
        left[node ^ 1] = pair[~node & 1]
        key = pair[node & 1]
    return left


def _children(node: bytes) -> tuple[bytes, bytes]:
    both = hashlib.blake2b(key=node, person=_INNER).digest()
    return both[:KEY_BYTES], both[KEY_BYTES:]


def _of_leaf(node: bytes) -> LeafKeys:
    both = hashlib.blake2b(key=node, person=_LEAF).digest()
    return LeafKeys(both[:KEY_BYTES], both[KEY_BYTES:])
