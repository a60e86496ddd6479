"""``.tlog-proof`` files (C2SP tlog-proof): a leaf is in a log, checkable offline.

Whoever holds a leaf, its proof and the log's verifier key needs nobody else. The
proof shows neither the leaf nor any other entry, only hashes and the log's size.
"""

import base64
from dataclasses import dataclass

from veilscore.keys.errors import ProofError
from veilscore.keys.tlog.checkpoint import (
    Checkpoint,
    decode_decimal,
    open_checkpoint,
)
from veilscore.keys.tlog.note import NoteKey, decode_base64
from veilscore.keys.tlog.proof import verify_inclusion
from veilscore.keys.tlog.tree import leaf_hash

_HEADER = "c2sp.org/tlog-proof@v1"
_MAX_HASHES = 63


@dataclass(frozen=True, slots=True)
class TlogProof:
    """That a leaf is at ``index`` in the tree of ``checkpoint``, a signed note."""

    index: int
    path: tuple[bytes, ...]
    checkpoint: str

    @classmethod
    def parse(cls, text: str) -> "TlogProof":
        """Read a proof file; nothing in it is verified yet.

        The optional line of extra data is skipped: nothing authenticates it.

        Raises:
            ProofError: malformed.

        """
        head, _, checkpoint = text.partition("\n\n")
        header, *lines = head.split("\n")
        if lines and lines[0].startswith("extra "):
            decode_base64(lines.pop(0).removeprefix("extra "))
        if header != _HEADER or not lines or not lines[0].startswith("index "):
            raise ProofError("this is not a proof of a transparency log")
        index, *hashes = lines
        if len(hashes) > _MAX_HASHES:
            raise ProofError("the proof is too long")
        return cls(
            index=decode_decimal(index.removeprefix("index ")),
            path=tuple(decode_base64(line) for line in hashes),
            checkpoint=checkpoint,
        )

    @property
    def text(self) -> str:
        """The content of the ``.tlog-proof`` file."""
        hashes = (base64.b64encode(node).decode() for node in self.path)
        head = "\n".join([_HEADER, f"index {self.index}", *hashes])
        return f"{head}\n\n{self.checkpoint}"

    def verify(self, leaf: bytes, log: NoteKey) -> Checkpoint:
        """Check the proof for ``leaf`` and return the checkpoint it leads to.

        Raises:
            ProofError: the checkpoint is not ``log``'s, or the leaf not in it.

        """
        checkpoint = open_checkpoint(self.checkpoint, log)
        self.verify_in(checkpoint, leaf)
        return checkpoint

    def verify_in(self, checkpoint: Checkpoint, leaf: bytes) -> None:
        """Check that ``leaf`` is in the tree of a verified checkpoint.

        Raises:
            ProofError: it is not.

        """
        size, root = checkpoint.size, checkpoint.root
        verify_inclusion(leaf_hash(leaf), self.index, size, self.path, root)
