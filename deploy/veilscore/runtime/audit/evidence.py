"""``veilscore audit evidence``: what a file proves that a witness or a node has kept.

Nobody is asked; what the file alone cannot prove is said to be the word of its finder.
"""

# typer.Option is not fully typed; what it returns is never used here.
# pyright: reportUnknownMemberType=false

import hashlib
import json
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer
from google.protobuf.message import DecodeError
from rich.console import Console

from veilscore.keys import files
from veilscore.keys.aggregation.evidence import MisconductEvidence, is_about_sums
from veilscore.keys.errors import ProofError
from veilscore.keys.identity import VerifyKey
from veilscore.keys.tlog.evidence.contradiction import Evidence
from veilscore.keys.tlog.evidence.event import EventEvidence, is_about_event
from veilscore.runtime.audit.options import Json
from veilscore.v1.envelope_pb2 import Envelope, EnvelopeHeader


def evidence(
    file: Annotated[
        Path, typer.Argument(help="A file that a witness or a node has kept.")
    ],
    *,
    as_json: Json = False,
) -> None:
    """Check evidence of a lie of the log, an envelope that came again, or bad sums.

    Ends with exit code 0 if the file convicts the log by itself, and 7 if something in
    it is the word of the node that kept it, as of all files about a single event or
    about broken rules of secure aggregation.
    """
    data = files.read(file)
    if header := envelope_header(data):
        told, lines, proof = _of_envelope(data, header)
    elif is_about_sums(data):
        told, lines, proof = _of_misconduct(MisconductEvidence.load(data))
    elif is_about_event(data):
        told, lines, proof = _of_event(EventEvidence.load(data))
    else:
        told, lines, proof = _of_contradiction(Evidence.load(data))
    if as_json:
        typer.echo(json.dumps({"proof": proof, **told}))
    else:
        console = Console(highlight=False)
        for line in lines:
            console.print(line, markup=False, soft_wrap=True)
    raise typer.Exit(0 if proof else ProofError.exit_code)


_Values = str | int | list[int] | list[str]
_Told = tuple[dict[str, _Values], Iterator[str], bool]
"""What `--json` says, what is printed, and whether the log is convicted by itself."""


def envelope_header(data: bytes) -> EnvelopeHeader | None:
    """Return the header, unverified, if this may be an envelope."""
    try:
        header = EnvelopeHeader.FromString(Envelope.FromString(data).header)
    except DecodeError:
        return None
    return header if header.sender and header.recipient else None


def _of_envelope(data: bytes, header: EnvelopeHeader) -> _Told:
    digest = hashlib.sha256(data).hexdigest()

    def lines() -> Iterator[str]:
        yield f"an envelope of {header.sender!r} to {header.recipient!r}, as it came"
        yield f"purpose {header.purpose!r}, number {header.seq}, step {header.step!r}"
        yield f"SHA-256 {digest}: an incident `replay-refused` in the log names it"
        yield "! It shows what was refused, not by itself that it came again or late."
        yield "Its content is sealed to the recipient, and is not read here."

    told: dict[str, _Values] = {
        "kind": "replay-refused",
        "sender": header.sender,
        "recipient": header.recipient,
        "purpose": header.purpose,
        "seq": header.seq,
        "sha256": digest,
    }
    return told, lines(), False


def _of_misconduct(found: MisconductEvidence) -> _Told:
    parties = (found.terms.aggregator, *found.terms.roster)

    def lines() -> Iterator[str]:
        yield f"run {found.terms.run}, contract {found.terms.contract.hex()}"
        for party in parties:
            yield f"{party.name}, key {party.key.fingerprint.hex()}"
        yield _found_by(found.finder, found.key, found.found_s)
        for each in found.statements:
            body = each.content
            yield (
                f"✓ {each.sender} signed: {each.kind}, run {body.run!r}, round "
                f"{body.round}, attempt {body.attempt}, SHA-256 {each.digest.hex()}"
            )
        if found.omitted:
            yield f"! {found.omitted} more were too long for this file."
        yield (
            f"! The word of {found.finder} alone: {found.breach}: {found.accused} "
            f"{found.what} ({found.place})"
        )
        yield "Compare all keys with the registry, and the contract with the log's."

    told: dict[str, _Values] = {
        "kind": str(found.breach),
        "what": found.what,
        "accused": found.accused,
        "place": found.place,
        "run": found.terms.run,
        "contract": found.terms.contract.hex(),
        "parties": [party.name for party in parties],
        "fingerprints": [party.key.fingerprint.hex() for party in parties],
        "senders": [each.sender for each in found.statements],
        "statements": [str(each.kind) for each in found.statements],
        "digests": [each.digest.hex() for each in found.statements],
        "omitted": found.omitted,
        **_finder(found.finder, found.key, found.found_s),
    }
    return told, lines(), False


def _of_event(found: EventEvidence) -> _Told:
    event = found.opened.event

    def lines() -> Iterator[str]:
        yield f"log {found.log.name}, key {found.log.key.fingerprint.hex()}"
        yield (
            f"it signed {found.head.size} entries; entry {found.index} of them is "
            f"event {event.seq} of {event.actor}, {found.opened.kind}"
        )
        yield _found_by(found.finder, found.key, found.found_s)
        if found.is_signed:
            yield "✓ The key that signed this file has signed this event, too."
        else:
            yield (
                "! The key that signed this file has not signed this event. If it is "
                f"the registered key of {event.actor}, the log has taken an event that "
                "its actor did not sign."
            )
        yield f"! The word of {found.finder} alone: {found.kind}: {found.what}"
        if found.own:
            yield f"! and that its own event of this number is {found.own.hex()}"
        yield (
            "Compare both keys with the registry, and the log with what is said here: "
            "veilscore audit export, then audit recon."
        )

    told: dict[str, _Values] = {
        "log": found.log.vkey,
        "size": found.head.size,
        "index": found.index,
        "kind": found.kind,
        "what": found.what,
        "actor": event.actor,
        "seq": event.seq,
        "type": found.opened.kind,
        "signed_by_finder": found.is_signed,
        "own": found.own.hex(),
        **_finder(found.finder, found.key, found.found_s),
    }
    return told, lines(), False


def _of_contradiction(found: Evidence) -> _Told:
    log = found.contradiction.log
    both = found.contradiction.checkpoints()

    def lines() -> Iterator[str]:
        yield f"log {log.name}, key {log.key.fingerprint.hex()}"
        for checkpoint in both:
            yield f"it signed {checkpoint.size} entries, root {checkpoint.root.hex()}"
        yield _found_by(found.finder, found.key, found.found_s)
        yield (
            "Compare the log's key: anybody can make such a file about a log of theirs."
        )
        if found.contradiction.is_proof:
            yield "✗ An honest log never signs both: this log has lied."
        else:
            yield (
                f"! The word of {found.finder} alone: the log did not go on from one "
                "to the other. Export it and run: veilscore audit verify EXPORT "
                "--checkpoint OLDER, with the smaller one."
            )

    told: dict[str, _Values] = {
        "log": log.vkey,
        "sizes": [each.size for each in both],
        "roots": [each.root.hex() for each in both],
        **_finder(found.finder, found.key, found.found_s),
    }
    return told, lines(), found.contradiction.is_proof


def _finder(name: str, key: VerifyKey, found_s: int) -> dict[str, str | int]:
    fingerprint = key.fingerprint.hex()
    return {"finder": name, "finder_fingerprint": fingerprint, "found": found_s}


def _found_by(name: str, key: VerifyKey, found_s: int) -> str:
    when = datetime.fromtimestamp(found_s, UTC).isoformat(timespec="seconds")
    return f"found by {name} at {when}, key {key.fingerprint.hex()}"
