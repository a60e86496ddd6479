"""``veilscore audit enroll``, ``join`` and ``certificate``: how one becomes an auditor.

Needed only where a coordinator shows its log to parties and auditors: whoever holds an
export verifies it without being anybody.
"""

# typer.Option is not fully typed; what it returns is never used here.
# pyright: reportUnknownMemberType=false

import json
import secrets
from pathlib import Path
from typing import Annotated

import typer

from veilscore.keys import files
from veilscore.keys.tlog.log_policy import read_policy
from veilscore.runtime.audit import auditor
from veilscore.runtime.audit.options import Json, must_be_new
from veilscore.runtime.audit.verifying import parse_fingerprint

_Own = Annotated[
    Path, typer.Option("--as", metavar="DIR", help="The auditor's folder.")
]


def enroll(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="A new folder.")],
    name: Annotated[str, typer.Option(help="Of the auditor, e.g. audit-office.")],
    *,
    as_json: Json = False,
) -> None:
    """Make an auditor's keys and the card to hand to the coordinator."""
    fingerprint = auditor.enroll(folder, name).hex()
    if as_json:
        typer.echo(json.dumps({"party": name, "fingerprint": fingerprint}))
        return
    typer.echo(f"Made {folder} for {name}.")
    typer.echo(f"Fingerprint, to be compared by telephone: {fingerprint}")
    card = folder / auditor.CARD
    typer.echo(f"Next: hand {card} to the coordinator's operator.")


def join(
    kit: Annotated[Path, typer.Argument(help="The kit the coordinator handed back.")],
    own: _Own,
    fingerprint: Annotated[
        str, typer.Option(metavar="HEX", help="Of the coordinator, out of band.")
    ],
    *,
    as_json: Json = False,
) -> None:
    """Check the coordinator's kit and keep it."""
    pinned = parse_fingerprint(fingerprint)
    if pinned is None:
        raise typer.BadParameter("it must not be empty", param_hint="--fingerprint")
    found = auditor.Auditor.open(own)
    welcome = found.join(files.read(kit), pinned)
    parties = sorted(welcome.registry.fingerprints())
    quorum = read_policy(found.policy).quorum
    if as_json:
        told = {"party": found.name, "parties": parties, "quorum": quorum}
        typer.echo(json.dumps(told))
        return
    typer.echo(f"Joined as {found.name}. Registered parties: {', '.join(parties)}.")
    typer.echo(f"The log counts with the quorum {quorum!r}, as {found.policy} says.")


def certificate(
    own: _Own,
    out: Annotated[Path, typer.Option(help="The .p12 file to write.")],
    *,
    as_json: Json = False,
) -> None:
    """Write key and certificate for a browser, under a password that is shown once.

    Whoever has the file and the password reads the log in the auditor's name.
    """
    must_be_new(out)
    password = secrets.token_urlsafe(16)
    files.create(out, auditor.Auditor.open(own).for_browser(password.encode()))
    if as_json:
        typer.echo(json.dumps({"written": str(out), "password": password}))
        return
    typer.echo(f"Load {out} into the browser, then delete it. Password: {password}")
