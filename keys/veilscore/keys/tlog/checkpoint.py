"""Checkpoints (C2SP tlog-checkpoint): what a log signs about itself.

A checkpoint says: the log called ``origin`` had ``size`` entries and this root.
It is public. A log that signs two checkpoints of which neither continues the
other has lied; ``proof.verify_consistency`` shows it.
"""

import base64
import re
from dataclasses import dataclass

from veilscore.keys.errors import ProofError
from veilscore.keys.identity import Signer
from veilscore.keys.tlog.note import NoteKey, decode_base64, open_note, sign_note
from veilscore.keys.tlog.tree import HASH_SIZE

_DECIMAL = re.compile(r"0|[1-9][0-9]{0,18}")  # below 2**64


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """The head of a log's tree."""

    origin: str
    size: int
    root: bytes

    @property
    def text(self) -> str:
        """The note text that is signed."""
        root = base64.b64encode(self.root).decode()
        return f"{self.origin}\n{self.size}\n{root}\n"


def sign_checkpoint(checkpoint: Checkpoint, signer: Signer) -> str:
    """Return the checkpoint as a note signed under the log's origin."""
    return sign_note(checkpoint.text, checkpoint.origin, signer)


def open_checkpoint(note: str, log: NoteKey) -> Checkpoint:
    """Verify and read a checkpoint; extension lines are ignored.

    Raises:
        ProofError: malformed, of another log, or not signed by ``log``.

    """
    lines = open_note(note, log).split("\n")[:-1]
    if len(lines) < 3 or not all(lines):  # noqa: PLR2004 - origin, size, root
        raise ProofError("the note is not a checkpoint")
    origin, size, root = lines[:3]
    if origin != log.name:
        raise ProofError(f"the checkpoint is of the log {origin!r}, not {log.name!r}")
    checkpoint = Checkpoint(origin, decode_decimal(size), decode_base64(root))
    if len(checkpoint.root) != HASH_SIZE:
        raise ProofError(f"the checkpoint's root is not {HASH_SIZE} bytes long")
    return checkpoint


def decode_decimal(text: str) -> int:
    """Read an ASCII number without leading zeroes.

    Raises:
        ProofError: anything else.

    """
    if not _DECIMAL.fullmatch(text):
        raise ProofError(f"{text[:20]!r} is not a size or an index")
    return int(text)
