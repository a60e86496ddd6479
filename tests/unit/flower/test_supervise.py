"""Child processes, with small real children."""

import os
import signal
import stat
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import psutil
import pytest

from veilscore.runtime.supervise import Child, SecretFiles

# Appends its process id at the go and a dot at every poke. With "deaf" it ignores
# SIGTERM and has a child of its own.
PROGRAM = """
import os, signal, subprocess, sys, time
from pathlib import Path
from veilscore.runtime.supervise import bind_to_parent, follow_parent, wait_for_go

bind_to_parent(int(sys.argv[1]))
file = Path(sys.argv[2])
def add(text):
    with file.open("a") as f:
        f.write(text)
if "deaf" in sys.argv:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
print("started", flush=True)
wait_for_go()
if "deaf" in sys.argv:
    add(f"{subprocess.Popen(['sleep', '600']).pid} ")
add(f"{os.getpid()} ")
follow_parent(lambda: add("."))
time.sleep(600)
"""

# Starts such a child and tells its number.
PARENT = """
import os, sys, time
from pathlib import Path
from veilscore.runtime.supervise import Child

file = Path(sys.argv[1])
child = Child("program", [str(file)], environment=dict(os.environ),
              log=file.with_suffix(".log"), on_death=lambda status: None)
child.start()
child.go()
time.sleep(600)
"""


@dataclass
class Started:
    child: Child
    file: Path
    log: Path
    deaths: list[int] = field(default_factory=list[int])

    def text(self) -> str:
        return self.file.read_text() if self.file.exists() else ""


def eventually(condition: Callable[[], object], seconds: float = 10.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "did not happen"
        time.sleep(0.01)


def is_gone(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    (tmp_path / "program.py").write_text(PROGRAM)
    return os.environ | {"PYTHONPATH": str(tmp_path)}


@pytest.fixture
def start(
    tmp_path: Path, environment: dict[str, str]
) -> Iterator[Callable[..., Started]]:
    running: list[Started] = []

    def make(*words: str) -> Started:
        file, log = tmp_path / "out", tmp_path / "program.log"
        deaths: list[int] = []
        arguments = [str(file), *words]
        child = Child(
            "program",
            arguments,
            environment=environment,
            log=log,
            on_death=deaths.append,
        )
        running.append(Started(child, file, log, deaths))
        child.start()
        return running[-1]

    yield make
    for started in running:
        started.child.stop(0.5)


def test_the_child_holds_at_its_gate_and_hears_pokes_after_it(
    start: Callable[..., Started],
) -> None:
    started = start()
    eventually(lambda: started.log.exists() and "started" in started.log.read_text())
    started.child.poke()  # not past the gate: must not open it
    time.sleep(0.2)
    assert started.text() == ""
    started.child.go()
    started.child.go()  # opens once, pokes nobody
    eventually(lambda: started.text() == f"{started.child.pid} ")
    started.child.poke()
    eventually(lambda: started.text().endswith("."))
    assert started.text().count(".") == 1


def test_a_killed_child_comes_back_past_its_gate(start: Callable[..., Started]) -> None:
    started = start()
    started.child.go()
    eventually(started.text)
    first = int(started.text())
    os.kill(first, signal.SIGKILL)
    eventually(lambda: started.text().count(" ") == 2)
    assert started.deaths == [-signal.SIGKILL]
    assert is_gone(first)
    assert started.child.pid == int(started.text().split()[1]) != first


def test_stop_asks_first(start: Callable[..., Started]) -> None:
    started = start()
    started.child.go()
    eventually(started.text)
    before = time.monotonic()
    started.child.stop(30)
    assert time.monotonic() - before < 5
    assert started.child.pid is None
    assert is_gone(int(started.text()))
    assert started.deaths == []


def test_stop_ends_a_deaf_child_and_its_children(start: Callable[..., Started]) -> None:
    started = start("deaf")
    started.child.go()
    eventually(lambda: started.text().count(" ") == 2)
    started.child.stop(0.3)
    assert is_gone(int(started.text().split()[1]))
    eventually(lambda: is_gone(int(started.text().split()[0])))


def test_a_dead_childs_children_do_not_stay(start: Callable[..., Started]) -> None:
    started = start("deaf")
    started.child.go()
    eventually(lambda: started.text().count(" ") == 2)
    grandchild, child = map(int, started.text().split())
    os.kill(child, signal.SIGKILL)
    eventually(lambda: is_gone(grandchild))


def test_stop_before_start_and_twice_is_harmless(start: Callable[..., Started]) -> None:
    started = start()
    started.child.stop(1)
    started.child.stop(1)
    assert started.child.pid is None
    never = Child(
        "program", [], environment={}, log=started.log, on_death=lambda _status: None
    )
    never.stop(1)


def test_children_of_a_killed_process_end(
    tmp_path: Path, environment: dict[str, str]
) -> None:
    file = tmp_path / "out"
    parent = subprocess.Popen(
        [sys.executable, "-c", PARENT, str(file)], env=environment
    )
    try:
        eventually(lambda: file.exists() and file.read_text())
        child = int(file.read_text())
        assert not is_gone(child)
    finally:
        parent.kill()
        parent.wait()
    eventually(lambda: is_gone(child))


@pytest.mark.parametrize("late", ["before", "at the gate"])
def test_a_child_without_its_parent_does_nothing(
    late: str, tmp_path: Path, environment: dict[str, str]
) -> None:
    parent = 1 if late == "before" else os.getpid()
    done = subprocess.run(
        [sys.executable, "-m", "program", str(parent), str(tmp_path / "out")],
        env=environment,
        stdin=subprocess.DEVNULL,  # ended before the go
        capture_output=True,
        check=False,
    )
    assert done.returncode == 1
    assert b"the parent process is gone" in done.stderr
    assert not (tmp_path / "out").exists()


def test_a_module_in_the_current_directory_shadows_nothing(
    start: Callable[..., Started], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "program.py").write_text("raise SystemExit('shadowed')")
    monkeypatch.chdir(elsewhere)
    started = start()
    started.child.go()
    eventually(started.text)
    assert "shadowed" not in started.log.read_text()


def test_the_log_is_private_and_makes_way_when_it_is_large(
    start: Callable[..., Started], tmp_path: Path
) -> None:
    log = tmp_path / "program.log"
    with log.open("wb") as file:
        file.truncate(9 * 2**20)
    started = start()
    eventually(lambda: log.exists() and "started" in log.read_text())
    assert stat.S_IMODE(log.stat().st_mode) == 0o600
    assert (tmp_path / "program.log.1").stat().st_size == 9 * 2**20
    started.child.stop(1)


def test_a_start_that_fails_is_tried_again(
    tmp_path: Path, environment: dict[str, str]
) -> None:
    directory, deaths = tmp_path / "not yet", list[int]()
    child = Child(
        "program",
        [str(tmp_path / "out")],
        environment=environment,
        log=directory / "log",
        on_death=deaths.append,
    )
    child.start()
    eventually(lambda: deaths == [os.EX_OSERR])
    directory.mkdir()
    eventually(lambda: child.pid)
    child.stop(5)


def test_pokes_from_many_threads_neither_block_nor_fail(
    start: Callable[..., Started],
) -> None:
    started = start()
    started.child.go()
    eventually(started.text)
    os.kill(int(started.text()), signal.SIGSTOP)  # nobody reads the pipe

    def poke() -> None:
        for _ in range(20_000):  # more than a pipe holds
            started.child.poke()

    threads = [threading.Thread(target=poke) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
        assert not thread.is_alive()
    os.kill(int(started.text().split()[0]), signal.SIGCONT)


def test_secret_files_are_this_users_alone_and_go(tmp_path: Path) -> None:
    files = SecretFiles(tmp_path / "secrets")
    (tmp_path / "secrets").mkdir()
    (tmp_path / "secrets" / "key").write_bytes(b"old")
    (tmp_path / "secrets" / "key").chmod(0o644)
    path = files.write("key", b"new")
    assert path.read_bytes() == b"new"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    files.delete()
    assert not path.parent.exists()
    files.delete()
