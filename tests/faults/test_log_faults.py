"""The log under failing system calls and kills: nothing acknowledged is ever lost.

Every call by which an append reaches the disk fails once with EIO, fails from then on,
and is the last of its process, which is killed as it makes it. Then a process that
appends is killed at random times, also while it opens the log. ``judge`` says what
counts as a failure. ``make soak`` injects all faults and kills 120 times, ``make test``
a tenth of both, chosen by ``SEED``.
"""

import random
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import pytest

from tests.faults.conftest import Report
from tests.faults.judge import Acknowledged, Judge
from tests.faults.strace import (
    ROOT,
    Call,
    Injection,
    count,
    files_of,
    inject,
    needs_strace,
    trace,
)
from tests.unit.tlog.sample_log import Parties

SEED = 4
MODULE = "tests.faults.appending"
FULL_TILE = 254  # entries before: the second batch completes a tile of hashes
BATCHES = ("1", "3")
KILLS = 120
LONGEST_S = 0.15


@pytest.fixture
def before(tmp_path: Path, parties: Parties) -> Judge:
    """Return a log just before it completes its first tile."""
    folder = tmp_path / "before"
    folder.mkdir()
    judge = Judge(folder, parties)
    judge.create(FULL_TILE)
    return judge


def command(judge: Judge) -> tuple[str, ...]:
    head = judge.head
    return str(judge.folder), str(head.seq), head.digest.hex()


def effects(call: str, number: int) -> list[Injection]:
    return [
        Injection(call, number, "error=EIO"),
        Injection(call, number, "error=EIO", lasting=True),
        Injection(call, number, "signal=KILL"),
    ]


def a_tenth(injections: Sequence[Injection]) -> list[Injection]:
    """Return one of every call, and a tenth of all together."""
    chooser = random.Random(SEED)
    shuffled = chooser.sample(injections, len(injections))
    first = list({each.call: each for each in shuffled}.values())
    rest = [each for each in shuffled if each not in first]
    return first + rest[: max(0, len(injections) // 10 - len(first))]


@needs_strace
def test_no_fault_of_the_disk_loses_or_forks_anything(
    before: Judge, parties: Parties, tmp_path: Path, report: Report, *, soak: bool
) -> None:
    keys = parties.private_bytes()
    counted = before.copy(tmp_path / "counted")
    calls = trace(counted.folder, MODULE, *command(counted), *BATCHES, keys=keys)
    found = count(calls, files_of(counted.folder))
    injections = [
        each
        for call, times in sorted(found.items())
        for number in range(1, times + 1)
        for each in effects(call, number)
    ]
    assert len(injections) >= 70
    assert {"openat", "pwrite64", "fdatasync", "ftruncate", "unlink"} <= found.keys()
    chosen = injections if soak else a_tenth(injections)
    ends: Counter[str] = Counter()
    for injection in chosen:
        judge = before.copy(tmp_path / "struck")
        ends[strike(injection, judge, keys)] += 1
        shutil.rmtree(judge.folder)
    assert {"killed", "refused", "overcome"} == ends.keys()
    calls_found = ", ".join(f"{call} {times}" for call, times in sorted(found.items()))
    report(
        f"{len(chosen)} of {len(injections)} faults ({calls_found}), seed {SEED}: "
        f"{dict(ends)}; 0 entries lost, 0 forks"
    )


def strike(injection: Injection, judge: Judge, keys: bytes) -> str:
    """Run a child into a fault, judge what it leaves, and say how it ended."""
    ended = inject(
        injection, judge.folder, MODULE, *command(judge), *BATCHES, keys=keys
    )
    assert ended.struck, f"{injection} was not reached"
    assert ended.killed == injection.kills, f"{injection}: {ended.errors}"
    assert not ended.errors, f"{injection}: {ended.errors}"
    acknowledged = Acknowledged.read(ended.lines)
    refused = [line for line in ended.lines if line.startswith("refused")]
    if not ended.killed:
        assert refused or len(acknowledged) == len(BATCHES), injection
    for line in refused:
        assert str(judge.folder) in line, injection
        assert "Remedy: " in line, injection
    try:
        judge.judge(acknowledged)
    except Exception as error:
        raise AssertionError(f"after {injection}: {error}") from error
    return "killed" if ended.killed else "refused" if refused else "overcome"


@needs_strace
def test_whatever_is_acknowledged_was_synchronised_before(
    before: Judge, parties: Parties
) -> None:
    """A kill leaves the system's buffers alone; a power failure does not."""
    keys = parties.private_bytes()
    calls = trace(before.folder, MODULE, *command(before), *BATCHES, keys=keys)
    told = before.folder / "told"
    written: set[Path] = set()
    lines = 0
    for call in calls:
        if call.path == told:
            assert not written, "acknowledged before it was synchronised"
            lines += 1
        elif call.name in {"pwrite64", "write"} and call.path.suffix != ".sqlite-shm":
            written.add(call.path)
        elif call.name in {"fsync", "fdatasync"}:
            written.discard(call.path)
    assert lines == 1 + len(BATCHES)
    assert Call("fdatasync", before.folder / "log.sqlite-wal") in calls
    assert Call("fdatasync", before.folder / "log-guard.sqlite-wal") in calls


@needs_strace
@pytest.mark.parametrize("error", ["ENOSPC", "EROFS"])
def test_a_disk_that_cannot_be_written_any_more_is_named_and_nothing_is_lost(
    before: Judge, parties: Parties, tmp_path: Path, error: str
) -> None:
    """It is full, or was mounted again read-only, after the first batch."""
    keys = parties.private_bytes()
    counted = before.copy(tmp_path / "counted")
    calls = trace(counted.folder, MODULE, *command(counted), *BATCHES, keys=keys)
    told = [at for at, call in enumerate(calls) if call.path.name == "told"]
    writes = [call.name for call in calls[: told[1]]].count("pwrite64")
    injection = Injection("pwrite64", writes + 1, f"error={error}", lasting=True)
    ended = inject(
        injection, before.folder, MODULE, *command(before), *BATCHES, keys=keys
    )
    _, acknowledged, *refused = ended.lines
    assert len(refused) == 2  # it was sent again
    for line in refused:
        assert line.startswith(f"refused {before.folder / 'log.sqlite'}: ")
        assert line.endswith("Remedy: Check the disk and the permissions of the file.")
    before.judge(Acknowledged.read([acknowledged]))


def killed(judge: Judge, delay_s: float, keys: bytes, *, late: bool) -> list[str]:
    """Let a child append, kill it, and return what it had printed.

    The delay begins when it opens the log, or ``late``, when it has acknowledged
    something.
    """
    with subprocess.Popen(
        [sys.executable, "-m", MODULE, *command(judge)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        cwd=ROOT,
    ) as process:
        assert process.stdin
        assert process.stdout
        process.stdin.write(keys)
        process.stdin.close()
        lines = [process.stdout.readline() for _ in range(1 + late)]
        time.sleep(delay_s)
        process.send_signal(signal.SIGKILL)
        lines += process.stdout.readlines()
    assert process.returncode == -signal.SIGKILL
    return [line.decode() for line in lines if line.endswith(b"\n")]


def test_nothing_acknowledged_is_lost_when_the_process_is_killed(
    before: Judge, parties: Parties, report: Report, *, soak: bool
) -> None:
    keys, chooser = parties.private_bytes(), random.Random(SEED)
    kills = KILLS if soak else KILLS // 10
    checkpoints = 0
    for number in range(kills):
        delay_s = chooser.uniform(0, LONGEST_S)
        lines = killed(before, delay_s, keys, late=number % 2 == 0)
        assert not any(line.startswith("refused") for line in lines)
        acknowledged = Acknowledged.read(lines)
        before.judge(acknowledged)
        checkpoints += len(acknowledged)
    assert checkpoints >= kills // 2
    report(
        f"{kills} kills, seed {SEED}: {checkpoints} checkpoints acknowledged, "
        f"{before.acknowledged} entries; 0 lost, 0 forks"
    )
