"""Verifies what an auditor brings along, a line a step, or as one JSON object.

All that is believed is in ``Trust``.
"""

import json
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Self

import typer
from rich.console import Console
from rich.progress import Progress

from veilscore.keys import files
from veilscore.keys.errors import AuditError, FileError
from veilscore.keys.tlog.archive import open_export
from veilscore.keys.tlog.audit import AuditReport, Watch, audit_export
from veilscore.keys.tlog.evidence.audit import EvidenceReport, audit_evidence
from veilscore.keys.tlog.evidence.bundle import is_bundle
from veilscore.keys.tlog.log_policy import LogPolicy, read_policy


@dataclass(frozen=True, slots=True)
class Trust:
    """What the auditor brings along: nothing else is believed."""

    fingerprint: bytes | None
    policy: LogPolicy | None
    older: str | None = None  # a checkpoint from an earlier visit

    @classmethod
    def read(
        cls, fingerprint: str, policy: Path | None, older: Path | None = None
    ) -> Self:
        """Read what was named on the command line."""
        return cls(
            _parse_fingerprint(fingerprint),
            read_policy(policy) if policy else None,
            files.read(older).decode(errors="replace") if older else None,
        )

    def audit(self, path: Path, watch: Watch) -> AuditReport | EvidenceReport:
        """Audit an export or an evidence bundle; raises a Fault."""
        if path.is_file() and is_bundle(_beginning(path)):
            if self.older is not None:
                raise typer.BadParameter(
                    "a bundle has one checkpoint only", param_hint="--checkpoint"
                )
            return audit_evidence(
                files.read(path),
                fingerprint=self.fingerprint,
                policy=self.policy,
                watch=watch,
            )
        with open_export(path) as export:
            return audit_export(
                export,
                fingerprint=self.fingerprint,
                policy=self.policy,
                older=self.older,
                watch=watch,
            )


def verify(path: Path, trust: Trust, *, as_json: bool) -> None:
    """Audit, say what was found, and end with 7 if a step failed."""
    (_as_json if as_json else _aloud)(path, trust)


def require(path: Path, trust: Trust) -> None:
    """Raise AuditError unless an export or a bundle passes its audit."""
    trust.audit(path, lambda _step, _done, _total: None)


def _aloud(path: Path, trust: Trust) -> None:
    console = Console(highlight=False)
    try:
        with _steps(console) as watch:
            report = trust.audit(path, watch)
    except AuditError as error:
        console.print(f"✗ {error.step}", style="red")
        console.print(f"  {error}", markup=False, soft_wrap=True)
        raise typer.Exit(error.exit_code) from error
    for line in _of_export(report) if isinstance(report, AuditReport) else _of(report):
        console.print(line, markup=False, soft_wrap=True)
    if report.witnesses:
        console.print(f"cosigned by {', '.join(report.witnesses)}", markup=False)
    for remark in report.remarks:
        console.print(f"! {remark}", style="yellow", markup=False, soft_wrap=True)


def _of_export(report: AuditReport) -> Generator[str]:
    yield f"{report.origin}: {report.size} entries in {report.files} files"
    yield f"root {report.root}"
    yield f"log key {report.fingerprint}"
    for actor, events in report.actors.items():
        yield f"  {actor}: {events} events"


def _of(report: EvidenceReport) -> Generator[str]:
    yield f"{report.about} {report.correlation}"
    yield f"in {report.origin} when it had {report.size} entries"
    for what, value in report.facts:
        yield f"  {what}: {value}"


def _as_json(path: Path, trust: Trust) -> None:
    try:
        report = trust.audit(path, lambda _step, _done, _total: None)
    except AuditError as error:
        failure = {"step": error.step, "place": error.place, "what": error.what}
        typer.echo(json.dumps({"verified": False, **failure}))
        raise typer.Exit(error.exit_code) from error
    told: Mapping[str, object] = asdict(report)
    typer.echo(json.dumps({"verified": True, **told}))


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


def _beginning(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            return file.read(1)
    except OSError as error:
        raise FileError(
            f"the file cannot be read: {error.strerror}",
            place=str(path),
            remedy="Check the path and the permissions.",
        ) from error


def _parse_fingerprint(text: str) -> bytes | None:
    try:
        pinned = bytes.fromhex(text)
    except ValueError:
        pinned = b"?"
    if len(pinned) not in {0, 32}:
        raise typer.BadParameter("64 hexadecimal digits", param_hint="--fingerprint")
    return pinned or None
