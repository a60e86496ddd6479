"""Salted commitments, and one root over many of them.

The log shows a commitment to everybody; who made it keeps salt and data, its opening,
and shows them to whom it likes. A commitment whose salt is gone tells nothing: it
cannot be found out whether it was one to guessed data.

Under a root stand commitments as leaves of the tree of RFC 6962. One of them is opened
with its inclusion proof, which shows hashes of the others and so nothing about them,
but how many there are.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from veilscore.keys.errors import ProofError
from veilscore.keys.tlog.proof import inclusion_proof, verify_inclusion
from veilscore.keys.tlog.tree import leaf_hash, root_of

SALT_BYTES: Final = 32
_DOMAIN: Final = b"veilscore-commitment/1\0"


@dataclass(frozen=True, slots=True, repr=False)
class Opening:
    """What a salted commitment is over."""

    salt: bytes
    data: bytes

    @property
    def commitment(self) -> bytes:
        """What the log shows of it."""
        return hashlib.sha256(_DOMAIN + self.salt + self.data).digest()

    def check(self, commitment: bytes) -> None:
        """Raise ProofError unless this opens the commitment."""
        if len(self.salt) != SALT_BYTES or self.commitment != commitment:
            raise ProofError("the salt and the data do not open the commitment")


@dataclass(frozen=True, slots=True, repr=False)
class Shown:
    """One of many commitments, opened, and the proof of its place under the root."""

    opening: Opening
    index: int  # from 0
    path: tuple[bytes, ...]

    def check(self, size: int, root: bytes) -> None:
        """Raise ProofError unless the root over ``size`` commitments has this one."""
        if len(self.opening.salt) != SALT_BYTES:
            raise ProofError(f"a salt is {SALT_BYTES} bytes long")
        leaf = leaf_hash(self.opening.commitment)
        verify_inclusion(leaf, self.index, size, self.path, root)


def commitments_root(commitments: Sequence[bytes]) -> bytes:
    """Return the root over commitments in their order."""
    return root_of([leaf_hash(each) for each in commitments])


def path_to(commitments: Sequence[bytes], index: int) -> tuple[bytes, ...]:
    """Return the proof that the root has the commitment of this index, from 0."""
    hashes = [leaf_hash(each) for each in commitments]

    def read(level: int, at: int) -> bytes:
        return root_of(hashes[at << level : (at + 1) << level])

    return inclusion_proof(index, len(hashes), read)
