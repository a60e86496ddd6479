"""``veilscore audit``: verify an exported log offline, or fetch one and verify it.

Needs no configuration and no key of ours: an auditor runs it on its own machine.
"""

# typer.Option is not fully typed; what it returns is never used here.
# pyright: reportUnknownMemberType=false

import json
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Self

import httpx
import typer
from rich.console import Console
from rich.progress import Progress

from veilscore.keys import files
from veilscore.keys.errors import AuditError, ProofError
from veilscore.keys.tlog.archive import (
    MAX_FILE,
    ExportFiles,
    open_export,
    write_tar,
)
from veilscore.keys.tlog.audit import AuditReport, Watch, audit_export
from veilscore.keys.tlog.evidence import Evidence
from veilscore.keys.tlog.export import plan_export
from veilscore.keys.tlog.log_policy import LogPolicy, read_policy
from veilscore.runtime.errors import ConfigError, UnreachableError, WireError

app = typer.Typer(help="Verify the audit log.", no_args_is_help=True)

_TIMEOUT_S = 30

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


@app.command()
def verify(
    export: Annotated[Path, typer.Argument(help="A directory or a tar.")],
    *,
    checkpoint: Annotated[
        Path | None, typer.Option(help="An older checkpoint of the same log.")
    ] = None,
    fingerprint: _Fingerprint = "",
    policy: _Policy = None,
    as_json: _Json = False,
) -> None:
    """Verify an exported log without asking anybody.

    Ends with exit code 0 if every step passes, and 7 if one does not.
    """
    older = files.read(checkpoint).decode(errors="replace") if checkpoint else None
    trust = _Trust.read(fingerprint, policy, older)
    _verify(export, trust, as_json=as_json)


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
    trust = _Trust.read(fingerprint, policy, None)
    if out.exists():
        raise typer.BadParameter(f"{out} exists already", param_hint="--out")
    unverified = out.with_name(out.name + ".unverified")
    try:
        _fetch(url, unverified, quiet=as_json)
        _verify(unverified, trust, as_json=as_json)
        unverified.replace(out)
    except OSError as error:
        raise ConfigError(
            "the export cannot be written",
            place=str(out),
            remedy="Choose a directory that you may write to and that has space.",
        ) from error


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
    if found.contradiction.is_proof:
        yield "✗ An honest log never signs both: this log has lied."
    else:
        yield (
            "! The log did not prove that one continues the other. Export it and run: "
            "veilscore audit verify EXPORT --checkpoint OLDER, with the smaller one."
        )


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


@dataclass(frozen=True, slots=True)
class _Trust:
    """What the auditor brings along: nothing else is believed."""

    fingerprint: bytes | None
    policy: LogPolicy | None
    older: str | None  # a checkpoint from an earlier visit

    @classmethod
    def read(cls, fingerprint: str, policy: Path | None, older: str | None) -> Self:
        return cls(
            _parse_fingerprint(fingerprint),
            read_policy(policy) if policy else None,
            older,
        )

    def audit(self, files: ExportFiles, watch: Watch) -> AuditReport:
        return audit_export(
            files,
            fingerprint=self.fingerprint,
            policy=self.policy,
            older=self.older,
            watch=watch,
        )


def _verify(export: Path, trust: _Trust, *, as_json: bool) -> None:
    verify = _verify_as_json if as_json else _verify_aloud
    verify(export, trust)


def _verify_aloud(export: Path, trust: _Trust) -> None:
    """Audit with a line a step, or say which step failed and exit with 7."""
    console = Console(highlight=False)
    try:
        with open_export(export) as files, _steps(console) as watch:
            report = trust.audit(files, watch)
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
    if report.witnesses:
        line(f"cosigned by {', '.join(report.witnesses)}")
    for actor, events in report.actors.items():
        line(f"  {actor}: {events} events")
    for remark in report.remarks:
        line(f"! {remark}", style="yellow")


def _verify_as_json(export: Path, trust: _Trust) -> None:
    try:
        with open_export(export) as files:
            report = trust.audit(files, lambda _step, _done, _total: None)
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
