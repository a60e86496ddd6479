"""Commands and parties of a lab, with small programs in the place of ``veilscore``."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterable
from pathlib import Path

import psutil
import pytest

from veilscore.lab import processes
from veilscore.lab.errors import CommandFailedError, LabError
from veilscore.lab.processes import PartyProcess, stop_all, veilscore
from veilscore.lab.usage import cpu_seconds, family, memory_mib

# Tells the number of a child in a session of its own, then waits; "deaf" means that
# the child and, given twice, the program itself ignore SIGTERM.
PROGRAM = """
import signal, subprocess, sys, time
deaf = "import signal; signal.signal(15, signal.SIG_IGN); "
code = "import time; print(flush=True); time.sleep(600)"
code = (deaf if "deaf" in sys.argv else "") + code
child = subprocess.Popen([sys.executable, "-c", code], start_new_session=True,
                         stdout=subprocess.PIPE)
child.stdout.readline()
if sys.argv.count("deaf") == 2:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
else:
    signal.signal(signal.SIGTERM, lambda *_: (child.terminate(), sys.exit()))
print(child.pid, flush=True)
time.sleep(600)
"""

# What the lab does, to be killed in the middle of it.
LAB = """
import sys, time
from pathlib import Path
from veilscore.lab.processes import PartyProcess
PartyProcess("bank", Path(sys.argv[1]), "audit", "verify", sys.argv[2])
print("started", flush=True)
time.sleep(600)
"""


def eventually(condition: Callable[[], object], seconds: float = 20.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "did not happen"
        time.sleep(0.02)


def is_gone(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


@pytest.fixture
def script(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Put a Python program in the place of the command."""

    def place(code: str) -> None:
        def command(words: Iterable[str | Path]) -> list[str]:
            return [sys.executable, "-c", code, *map(str, words)]

        monkeypatch.setattr(processes, "_command", command)

    return place


@pytest.fixture
def shortly(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(processes, "_GRACE_S", 0.5)
    monkeypatch.setattr(processes, "_ORPHAN_GRACE_S", 0.5)


def test_a_command_returns_what_it_printed(script: Callable[[str], None]) -> None:
    script("import sys; print(*sys.argv[1:])")
    assert veilscore("node", Path("/a b"), "--json") == "node /a b --json\n"


def test_a_command_that_fails_says_so(script: Callable[[str], None]) -> None:
    script("import sys; print('the port is taken', file=sys.stderr); sys.exit(3)")
    with pytest.raises(CommandFailedError, match="the port is taken") as caught:
        veilscore("node", "run", party="bank")
    assert caught.value.exit_code == 3
    assert caught.value.party == "bank"
    assert "`veilscore node run` ended with status 3" in caught.value.what


def test_a_command_that_hangs_is_ended(script: Callable[[str], None]) -> None:
    script("import time; time.sleep(600)")
    with pytest.raises(LabError, match=r"did not end within 0\.3 s|within 0 s"):
        veilscore("train", "x.toml", timeout_s=0.3)


def test_a_party_that_ends_by_itself_is_named(
    tmp_path: Path, script: Callable[[str], None]
) -> None:
    script("import sys; print('no key'); sys.exit(2)")
    party = PartyProcess("bank", tmp_path / "bank.log", "node", "run")
    eventually(lambda: party.family() == [])
    with pytest.raises(LabError) as caught:
        party.check()
    assert caught.value.party == "bank"
    assert caught.value.what == "its process ended with status 2: no key"
    assert stop_all([party]) == 0


@pytest.mark.usefixtures("shortly")
@pytest.mark.parametrize(
    ("deaf", "killed"), [([], 0), (["deaf"], 1), (["deaf", "deaf"], 2)]
)
def test_nothing_is_left_of_a_party(
    tmp_path: Path, script: Callable[[str], None], deaf: list[str], killed: int
) -> None:
    script(PROGRAM)
    log = tmp_path / "bank.log"
    party = PartyProcess("bank", log, *deaf)
    eventually(lambda: log.read_text().endswith("\n"))
    party.check()
    child = int(log.read_text())
    pids = party.family()
    assert child in pids
    assert len(pids) == 2
    assert memory_mib(pids) > memory_mib([child]) > 1
    assert stop_all([party]) == killed
    assert all(map(is_gone, pids))


def test_a_lab_that_is_killed_takes_its_parties_along(tmp_path: Path) -> None:
    # The command waits for somebody to write into a pipe.
    pipe = tmp_path / "export"
    os.mkfifo(pipe)
    with subprocess.Popen(
        [sys.executable, "-c", LAB, str(tmp_path / "log"), str(pipe)],
        stdout=subprocess.PIPE,
    ) as lab:
        assert lab.stdout is not None
        assert lab.stdout.readline() == b"started\n"
        eventually(lambda: len(family(lab.pid)) == 2)
        party = family(lab.pid)[1]
        eventually(lambda: b"audit" in Path(f"/proc/{party}/cmdline").read_bytes())
        lab.send_signal(signal.SIGKILL)
    eventually(lambda: is_gone(party))


def test_processor_time_is_counted() -> None:
    before = cpu_seconds([os.getpid()])
    until = time.process_time() + 0.3
    while time.process_time() < until:
        pass
    assert 0.2 <= cpu_seconds([os.getpid()]) - before <= 2


def test_a_process_that_is_gone_uses_nothing() -> None:
    with subprocess.Popen(["true"]) as process:
        pass
    assert memory_mib([process.pid]) == 0
    assert cpu_seconds([process.pid]) == 0
