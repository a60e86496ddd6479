"""The tree of a log as its files show it, which must be the one that it has signed.

Everything here either follows from the signed root or raises: a file that is missing or
damaged is no sign of another tree.
"""

from dataclasses import dataclass, field

from veilscore.keys.errors import ProofError
from veilscore.keys.tlog.archive import LogFiles
from veilscore.keys.tlog.checkpoint import Checkpoint
from veilscore.keys.tlog.proof import (
    consistency_proof,
    inclusion_proof,
    verify_consistency,
    verify_inclusion,
)
from veilscore.keys.tlog.reader import Entry
from veilscore.keys.tlog.search import hashes_of
from veilscore.keys.tlog.tlog_proof import TlogProof
from veilscore.keys.tlog.tree import Edge, HashReader, leaf_hash


@dataclass(frozen=True, slots=True)
class ShownTree:
    """The files of a log, and the checkpoint that ``note`` holds, verified."""

    files: LogFiles
    note: str
    head: Checkpoint
    _read: HashReader = field(init=False)

    def __post_init__(self) -> None:
        """Read hashes when they are asked for."""
        object.__setattr__(self, "_read", hashes_of(self.files, self.head.size))

    @property
    def size(self) -> int:
        """Number of entries."""
        return self.head.size

    def edge(self, size: int) -> Edge:
        """Return the edge of the first entries, which nothing has verified yet."""
        return Edge.load(size, self._read)

    def begins_with(self, size: int, root: bytes) -> bool:
        """Say whether a tree of this size and root is the beginning of this one.

        Raises:
            ProofError: the log does not show the tree that it has signed.

        """
        if not 0 < size < self.size:
            return not size or (size, root) == (self.size, self.head.root)
        found = self.edge(size).root()
        path = consistency_proof(size, self.size, self._read)
        try:
            verify_consistency(size, self.size, path, found, self.head.root)
        except ProofError as error:
            raise self._not_shown() from error
        return found == root

    def prove(self, entry: Entry) -> TlogProof:
        """Return the proof of an entry.

        Raises:
            ProofError: the log does not show the tree that it has signed.

        """
        leaf, index = leaf_hash(entry.opened.leaf), entry.index
        path = inclusion_proof(index, self.size, self._read)
        try:
            verify_inclusion(leaf, index, self.size, path, self.head.root)
        except ProofError as error:
            raise self._not_shown() from error
        return TlogProof(index, path, self.note)

    def check_read(self, edge: Edge) -> None:
        """Raise ProofError unless what was read leads to the signed root."""
        if edge.root() != self.head.root:
            raise self._not_shown()

    def _not_shown(self) -> ProofError:
        return ProofError(
            "the log does not show the entries that lead to the root it has signed",
            place=f"{self.size} entries",
        )
