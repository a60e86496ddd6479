"""``veilscore audit``: fetch a log, verify it offline, take evidence from it.

Needs no configuration and no key of ours: an auditor runs it on its own machine.
"""

# typer.Option is not fully typed; what it returns is never used here.
# pyright: reportUnknownMemberType=false

import json
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import Progress

from veilscore.keys import files
from veilscore.keys.errors import ProofError
from veilscore.keys.tlog.archive import open_export
from veilscore.keys.tlog.chain import read_chain
from veilscore.keys.tlog.evidence.bundle import EvidenceBundle
from veilscore.keys.tlog.evidence.contradiction import Evidence
from veilscore.keys.tlog.fsck import check_file
from veilscore.keys.tlog.log_policy import read_policy
from veilscore.keys.tlog.reader import Entry
from veilscore.keys.tlog.recon import reconcile
from veilscore.keys.tlog.search import Progress as Watch
from veilscore.keys.tlog.search import Wanted, entries_of
from veilscore.runtime.audit import fetching, verifying
from veilscore.runtime.audit.verifying import Trust
from veilscore.runtime.errors import ConfigError

app = typer.Typer(help="Verify the audit log.", no_args_is_help=True)

_Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]
_Policy = Annotated[
    Path | None,
    typer.Option(
        help="Whose checkpoints count: a log policy (C2SP tlog-policy).",
        show_default=False,
    ),
]
_Fingerprint = Annotated[
    str,
    typer.Option(
        metavar="HEX",
        help="SHA-256 of the coordinator's key, learned out of band.",
        show_default=False,
    ),
]
_Export = Annotated[Path, typer.Argument(help="A directory or a tar.")]


@app.command()
def verify(
    export: Annotated[
        Path, typer.Argument(help="A directory, a tar or an evidence bundle.")
    ],
    *,
    checkpoint: Annotated[
        Path | None, typer.Option(help="An older checkpoint of the same log.")
    ] = None,
    fingerprint: _Fingerprint = "",
    policy: _Policy = None,
    as_json: _Json = False,
) -> None:
    """Verify an exported log, or an evidence bundle, without asking anybody.

    Ends with exit code 0 if every step passes, and 7 if one does not.
    """
    trust = Trust.read(fingerprint, policy, checkpoint)
    verifying.verify(export, trust, as_json=as_json)


@app.command()
def export(
    url: Annotated[str, typer.Option("--from", help="The coordinator's web address.")],
    out: Annotated[Path, typer.Option(help="The tar file to write.")],
    *,
    fingerprint: _Fingerprint = "",
    policy: _Policy = None,
    as_json: _Json = False,
) -> None:
    """Fetch a coordinator's log into one tar file, and verify what was fetched.

    Prints and ends as `verify` does; a log that fails a step is kept as
    OUT.unverified.
    """
    trust = Trust.read(fingerprint, policy)
    _must_be_new(out)
    unverified = out.with_name(out.name + ".unverified")
    try:
        fetching.fetch(url, unverified, quiet=as_json)
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
    export: _Export,
    *,
    actor: Annotated[str, typer.Option(help="A party's events.")] = "",
    kind: Annotated[str, typer.Option(help="A type, as score_requested.")] = "",
    correlation: Annotated[str, typer.Option(help="A run or request.")] = "",
    as_json: _Json = False,
) -> None:
    """List the events of an export that fit, in the order of the log.

    Nothing is verified: `verify` the export first.
    """
    wanted = Wanted(actor, kind, correlation)
    with open_export(export) as opened, _reading(quiet=as_json) as watch:
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
    export: _Export,
    correlation: Annotated[
        str, typer.Argument(metavar="ID", help="Of a run or a score request.")
    ],
    out: Annotated[Path, typer.Option(help="The file to write.")],
    *,
    fingerprint: _Fingerprint = "",
    policy: _Policy = None,
    as_json: _Json = False,
) -> None:
    """Take the evidence of one run or score request from an export, and verify it.

    Prints and ends as `verify` does; the file can be verified years later without the
    log. Evidence that fails a step is not written.
    """
    trust = Trust.read(fingerprint, policy)
    _must_be_new(out)
    with open_export(export) as opened, _reading(quiet=as_json) as watch:
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
    events: Annotated[Path, typer.Argument(help="The node's state/events.db.")],
    export: _Export,
    policy: Annotated[Path, typer.Option(help="The node's log policy.")],
    *,
    as_json: _Json = False,
) -> None:
    """Compare a node's own events and receipts with the log; reads only.

    The export is verified first. Ends with exit code 0 if both sides say the same, and
    7 if not; what only waits for its receipt or an answer is listed, too.
    """
    own = read_chain(events)
    verifying.require(export, Trust.read("", policy))
    with open_export(export) as opened, _reading(quiet=as_json) as watch:
        report = reconcile(own, opened, read_policy(policy), watch)
    if as_json:
        typer.echo(json.dumps(asdict(report)))
    else:
        typer.echo(f"{report.party}: {report.own} events, {report.entries} in the log")
        for each in report.findings:
            about = f" of request {each.correlation}" if each.correlation else ""
            whose = f"event {each.event}" if each.event else "an event of another"
            typer.echo(f"✗ {each.kind}: {whose}{about}: {each.what}")
    raise typer.Exit(0 if report.is_clean else ProofError.exit_code)


@app.command()
def fsck(
    file: Annotated[Path, typer.Argument(help="The coordinator's state/log.db.")],
    policy: Annotated[
        Path, typer.Option(help="The log policy that names the log's key.")
    ],
    *,
    as_json: _Json = False,
) -> None:
    """Check the file of a log from end to end; reads only.

    Ends with exit code 7 if it is not sound.
    """
    keys = [*read_policy(policy).logs.values()]
    if len(keys) != 1:
        raise typer.BadParameter("it must name one log", param_hint="--policy")
    with _reading(quiet=as_json) as watch:
        found = check_file(file, keys[0], watch)
    if as_json:
        typer.echo(json.dumps({**asdict(found), "root": found.root.hex()}))
        return
    typer.echo(f"{found.size} entries, {found.tiles} tiles, root {found.root.hex()}")
    typer.echo(f"{found.checkpoints} checkpoints, all signed, all of these entries")


@app.command()
def evidence(
    file: Annotated[Path, typer.Argument(help="A file that a witness has kept.")],
    *,
    as_json: _Json = False,
) -> None:
    """Check a witness's evidence that a log has lied.

    Ends with exit code 0 if the file convicts the log by itself, and 7 if it does not.
    """
    found = Evidence.load(files.read(file))
    first, second = found.contradiction.checkpoints()
    proof = found.contradiction.is_proof
    if as_json:
        told = {
            "proof": proof,
            "log": found.contradiction.log.vkey,
            "sizes": [first.size, second.size],
            "roots": [first.root.hex(), second.root.hex()],
            "finder": found.finder,
            "finder_fingerprint": found.key.fingerprint.hex(),
            "found": found.found_s,
        }
        typer.echo(json.dumps(told))
    else:
        console = Console(highlight=False)
        for line in _told(found):
            console.print(line, markup=False, soft_wrap=True)
    raise typer.Exit(0 if proof else ProofError.exit_code)


def _told(found: Evidence) -> Iterator[str]:
    log = found.contradiction.log
    yield f"log {log.name}, key {log.key.fingerprint.hex()}"
    for checkpoint in found.contradiction.checkpoints():
        yield f"it signed {checkpoint.size} entries, root {checkpoint.root.hex()}"
    when = datetime.fromtimestamp(found.found_s, UTC).isoformat(timespec="seconds")
    yield f"found by {found.finder} at {when}, key {found.key.fingerprint.hex()}"
    yield "Compare the log's key: anybody can make such a file about a log of theirs."
    if found.contradiction.is_proof:
        yield "✗ An honest log never signs both: this log has lied."
    else:
        yield (
            "! The log did not prove that one continues the other. Export it and run: "
            "veilscore audit verify EXPORT --checkpoint OLDER, with the smaller one."
        )


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


def _must_be_new(out: Path) -> None:
    if out.exists():
        raise typer.BadParameter(f"{out} exists already", param_hint="--out")


@contextmanager
def _reading(*, quiet: bool) -> Generator[Watch]:
    """Show how many entries were read."""
    console = Console(stderr=True)
    with Progress(console=console, transient=True, disable=quiet) as bar:
        task = bar.add_task("Reading entries")
        yield lambda done, total: bar.update(task, completed=done, total=total)
