"""Evidence about one event of a party that the log holds, held, or says otherwise.

What it proves to everybody: the log signed a tree that holds this leaf, and whether
the key that signed the file signed the leaf, too. That the party knows no such event,
or that the log does not hold it any more, is the word of the party, which signs it.

The file holds what the log shows to everybody, and the party's own event of the number.
"""

from dataclasses import dataclass

from veilscore.keys.documents import open_document, read_object, sign_document
from veilscore.keys.errors import KeysError, ProofError
from veilscore.keys.identity import EVIDENCE_DOMAIN, Signer, VerifyKey
from veilscore.keys.tlog.checkpoint import Checkpoint
from veilscore.keys.tlog.events import OpenedEvent, open_own_event, read_event
from veilscore.keys.tlog.evidence.contradiction import LATEST_S
from veilscore.keys.tlog.note import NoteKey
from veilscore.keys.tlog.recon.finding import Finding
from veilscore.keys.tlog.tlog_proof import TlogProof

_PLACE = "evidence"


@dataclass(frozen=True, slots=True)
class EventEvidence:
    """What such a file shows; ``load`` has verified its proof and its signature."""

    kind: str
    what: str
    log: NoteKey
    head: Checkpoint
    index: int
    opened: OpenedEvent
    own: bytes  # the party's own leaf of that number, its word; empty: it has none
    finder: str  # name of the party, its own word
    key: VerifyKey  # that signed the file
    found_s: int  # seconds since 1970, on the clock of the finder

    @property
    def is_signed(self) -> bool:
        """Whether the finder's key signed the event, in the finder's name."""
        try:
            open_own_event(self.opened.leaf, self.finder, self.key)
        except KeysError:
            return False
        return True

    @staticmethod
    def sign(
        finding: Finding,
        proof: TlogProof,
        leaf: bytes,
        log: NoteKey,
        *,
        own: bytes,
        finder: str,
        signer: Signer,
        found_s: int,
    ) -> bytes:
        """Return the file that says what was found; ``proof`` is of ``leaf``."""
        body = {
            "kind": str(finding.kind),
            "what": finding.what,
            "log": log.vkey,
            "proof": proof.text,
            "leaf": leaf.hex(),
            "own": own.hex(),
            "finder": finder,
            "found": found_s,
        }
        return sign_document(body, EVIDENCE_DOMAIN, signer)

    @classmethod
    def load(cls, data: bytes) -> "EventEvidence":
        """Verify and read the file.

        Raises:
            ProofError: the log signed no tree that holds the event.
            KeysError: not what its finder wrote.

        """
        fields, key = open_document(data, EVIDENCE_DOMAIN, _PLACE, None)
        log = NoteKey.parse(fields.text("log"))
        proof = TlogProof.parse(fields.text("proof"))
        leaf = fields.octets("leaf")
        evidence = cls(
            kind=fields.text("kind"),
            what=fields.text("what"),
            log=log,
            head=proof.verify(leaf, log),
            index=proof.index,
            opened=read_event(leaf),
            own=fields.octets("own"),
            finder=fields.text("finder"),
            key=key,
            found_s=fields.number("found"),
        )
        fields.end()
        if not 0 <= evidence.found_s < LATEST_S:
            raise ProofError("the evidence is of an impossible time", place=_PLACE)
        return evidence


def is_about_event(data: bytes) -> bool:
    """Say whether a file is about one event, and no contradiction."""
    try:
        read_object(data, _PLACE).text("leaf")
    except KeysError:
        return False
    return True
