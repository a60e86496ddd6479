"""Evidence that a log has lied: two checkpoints it signed that do not fit together.

Two trees of one size with different roots prove it to everybody: an honest log never
signs both. For two sizes the log's own entries decide: either they lead to both roots
or they do not, and an export of the log shows which (``audit``). Whoever found it signs
the file, so that it says since when it was known; what convicts are the log's own
signatures.

The file holds sizes and hashes. It is meant to be shown to everybody.
"""

from dataclasses import dataclass

from veilscore.keys.documents import open_document, sign_document
from veilscore.keys.errors import ProofError
from veilscore.keys.identity import EVIDENCE_DOMAIN, Signer, VerifyKey
from veilscore.keys.tlog.checkpoint import Checkpoint, open_checkpoint
from veilscore.keys.tlog.note import NoteKey

_PLACE = "evidence"
LATEST_S = 4_102_444_800  # 2100: no evidence is found later


@dataclass(frozen=True, slots=True)
class Contradiction:
    """Two checkpoints, signed notes, of which the second should continue the first.

    Raises ProofError unless the log signed both.
    """

    log: NoteKey
    first: str
    second: str

    def __post_init__(self) -> None:
        """Verify both signatures."""
        self.checkpoints()

    def checkpoints(self) -> tuple[Checkpoint, Checkpoint]:
        """Return what the log signed, the smaller tree first."""
        both = (open_checkpoint(note, self.log) for note in (self.first, self.second))
        smaller, larger = sorted(both, key=lambda checkpoint: checkpoint.size)
        return smaller, larger

    @property
    def is_proof(self) -> bool:
        """Whether the two checkpoints alone convict the log."""
        first, second = self.checkpoints()
        return first.size == second.size and first.root != second.root


@dataclass(frozen=True, slots=True)
class Evidence:
    """A contradiction, and who found it when."""

    contradiction: Contradiction
    finder: str  # name of the witness, its own word
    key: VerifyKey  # that signed the file
    found_s: int  # seconds since 1970, on the clock of the finder

    @staticmethod
    def sign(
        contradiction: Contradiction, finder: str, signer: Signer, found_s: int
    ) -> bytes:
        """Return the file that says what was found."""
        body = {
            "log": contradiction.log.vkey,
            "first": contradiction.first,
            "second": contradiction.second,
            "finder": finder,
            "found": found_s,
        }
        return sign_document(body, EVIDENCE_DOMAIN, signer)

    @classmethod
    def load(cls, data: bytes) -> "Evidence":
        """Verify and read the file.

        Raises:
            ProofError: the log signed no such checkpoints.
            RegistryError, SignatureError, InvalidKeyError: not what its finder wrote.

        """
        fields, key = open_document(data, EVIDENCE_DOMAIN, _PLACE, None)
        evidence = cls(
            Contradiction(
                NoteKey.parse(fields.text("log")),
                fields.text("first"),
                fields.text("second"),
            ),
            fields.text("finder"),
            key,
            fields.number("found"),
        )
        fields.end()
        if not 0 <= evidence.found_s < LATEST_S:
            raise ProofError("the evidence is of an impossible time", place=_PLACE)
        return evidence
