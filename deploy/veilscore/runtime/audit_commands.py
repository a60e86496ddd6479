"""``veilscore audit``: verify an exported log offline, or fetch one and verify it.

Needs no configuration and no key of ours: an auditor runs it on its own machine.
"""

# typer.Option is not fully typed; what it returns is never used here.
# pyright: reportUnknownMemberType=false

import json
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import httpx
import typer
from rich.console import Console
from rich.progress import Progress

from veilscore.keys import files
from veilscore.keys.errors import AuditError
from veilscore.keys.tlog.archive import MAX_FILE, open_export, write_tar
from veilscore.keys.tlog.audit import AuditReport, Watch, audit_export
from veilscore.keys.tlog.export import plan_export
from veilscore.runtime.errors import ConfigError, UnreachableError, WireError

app = typer.Typer(help="Verify the audit log.", no_args_is_help=True)

_TIMEOUT_S = 30

_Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]
_Fingerprint = Annotated[
    str,
    typer.Option(
        metavar="HEX",
        help="SHA-256 of the coordinator's key, learned out of band.",
        show_default=False,
    ),
]


@app.command()
def verify(
    export: Annotated[Path, typer.Argument(help="A directory or a tar.")],
    *,
    checkpoint: Annotated[
        Path | None, typer.Option(help="An older checkpoint of the same log.")
    ] = None,
    fingerprint: _Fingerprint = "",
    as_json: _Json = False,
) -> None:
    """Verify an exported log without asking anybody.

    Ends with exit code 0 if every step passes, and 7 if one does not.
    """
    pinned = _parse_fingerprint(fingerprint)
    older = files.read(checkpoint).decode(errors="replace") if checkpoint else None
    _verify(export, pinned, older, as_json=as_json)


@app.command()
def export(
    url: Annotated[str, typer.Option("--from", help="The coordinator's web address.")],
    out: Annotated[Path, typer.Option(help="The tar file to write.")],
    *,
    fingerprint: _Fingerprint = "",
    as_json: _Json = False,
) -> None:
    """Fetch a coordinator's log into one tar file, and verify what was fetched.

    Prints and ends as `verify` does; a log that fails a step is kept as
    OUT.unverified.
    """
    pinned = _parse_fingerprint(fingerprint)
    if out.exists():
        raise typer.BadParameter(f"{out} exists already", param_hint="--out")
    unverified = out.with_name(out.name + ".unverified")
    try:
        _fetch(url, unverified, quiet=as_json)
        _verify(unverified, pinned, None, as_json=as_json)
        unverified.replace(out)
    except OSError as error:
        raise ConfigError(
            "the export cannot be written",
            place=str(out),
            remedy="Choose a directory that you may write to and that has space.",
        ) from error


def _fetch(url: str, path: Path, *, quiet: bool) -> None:
    base = url.rstrip("/") + "/"
    progress = Progress(transient=True, disable=quiet)
    with httpx.Client(timeout=_TIMEOUT_S) as client, progress as bar:

        def get(name: str) -> bytes:
            return _get(client, base + name)

        plan = plan_export(get)
        files = bar.track(plan.files(get), plan.count, description="Fetching files")
        write_tar(path, files)


def _get(client: httpx.Client, address: str) -> bytes:
    data = bytearray()
    try:
        with client.stream("GET", address) as response:
            if not response.is_success:
                raise WireError(
                    f"the coordinator answered {response.status_code}",
                    place=address,
                    remedy="Check the address, and that you may read the log.",
                )
            for chunk in response.iter_bytes():
                data += chunk
                if len(data) > MAX_FILE:
                    raise WireError(f"over {MAX_FILE} bytes long", place=address)
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        raise UnreachableError(
            f"the log cannot be fetched ({error})",
            place=address,
            remedy="Check the address and that the coordinator is running.",
        ) from error
    return bytes(data)


def _verify(
    export: Path, pinned: bytes | None, older: str | None, *, as_json: bool
) -> None:
    verify = _verify_as_json if as_json else _verify_aloud
    verify(export, pinned, older)


def _verify_aloud(export: Path, pinned: bytes | None, older: str | None) -> None:
    """Audit with a line a step, or say which step failed and exit with 7."""
    console = Console(highlight=False)
    try:
        with open_export(export) as files, _steps(console) as watch:
            report = audit_export(files, fingerprint=pinned, older=older, watch=watch)
    except AuditError as error:
        console.print(f"✗ {error.step}", style="red")
        console.print(f"  {error}", markup=False, soft_wrap=True)
        raise typer.Exit(error.exit_code) from error
    _print(console, report)


@contextmanager
def _steps(console: Console) -> Generator[Watch, None, None]:
    """Show a bar for the step under way and a line for each that is done."""
    with Progress(console=console, transient=True) as bar:
        task = bar.add_task("")

        def watch(step: str, done: int, total: int) -> None:
            bar.update(task, description=step, completed=done, total=total)
            if done == total:
                bar.console.print(f"[green]✓[/] {step}")

        yield watch


def _print(console: Console, report: AuditReport) -> None:
    def line(text: str, style: str = "") -> None:
        console.print(text, style=style, markup=False, soft_wrap=True)

    line(f"{report.origin}: {report.size} entries in {report.files} files")
    line(f"root {report.root}")
    line(f"log key {report.fingerprint}")
    for actor, events in report.actors.items():
        line(f"  {actor}: {events} events")
    for remark in report.remarks:
        line(f"! {remark}", style="yellow")


def _verify_as_json(export: Path, pinned: bytes | None, older: str | None) -> None:
    try:
        with open_export(export) as files:
            report = audit_export(files, fingerprint=pinned, older=older)
    except AuditError as error:
        failure = {"step": error.step, "place": error.place, "what": error.what}
        typer.echo(json.dumps({"verified": False, **failure}))
        raise typer.Exit(error.exit_code) from error
    typer.echo(json.dumps({"verified": True, **asdict(report)}))


def _parse_fingerprint(text: str) -> bytes | None:
    try:
        pinned = bytes.fromhex(text)
    except ValueError:
        pinned = b"?"
    if len(pinned) not in {0, 32}:
        raise typer.BadParameter("64 hexadecimal digits", param_hint="--fingerprint")
    return pinned or None
