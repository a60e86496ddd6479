"""Verifies what an auditor brings along, a line a step, or as one JSON object.

All that is believed is in ``Trust``.
"""

import json
from collections.abc import Callable, Generator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Self, TypeAlias, TypeVar

import typer
from rich.console import Console
from rich.progress import Progress

from veilscore.keys import files
from veilscore.keys.errors import AuditError, FileError
from veilscore.keys.tlog.archive import open_export
from veilscore.keys.tlog.audit import AuditReport, Watch, audit_export
from veilscore.keys.tlog.entry_proof import (
    ProofReport,
    audit_proofs,
    is_proof,
    parse_proof,
)
from veilscore.keys.tlog.evidence.audit import EvidenceReport, audit_evidence
from veilscore.keys.tlog.evidence.bundle import is_bundle
from veilscore.keys.tlog.log_policy import LogPolicy, read_policy
from veilscore.runtime.audit.auditor import Auditor

Report: TypeAlias = AuditReport | EvidenceReport | ProofReport

_Report = TypeVar("_Report", bound=Report)

_LONGEST_BEGINNING = 64  # bytes, by which kinds of files are told apart


@dataclass(frozen=True, slots=True)
class Trust:
    """What the auditor brings along: nothing else is believed."""

    fingerprint: bytes | None
    policy: LogPolicy | None
    older: str | None = None  # a checkpoint from an earlier visit
    leaf: bytes | None = None  # the entry that a proof is about
    opening: bytes | None = None  # what a party shows of a request

    @classmethod
    def read(
        cls,
        fingerprint: str,
        policy: Path | None,
        older: Path | None = None,
        leaf: Path | None = None,
        opening: Path | None = None,
    ) -> Self:
        """Read what was named on the command line."""
        return cls(
            parse_fingerprint(fingerprint),
            read_policy(policy) if policy else None,
            files.read(older).decode(errors="replace") if older else None,
            files.read(leaf) if leaf else None,
            files.read(opening) if opening else None,
        )

    @classmethod
    def read_as(
        cls, own: Path | None, fingerprint: str, policy: Path | None
    ) -> tuple[Self, Auditor | None]:
        """Read what was named, and who reads.

        Who has a folder and names nothing trusts by the policy that is in it.
        """
        reader = Auditor.open(own) if own else None
        if reader and not fingerprint and not policy:
            policy = reader.policy
        return cls.read(fingerprint, policy), reader

    def audit(self, path: Path, watch: Watch) -> Report:
        """Audit an export, an evidence bundle or a proof; raises a Fault."""
        beginning = _beginning(path) if path.is_file() else b""
        if is_proof(beginning):
            return self._audit_proof(path, watch)
        if self.leaf is not None:
            raise typer.BadParameter(
                "this file is not a .tlog-proof", param_hint="--leaf"
            )
        if is_bundle(beginning):
            self._must_have_no_older("a bundle")
            return audit_evidence(
                files.read(path),
                fingerprint=self.fingerprint,
                policy=self.policy,
                opening=self.opening,
                watch=watch,
            )
        if self.opening is not None:
            raise typer.BadParameter(
                "an opening goes with a bundle", param_hint="--opening"
            )
        with open_export(path) as export:
            return audit_export(
                export,
                fingerprint=self.fingerprint,
                policy=self.policy,
                older=self.older,
                watch=watch,
            )

    def _audit_proof(self, path: Path, watch: Watch) -> ProofReport:
        self._must_have_no_older("a proof")
        if self.leaf is None:
            raise typer.BadParameter("name the file of the entry", param_hint="--leaf")
        if self.policy is None:
            raise typer.BadParameter(
                "a proof names no key: name a policy that does", param_hint="--policy"
            )
        proven = parse_proof(files.read(path), self.leaf)
        return audit_proofs(
            [proven], fingerprint=self.fingerprint, policy=self.policy, watch=watch
        )

    def _must_have_no_older(self, what: str) -> None:
        if self.older is not None:
            raise typer.BadParameter(
                f"{what} has one checkpoint only", param_hint="--checkpoint"
            )


def verify(path: Path, trust: Trust, *, as_json: bool) -> None:
    """Audit, say what was found, and end with 7 if a step failed."""
    report = run(lambda watch: trust.audit(path, watch), as_json=as_json)
    if as_json:
        typer.echo(json.dumps({"verified": True, **asdict(report)}))
    else:
        tell(report)


def require(path: Path, trust: Trust) -> None:
    """Raise AuditError unless an export or a bundle passes its audit."""
    trust.audit(path, lambda _step, _done, _total: None)


def run(audit: Callable[[Watch], _Report], *, as_json: bool) -> _Report:
    """Audit, step by step aloud; say what failed, if a step did, and end with 7."""
    console = Console(highlight=False)
    try:
        if as_json:
            return audit(lambda _step, _done, _total: None)
        with _steps(console) as watch:
            return audit(watch)
    except AuditError as error:
        if as_json:
            failure = {"step": error.step, "place": error.place, "what": error.what}
            typer.echo(json.dumps({"verified": False, **failure}))
        else:
            console.print(f"✗ {error.step}", style="red")
            console.print(f"  {error}", markup=False, soft_wrap=True)
        raise typer.Exit(error.exit_code) from error


def tell(report: Report) -> None:
    """Say what a passed audit has seen."""
    console = Console(highlight=False)
    for line in _lines(report):
        console.print(line, markup=False, soft_wrap=True)
    if report.witnesses:
        console.print(f"cosigned by {', '.join(report.witnesses)}", markup=False)
    for remark in report.remarks:
        console.print(f"! {remark}", style="yellow", markup=False, soft_wrap=True)


def _lines(report: Report) -> Generator[str]:
    match report:
        case AuditReport():
            yield from _of_export(report)
        case EvidenceReport():
            yield from _of_evidence(report)
        case ProofReport():
            yield from _of_proofs(report)


def _of_export(report: AuditReport) -> Generator[str]:
    yield f"{report.origin}: {report.size} entries in {report.files} files"
    yield f"root {report.root}"
    yield f"log key {report.fingerprint}"
    for actor, events in report.actors.items():
        yield f"  {actor}: {events} events"


def _of_evidence(report: EvidenceReport) -> Generator[str]:
    yield f"{report.about} {report.correlation}"
    yield f"in {report.origin} when it had {report.size} entries"
    for what, value in report.facts:
        yield f"  {what}: {value}"


def _of_proofs(report: ProofReport) -> Generator[str]:
    yield f"{report.origin}: {report.size} entries, root {report.root}"
    yield f"log key {report.fingerprint}"
    for entry in report.entries:
        yield "  ".join(str(value) for value in entry.values() if value != "")


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
            return file.read(_LONGEST_BEGINNING)
    except OSError as error:
        raise FileError(
            f"the file cannot be read: {error.strerror}",
            place=str(path),
            remedy="Check the path and the permissions.",
        ) from error


def parse_fingerprint(text: str) -> bytes | None:
    """Read 64 hexadecimal digits, or nothing; raises BadParameter."""
    try:
        pinned = bytes.fromhex(text)
    except ValueError:
        pinned = b"?"
    if len(pinned) not in {0, 32}:
        raise typer.BadParameter("64 hexadecimal digits", param_hint="--fingerprint")
    return pinned or None
