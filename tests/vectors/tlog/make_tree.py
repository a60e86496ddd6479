"""Write tree.json: roots and proofs of a small tree, by the definitions of RFC 6962.

This is a second implementation: it follows the recursive formulas of section 2.1
literally and shares no code with the product. Run it from the repository's root:

    python tests/vectors/tlog/make_tree.py
"""

import hashlib
import json
from pathlib import Path

FILE = Path(__file__).with_name("tree.json")
LEAVES = [b"", b"\x00", b"\x10", b" !", b"01", b"@ABC", b"P" * 8, b"`" * 16, b"z" * 300]


def sha256(data: bytes) -> bytes:
    return hashlib.sha256(data).digest()


def power_below(n: int) -> int:
    k = 1
    while k * 2 < n:
        k *= 2
    return k


def mth(leaves: list[bytes]) -> bytes:
    """Return the Merkle Tree Hash, MTH(D[n])."""
    if not leaves:
        return sha256(b"")
    if len(leaves) == 1:
        return sha256(b"\x00" + leaves[0])
    k = power_below(len(leaves))
    return sha256(b"\x01" + mth(leaves[:k]) + mth(leaves[k:]))


def audit_path(m: int, leaves: list[bytes]) -> list[bytes]:
    """Return PATH(m, D[n])."""
    if len(leaves) == 1:
        return []
    k = power_below(len(leaves))
    if m < k:
        return [*audit_path(m, leaves[:k]), mth(leaves[k:])]
    return [*audit_path(m - k, leaves[k:]), mth(leaves[:k])]


def subproof(m: int, leaves: list[bytes], *, complete: bool) -> list[bytes]:
    """Return SUBPROOF(m, D[n], b); PROOF(m, D[n]) is that with b = true."""
    if m == len(leaves):
        return [] if complete else [mth(leaves)]
    k = power_below(len(leaves))
    if m <= k:
        return [*subproof(m, leaves[:k], complete=complete), mth(leaves[k:])]
    return [*subproof(m - k, leaves[k:], complete=False), mth(leaves[:k])]


def vectors() -> dict[str, object]:
    sizes = range(1, len(LEAVES) + 1)
    return {
        "leaves": [leaf.hex() for leaf in LEAVES],
        "roots": [mth(LEAVES[:size]).hex() for size in range(len(LEAVES) + 1)],
        "inclusion": [
            {
                "index": index,
                "size": size,
                "path": [node.hex() for node in audit_path(index, LEAVES[:size])],
            }
            for size in sizes
            for index in range(size)
        ],
        "consistency": [
            {
                "old": old,
                "new": new,
                "path": [n.hex() for n in subproof(old, LEAVES[:new], complete=True)],
            }
            for new in sizes
            for old in range(1, new + 1)
        ],
    }


if __name__ == "__main__":
    FILE.write_text(json.dumps(vectors(), indent=1) + "\n")
