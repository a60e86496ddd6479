"""What every doctor command looks at, whatever it is the doctor of.

A check returns what it found, or raises a Fault that says what is wrong and what to
do. Nothing is changed.
"""

import importlib.util
import json
import os
import shutil
import socket
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import typer
from rich.console import Console

from veilscore.fault import Fault, concerning
from veilscore.keys import files
from veilscore.runtime.errors import ConfigError, HostError
from veilscore.runtime.flower.pin import PINNED, require_pinned
from veilscore.runtime.supervise import port_is_free

_LEAST_BYTES: Final = 1 << 30


@dataclass(frozen=True, slots=True)
class Finding:
    """What one check found; ``fault`` if that must be put right."""

    check: str
    found: str
    fault: Fault | None = None


def examine(party: str, checks: Mapping[str, Callable[[], str]]) -> Iterator[Finding]:
    """Make all checks of a party's program, one after the other."""
    for name, check in checks.items():
        try:
            with concerning(party):
                found = check()
            yield Finding(name, found)
        except Fault as fault:
            yield Finding(name, fault.what, fault)


def show(findings: Iterable[Finding], *, as_json: bool) -> int:
    """Print findings as they come, or as one JSON object; returns the exit code."""
    console = Console(highlight=False, quiet=as_json)
    made: list[Finding] = []
    for finding in findings:
        console.print("[red]✗[/]" if finding.fault else "[green]✓[/]", end=" ")
        told = str(finding.fault) if finding.fault else finding.found
        console.print(f"{finding.check}: {told}", markup=False, soft_wrap=True)
        made.append(finding)
    healthy = all(finding.fault is None for finding in made)
    if as_json:
        checks = [
            {
                "check": finding.check,
                "found": finding.found,
                "error": finding.fault.fields() if finding.fault else None,
            }
            for finding in made
        ]
        typer.echo(json.dumps({"healthy": healthy, "checks": checks}))
    return 0 if healthy else 1


def secret_files(paths: Iterable[Path]) -> str:
    """Refuse secret files that others than their owner may use."""
    for path in paths:
        try:
            mode = path.stat().st_mode
        except OSError as error:
            raise _unseen(path, error) from error
        files.check_private(path, mode)
    return "only their owner can read them"


def ports(listening: Sequence[tuple[str, int]]) -> str:
    """Refuse a port that something else holds; all in use means that we run."""
    if all(_answers(host, port) for host, port in listening):
        return "all answer: it is running"
    for host, port in listening:
        port_is_free(host, port)
    return ", ".join(f"{host}:{port}" for host, port in listening) + " are free"


def _answers(host: str, port: int) -> bool:
    try:
        socket.create_connection((host, port), 1.0).close()
    except OSError:
        return False
    return True


def flower() -> str:
    """Refuse another Flower than the one this program knows the insides of."""
    require_pinned()
    return PINNED


def byte_code() -> str:
    """Flower's processes take twice as long to start without compiled byte-code."""
    spec = importlib.util.find_spec("flwr")
    source = spec.origin if spec else None
    if source and not Path(importlib.util.cache_from_source(source)).exists():
        raise HostError(
            "the installed packages are not compiled",
            place=str(Path(source).parent),
            remedy=f"Run: python -m compileall -q {Path(source).parent.parent}",
        )
    return "compiled"


def temporary_folder() -> str:
    """One library unpacks and maps code there (rbcl)."""
    place = tempfile.gettempdir()
    if os.statvfs(place).f_flag & os.ST_NOEXEC:
        raise HostError(
            "code cannot be executed from the folder for temporary files",
            place=place,
            remedy="Set TMPDIR to a folder on a file system without noexec.",
        )
    return place


def disk(folder: Path) -> str:
    """Refuse a folder with little space left."""
    try:
        free = shutil.disk_usage(folder).free
    except OSError as error:
        raise _unseen(folder, error) from error
    if free < _LEAST_BYTES:
        raise HostError(
            f"only {free >> 20} MiB are free",
            place=str(folder),
            remedy="Free some space: a full disk stops the log and every score.",
        )
    return f"{free >> 30} GiB free"


def _unseen(path: Path, error: OSError) -> ConfigError:
    return ConfigError(
        f"this cannot be looked at ({error.strerror})",
        place=str(path),
        remedy="Restore it from a backup.",
    )
