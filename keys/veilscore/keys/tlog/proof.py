"""Inclusion and consistency proofs of RFC 6962: made from hashes, checked alone.

An inclusion proof shows that a leaf is in a tree, a consistency proof that an
older tree is a prefix of a newer one. Verification follows RFC 9162, sections
2.1.3.2 and 2.1.4.2, and needs nothing but the proof and the roots.

Conventions where the RFCs leave a choice are those of transparency-dev/merkle:
nothing is consistent with, or included in, a tree of size 0. Who holds no older
tree needs no proof. Whether a root is signed is decided in ``checkpoint``.
"""

import hmac
from collections.abc import Sequence

from veilscore.keys.errors import ProofError
from veilscore.keys.tlog.tree import HASH_SIZE, HashReader, node_hash, split


def inclusion_proof(index: int, size: int, read: HashReader) -> tuple[bytes, ...]:
    """Return the audit path of a leaf, from its sibling up (RFC 6962, 2.1.1).

    Raises:
        ProofError: no such leaf in a tree of that size.

    """
    if not 0 <= index < size:
        raise ProofError(f"a tree of {size} entries has no entry {index}")
    path: list[bytes] = []
    start, end = 0, size
    while end - start > 1:
        middle = start + split(end - start)
        if index < middle:
            path.append(_subtree(middle, end, read))
            end = middle
        else:
            path.append(_subtree(start, middle, read))
            start = middle
    return tuple(reversed(path))


def consistency_proof(old: int, new: int, read: HashReader) -> tuple[bytes, ...]:
    """Return the proof that the first ``old`` leaves are unchanged (RFC 6962, 2.1.2).

    Raises:
        ProofError: the older tree is empty or larger.

    """
    if not 0 < old <= new:
        raise ProofError(f"no proof leads from {old} to {new} entries")
    path: list[bytes] = []
    start, end = 0, new
    while old != end:
        middle = start + split(end - start)
        if old <= middle:
            path.append(_subtree(middle, end, read))
            end = middle
        else:
            path.append(_subtree(start, middle, read))
            start = middle
    if start:  # else the verifier has this root: it is the older tree's
        path.append(_subtree(start, end, read))
    return tuple(reversed(path))


def verify_inclusion(
    leaf_hash: bytes, index: int, size: int, path: Sequence[bytes], root: bytes
) -> None:
    """Check that the leaf is at ``index`` in the tree, or raise ``ProofError``."""
    _check_hashes(leaf_hash, *path)
    if not 0 <= index < size:
        raise ProofError(f"a tree of {size} entries has no entry {index}")
    node = leaf_hash
    for sibling, left in zip(path, _sides(index, size - 1, len(path)), strict=True):
        node = node_hash(sibling, node) if left else node_hash(node, sibling)
    _check_root(node, root, f"entry {index} is not in the tree of {size} entries")


def verify_consistency(
    old: int, new: int, path: Sequence[bytes], old_root: bytes, new_root: bytes
) -> None:
    """Check that the newer tree continues the older one, or raise ``ProofError``."""
    _check_hashes(*path)
    if not 0 < old <= new:
        raise ProofError(f"no proof leads from {old} to {new} entries")
    changed = f"the tree of {new} entries does not continue that of {old}"
    if old == new:
        _sides(0, 0, len(path))  # must be empty
        _check_root(old_root, new_root, changed)
        return
    # The climb starts at the largest complete subtree that ends the older tree; its
    # root opens the path, or is the older root itself when that tree is complete.
    position, last = old - 1, new - 1
    while position & 1:
        position, last = position >> 1, last >> 1
    hashes = path if position else [old_root, *path]
    if not hashes:
        raise ProofError("the proof is too short")
    start, *siblings = hashes
    old_node = new_node = start
    sides = _sides(position, last, len(siblings))
    for sibling, left in zip(siblings, sides, strict=True):
        if left:
            old_node = node_hash(sibling, old_node)
            new_node = node_hash(sibling, new_node)
        else:
            new_node = node_hash(new_node, sibling)
    _check_root(old_node, old_root, changed)
    _check_root(new_node, new_root, changed)


def _sides(position: int, last: int, length: int) -> list[bool]:
    """Say of each hash of a path, from the bottom, whether it stands on the left.

    ``position`` is that of the node the path starts at, ``last`` that of the last
    node on its level.
    """
    sides: list[bool] = []
    for _ in range(length):
        if last == 0:
            raise ProofError("the proof is too long")
        left = position & 1 == 1 or position == last
        if left:  # a last node without a right sibling moves up unchanged
            while position and not position & 1:
                position, last = position >> 1, last >> 1
        sides.append(left)
        position, last = position >> 1, last >> 1
    if last:
        raise ProofError("the proof is too short")
    return sides


def _subtree(start: int, end: int, read: HashReader) -> bytes:
    """Return the root over leaves ``start`` to ``end``, a right subtree of the tree."""
    size = end - start
    if size & (size - 1) == 0:
        level = size.bit_length() - 1
        return read(level, start >> level)
    middle = start + split(size)
    return node_hash(_subtree(start, middle, read), _subtree(middle, end, read))


def _check_hashes(*hashes: bytes) -> None:
    if any(len(value) != HASH_SIZE for value in hashes):
        raise ProofError(f"a hash is not {HASH_SIZE} bytes long")


def _check_root(computed: bytes, expected: bytes, otherwise: str) -> None:
    if not hmac.compare_digest(computed, expected):
        raise ProofError(otherwise)
