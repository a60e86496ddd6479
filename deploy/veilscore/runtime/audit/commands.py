"""``veilscore audit``: fetch a log, verify it offline, take evidence from it.

Needs no configuration and no key of ours: an auditor runs it on its own machine.
"""

# typer.Option is not fully typed; what it returns is never used here.
# pyright: reportUnknownMemberType=false

import json
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from veilscore.keys import files
from veilscore.keys.errors import ProofError
from veilscore.keys.tlog.archive import open_export
from veilscore.keys.tlog.chain import own_key
from veilscore.keys.tlog.evidence.bundle import EvidenceBundle
from veilscore.keys.tlog.export import registry_of
from veilscore.keys.tlog.fsck import check_file
from veilscore.keys.tlog.log_policy import read_policy
from veilscore.keys.tlog.reader import Entry
from veilscore.keys.tlog.recon.own_events import OwnEvents, reconcile_export
from veilscore.keys.tlog.search import Wanted, entries_of
from veilscore.runtime.audit import fetching, verifying
from veilscore.runtime.audit.enrolling import certificate, enroll, join
from veilscore.runtime.audit.evidence import evidence
from veilscore.runtime.audit.options import (
    Export,
    Fingerprint,
    Json,
    Own,
    Policy,
    must_be_new,
    reading,
)
from veilscore.runtime.audit.proving import prove
from veilscore.runtime.audit.verifying import Trust
from veilscore.runtime.errors import ConfigError

app = typer.Typer(help="Verify the audit log.", no_args_is_help=True)

for command in (enroll, join, certificate, prove, evidence):
    app.command()(command)


@app.command()
def verify(
    export: Annotated[
        Path,
        typer.Argument(help="A directory, a tar, an evidence bundle or a proof."),
    ],
    *,
    checkpoint: Annotated[
        Path | None, typer.Option(help="An older checkpoint of the same log.")
    ] = None,
    leaf: Annotated[
        Path | None, typer.Option(help="The entry that a .tlog-proof is about.")
    ] = None,
    opening: Annotated[
        Path | None, typer.Option(help="What a party shows of a bundle's request.")
    ] = None,
    fingerprint: Fingerprint = "",
    policy: Policy = None,
    as_json: Json = False,
) -> None:
    """Verify an exported log, an evidence bundle or a proof, without asking anybody.

    Ends with exit code 0 if every step passes, and 7 if one does not.
    """
    trust = Trust.read(fingerprint, policy, checkpoint, leaf, opening)
    verifying.verify(export, trust, as_json=as_json)


@app.command()
def export(
    out: Annotated[Path, typer.Option(help="The tar file to write.")],
    *,
    url: Annotated[
        str | None,
        typer.Option("--from", metavar="URL", help="The coordinator's web address."),
    ] = None,
    file: Annotated[
        Path | None,
        typer.Option("--from-file", help="Or a node's state/events.db: its own log."),
    ] = None,
    own: Own = None,
    fingerprint: Fingerprint = "",
    policy: Policy = None,
    as_json: Json = False,
) -> None:
    """Fetch a log into one tar file, and verify what was fetched.

    Prints and ends as `verify` does; a log that fails a step is kept as
    OUT.unverified. The fingerprint is that of who keeps the log: of a node's own log
    the node's.
    """
    if (url is None) == (file is None):
        raise typer.BadParameter(
            "give one of the two", param_hint="--from / --from-file"
        )
    trust, reader = Trust.read_as(own, fingerprint, policy)
    must_be_new(out)
    unverified = out.with_name(out.name + ".unverified")
    try:
        if file is not None:
            fetching.copy(file, unverified, quiet=as_json)
        if url is not None:
            fetching.fetch(url, unverified, reader, quiet=as_json)
        verifying.verify(unverified, trust, as_json=as_json)
        unverified.replace(out)
    except OSError as error:
        raise ConfigError(
            "the export cannot be written",
            place=str(out),
            remedy="Choose a directory that you may write to and that has space.",
        ) from error


@app.command()
def search(
    export: Export,
    *,
    actor: Annotated[str, typer.Option(help="A party's events.")] = "",
    kind: Annotated[str, typer.Option(help="A type, as score_requested.")] = "",
    correlation: Annotated[str, typer.Option(help="A run or request.")] = "",
    as_json: Json = False,
) -> None:
    """List the events of an export that fit, in the order of the log.

    Nothing is verified: `verify` the export first.
    """
    wanted = Wanted(actor, kind, correlation)
    with open_export(export) as opened, reading(quiet=as_json) as watch:
        rows = [
            _row(entry) for entry in entries_of(opened, watch) if wanted.fits(entry)
        ]
    if as_json:
        typer.echo(json.dumps(rows))
        return
    for row in rows:
        typer.echo("  ".join(str(value) for value in row.values() if value != ""))


@app.command()
def bundle(
    export: Export,
    correlation: Annotated[
        str, typer.Argument(metavar="ID", help="Of a run or a score request.")
    ],
    out: Annotated[Path, typer.Option(help="The file to write.")],
    *,
    fingerprint: Fingerprint = "",
    policy: Policy = None,
    as_json: Json = False,
) -> None:
    """Take the evidence of one run or score request from an export, and verify it.

    Prints and ends as `verify` does; the file can be verified years later without the
    log. Evidence that fails a step is not written.
    """
    trust = Trust.read(fingerprint, policy)
    must_be_new(out)
    with open_export(export) as opened, reading(quiet=as_json) as watch:
        taken = EvidenceBundle.gather(opened, correlation, watch)
    unverified = out.with_name(out.name + ".unverified")
    files.replace(unverified, taken.data)
    try:
        verifying.verify(unverified, trust, as_json=as_json)
        unverified.replace(out)
    finally:
        unverified.unlink(missing_ok=True)


@app.command()
def recon(
    own: Annotated[
        Path,
        typer.Argument(
            metavar="OWN", help="The node's state/events.db, or its own log's export."
        ),
    ],
    export: Export,
    policy: Annotated[Path, typer.Option(help="The node's log policy.")],
    *,
    as_json: Json = False,
) -> None:
    """Compare a node's own log, and its receipts, with the log of all; reads only.

    The export is verified first; then the own log must be a tree that the node signed,
    and the one that the node's events in the export tell of. Ends with exit code 0 if
    both sides say the same, and 7 if not; what only waits for its receipt or an answer
    is listed, too. An export of the own log holds no receipts.
    """
    trust = Trust.read("", policy)
    with OwnEvents.open(own) as events:
        verifying.require(export, trust)
        with open_export(export) as opened, reading(quiet=as_json) as watch:
            events.check(registry_of(opened))
            report = reconcile_export(events, opened, read_policy(policy), watch)
    if as_json:
        told = {
            "party": report.party,
            "own": report.own,
            "entries": report.entries,
            "findings": [asdict(finding) for finding in report.findings],
        }
        typer.echo(json.dumps(told))
    else:
        typer.echo(f"{report.party}: {report.own} events, {report.entries} in the log")
        for each in report.findings:
            about = f" of request {each.correlation}" if each.correlation else ""
            whose = f"event {each.event}" if each.event else "an event of another"
            typer.echo(f"✗ {each.kind}: {whose}{about}: {each.what}")
    raise typer.Exit(0 if report.is_clean else ProofError.exit_code)


@app.command()
def fsck(
    file: Annotated[
        Path,
        typer.Argument(
            help="The coordinator's state/log.db, or a node's state/events.db."
        ),
    ],
    policy: Annotated[
        Path | None,
        typer.Option(
            help="The log policy that names the log's key; without it the file is a "
            "node's, and its key the file's word.",
            show_default=False,
        ),
    ] = None,
    *,
    as_json: Json = False,
) -> None:
    """Check the file of a log from end to end; reads only.

    Ends with exit code 7 if it is not sound.
    """
    keys = [*read_policy(policy).logs.values()] if policy else [own_key(file)]
    if len(keys) != 1:
        raise typer.BadParameter("it must name one log", param_hint="--policy")
    with reading(quiet=as_json) as watch:
        found = check_file(file, keys[0], watch)
    if as_json:
        typer.echo(json.dumps({**asdict(found), "root": found.root.hex()}))
        return
    typer.echo(f"{found.size} entries, {found.tiles} tiles, root {found.root.hex()}")
    typer.echo(f"{found.checkpoints} checkpoints, all signed, all of these entries")


def _row(entry: Entry) -> dict[str, str | int]:
    event = entry.opened.event
    when = datetime.fromtimestamp(event.time_ms / 1000, UTC)
    return {
        "index": entry.index,
        "time": when.isoformat(timespec="milliseconds"),
        "actor": event.actor,
        "type": entry.opened.kind,
        "correlation": event.correlation,
    }
