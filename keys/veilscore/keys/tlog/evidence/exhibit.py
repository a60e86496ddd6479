"""Files that show to others what a reconciliation found and honest parties never do.

Of a fork that is the evidence that witnesses keep as well (``contradiction``): two
checkpoints that the log has signed. All others are about one event of the party: the
log's proof that it holds, or held, this leaf. The party shows beside it what it has
under the same number, if anything; that is its word, the proof is not.

The files hold what the log shows to everybody.
"""

import json
from dataclasses import dataclass

from veilscore.keys.documents import read_object
from veilscore.keys.errors import KeysError, ProofError
from veilscore.keys.identity import Signer
from veilscore.keys.tlog.checkpoint import Checkpoint
from veilscore.keys.tlog.events import OpenedEvent, read_event
from veilscore.keys.tlog.evidence.contradiction import Contradiction, Evidence
from veilscore.keys.tlog.finding import Exhibit
from veilscore.keys.tlog.note import NoteKey
from veilscore.keys.tlog.tlog_proof import TlogProof

_FORMAT = 1
_PLACE = "exhibit"


@dataclass(frozen=True, slots=True)
class ShownEvent:
    """What such a file shows of an event; ``read`` has verified its proof."""

    kind: str
    what: str
    log: NoteKey
    head: Checkpoint
    index: int
    opened: OpenedEvent
    own: bytes  # the party's own leaf of that number, its word; empty: it has none


def write_exhibit(
    exhibit: Exhibit,
    log: NoteKey,
    note: str,
    *,
    own: bytes,
    party: str,
    signer: Signer,
    now_s: int,
) -> bytes:
    """Return the file; ``note`` is the checkpoint at which ``party`` found it.

    Raises:
        ProofError: the log did not sign what is shown.

    """
    if exhibit.proof is None:
        contradiction = Contradiction(log, exhibit.older, note)
        return Evidence.sign(contradiction, party, signer, now_s)
    body = {
        "format": _FORMAT,
        "kind": exhibit.finding.kind,
        "what": exhibit.finding.what,
        "log": log.vkey,
        "proof": exhibit.proof.text,
        "leaf": exhibit.leaf.hex(),
        "own": own.hex(),
    }
    return json.dumps(body, indent=2).encode() + b"\n"


def is_about_event(data: bytes) -> bool:
    """Say whether a file is about one event, and no contradiction."""
    try:
        read_object(data, _PLACE).text("leaf")
    except KeysError:
        return False
    return True


def read_exhibit(data: bytes) -> ShownEvent:
    """Read a file about one event, and verify that the log signed a tree that holds it.

    Raises:
        KeysError: anything else; a ProofError if the log did not.

    """
    fields = read_object(data, _PLACE)
    if fields.number("format") != _FORMAT:
        raise ProofError(f"only format {_FORMAT} can be read", place=_PLACE)
    log = NoteKey.parse(fields.text("log"))
    proof = TlogProof.parse(fields.text("proof"))
    leaf = fields.octets("leaf")
    shown = ShownEvent(
        kind=fields.text("kind"),
        what=fields.text("what"),
        log=log,
        head=proof.verify(leaf, log),
        index=proof.index,
        opened=read_event(leaf),
        own=fields.octets("own"),
    )
    fields.end()
    return shown
