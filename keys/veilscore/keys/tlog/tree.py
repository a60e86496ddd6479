"""The Merkle tree of RFC 6962: how leaves become one root hash.

Who learns what: a hash of a leaf hides nothing that can be guessed, so leaves
carry salted commitments, never plain data; that is the caller's duty.

``Edge`` is all one needs to append to a tree of any size; proofs are made and
checked in ``proof``; nothing here knows signatures, tiles or files.
"""

import hashlib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

HASH_SIZE = 32

EMPTY_ROOT = hashlib.sha256(b"").digest()

# Root of the complete subtree of 2**level leaves that starts at leaf
# index * 2**level; only asked for subtrees that lie within the tree.
HashReader = Callable[[int, int], bytes]


def leaf_hash(leaf: bytes) -> bytes:
    """Return the hash of a leaf (RFC 6962, section 2.1)."""
    return hashlib.sha256(b"\x00" + leaf).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    """Return the hash of an inner node (RFC 6962, section 2.1)."""
    return hashlib.sha256(b"\x01" + left + right).digest()


def split_hashes(joined: bytes) -> list[bytes]:
    """Return the hashes that stand one after the other; a last one may be cut off."""
    return [joined[at : at + HASH_SIZE] for at in range(0, len(joined), HASH_SIZE)]


def split(size: int) -> int:
    """Return the largest power of two smaller than ``size``, which is over 1."""
    return 1 << ((size - 1).bit_length() - 1)


def root_of(hashes: Sequence[bytes]) -> bytes:
    """Return the root over leaf hashes, or over roots of equal complete subtrees.

    Pairs level by level; a last odd node moves up unchanged, which gives the
    same tree as the recursive definition of RFC 6962.
    """
    row = list(hashes)
    while len(row) > 1:
        paired = [
            node_hash(row[left], row[left + 1]) for left in range(0, len(row) - 1, 2)
        ]
        row = paired + row[len(paired) * 2 :]
    return row[0] if row else EMPTY_ROOT


@dataclass(frozen=True, slots=True)
class Edge:
    """The right edge of a tree: roots of its complete subtrees, largest first."""

    size: int = 0
    hashes: tuple[bytes, ...] = ()

    @classmethod
    def load(cls, size: int, read: HashReader) -> "Edge":
        """Read the edge of a tree of ``size`` leaves."""
        hashes: list[bytes] = []
        start = 0
        for level in reversed(range(size.bit_length())):
            if size >> level & 1:
                hashes.append(read(level, start >> level))
                start += 1 << level
        return cls(size, tuple(hashes))

    def extend(self, leaf_hashes: Iterable[bytes]) -> "Edge":
        """Return the edge after these leaves."""
        size, hashes = self.size, list(self.hashes)
        for leaf in leaf_hashes:
            node, level = leaf, size
            while level & 1:
                node = node_hash(hashes.pop(), node)
                level >>= 1
            hashes.append(node)
            size += 1
        return Edge(size, tuple(hashes))

    def root(self) -> bytes:
        """Return the root of the whole tree."""
        if not self.hashes:
            return EMPTY_ROOT
        node = self.hashes[-1]
        for left in reversed(self.hashes[:-1]):
            node = node_hash(left, node)
        return node
