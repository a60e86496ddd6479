"""Run a child under strace: what it does to a log's files, and what if that fails.

Only calls that concern the log's and its guard's files are counted and struck, so that
Python's own start is not. The n-th such call fails, or all from it on do, or the child
is killed as it makes it. (With strace's --seccomp-bpf it would not be killed.)
"""

import re
import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
CALLS = (
    *("openat", "write", "pwrite64", "fsync", "fdatasync", "ftruncate"),
    *("rename", "unlink"),
)
_LINE = re.compile(
    r"^\d+ +(?P<call>\w+)\((?:\d+<)?(?:AT_FDCWD<[^>]*>, )?\"?(?P<on>[^\">]+)"
)


def _may_trace() -> bool:
    """Whether strace is there, and this system lets it trace a child."""
    if shutil.which("strace") is None:
        return False
    tried = subprocess.run(["strace", "true"], capture_output=True, check=False)
    return tried.returncode == 0


needs_strace = pytest.mark.skipif(
    not _may_trace(),
    reason="no fault is injected without strace (Debian package: strace), nor where it "
    "may not trace",
)


@dataclass(frozen=True, slots=True)
class Call:
    """One system call of a trace, and the file that it concerns."""

    name: str
    path: Path


@dataclass(frozen=True, slots=True)
class Injection:
    """What happens to the n-th call of a name: an error, or the end of the process."""

    call: str
    number: int
    effect: str  # as strace writes it
    lasting: bool = False  # from that call on

    def __str__(self) -> str:
        when = f"{self.number}{'+' if self.lasting else ''}"
        return f"{self.call}:{self.effect}:when={when}"

    @property
    def kills(self) -> bool:
        return self.effect == "signal=KILL"


@dataclass(frozen=True, slots=True)
class Ended:
    """How a child ended, what it printed, and whether it was struck before."""

    killed: bool
    lines: list[str]
    errors: str
    struck: bool


def files_of(folder: Path) -> list[Path]:
    """Return every file of a log and its guard, there or not, and their folder."""
    stems = ("log.sqlite", "log-guard.sqlite")
    ends = ("", "-wal", "-shm", "-journal")
    return [folder, *(folder / f"{stem}{end}" for stem in stems for end in ends)]


def trace(folder: Path, module: str, *arguments: str, keys: bytes) -> list[Call]:
    """Return what a run does to the files of ``folder``, and its writes to ``told``."""
    told, output = folder / "told", folder / "trace"
    with told.open("wb") as stdout:
        _strace(
            [*files_of(folder), told], output, module, arguments, keys, stdout.fileno()
        )
    found = [_LINE.match(line) for line in output.read_text().splitlines()]
    return [Call(each["call"], Path(each["on"])) for each in found if each]


def inject(
    injection: Injection, folder: Path, module: str, *arguments: str, keys: bytes
) -> Ended:
    """Run a child, strike it, and return how it ended."""
    told, output = folder / "told", folder / "trace"
    with told.open("wb") as stdout:
        done = _strace(
            files_of(folder),
            output,
            module,
            arguments,
            keys,
            stdout.fileno(),
            *("-e", f"inject={injection}"),
        )
    traced = output.read_text()
    killed = "+++ killed by SIGKILL +++" in traced
    return Ended(
        killed=killed,
        lines=told.read_text().splitlines(),
        errors="" if killed or done.returncode == 0 else done.stderr.decode(),
        struck=killed or "(INJECTED)" in traced,
    )


def _strace(
    paths: Sequence[Path],
    output: Path,
    module: str,
    arguments: Sequence[str],
    keys: bytes,
    stdout: int,
    *options: str,
) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(
        [
            *("strace", "-f", "-y", "-e", f"trace={','.join(CALLS)}"),
            *(f"--trace-path={path}" for path in paths),
            *("-o", str(output)),
            *options,
            *(sys.executable, "-m", module, *arguments),
        ],
        input=keys,
        stdout=stdout,
        stderr=subprocess.PIPE,
        cwd=ROOT,
        check=False,
    )


def count(calls: Sequence[Call], files: Sequence[Path]) -> Counter[str]:
    """Return how often each call concerned one of the files."""
    return Counter(call.name for call in calls if call.path in files)
