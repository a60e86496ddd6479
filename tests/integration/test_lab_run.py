"""A small lab from the command line: all parties as processes of their own."""

import json
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import pytest

from tests.integration.chaos_members import ROUNDS, lab_of

pytestmark = pytest.mark.long
LAB = """\
name = "small"
key_bits = 2048
witnesses = 2
[economy]
entities = 1500
seed = 2
dirty_holder = "agriculture"
[[party]]
name = "bank"
holder = "bank"
roles = ["data_holder", "requester"]
training = { approve = "automatic", min_count = 3, runs_a_day = 1000 }
[[party]]
name = "regulator"
holder = "regulator"
training = { approve = "automatic", min_count = 3, runs_a_day = 1000 }
scoring = { requesters = ["bank"], purposes = ["pre_loan"] }
[[party]]
name = "agriculture"
holder = "agriculture"
training = { approve = "automatic", min_count = 3, runs_a_day = 1000 }
scoring = { requesters = ["bank"], purposes = ["pre_loan"] }
[[run]]
name = "default"
contract = { min_count = 3 }
[[run]]
name = "careless"
contract = { min_count = 1 }
[score]
requester = "bank"
entities = 300
"""
COMMAND = [sys.executable, "-P", "-c", "from veilscore.runtime.cli import main; main()"]


@pytest.fixture
def command(tmp_path: Path) -> list[str]:
    (tmp_path / "small.toml").write_text(LAB)
    lab = ["lab", "run", str(tmp_path / "small.toml")]
    return [*COMMAND, *lab, "--state", str(tmp_path / "state"), "--only"]


def processes_of(state: Path) -> list[int]:
    """Return the processes that were started with a file of this lab."""
    found: list[int] = []
    for process in psutil.process_iter():
        try:
            words = process.cmdline()
        except psutil.Error:
            continue
        if "small.toml" not in " ".join(words) and any(str(state) in w for w in words):
            found.append(process.pid)
    return found


def children_of(pid: int) -> list[int]:
    """Return a lab's coordinator, SuperLink, nodes, SuperNodes and workers."""
    return [child.pid for child in psutil.Process(pid).children(recursive=True)]


def maps_torch(pid: int) -> bool:
    """Return whether a process has loaded PyTorch, as the kernel sees it."""
    return "libtorch" in Path(f"/proc/{pid}/maps").read_text(encoding="utf-8")


def test_a_process_that_loads_torch_is_recognised() -> None:
    code = "import torch; print('loaded', flush=True); input()"
    with subprocess.Popen(
        [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as loaded:
        assert loaded.stdout is not None
        assert loaded.stdout.readline() == b"loaded\n"
        assert maps_torch(loaded.pid)
        loaded.communicate(b"\n")
    assert loaded.returncode == 0


def is_alive(process: psutil.Process) -> bool:
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def eventually(condition: Callable[[], object], seconds: float) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "did not happen"
        time.sleep(0.1)


@pytest.mark.timeout(900)
def test_a_lab_trains_scores_compares_and_verifies(
    tmp_path: Path, command: list[str]
) -> None:
    out, said = tmp_path / "out.json", tmp_path / "said"
    with (
        said.open("w") as to,
        subprocess.Popen(
            [*command, "default", "--json", str(out)], stdout=to, stderr=to
        ) as lab,
    ):
        eventually(lambda: lab.poll() or "idle seconds" in said.read_text(), 800)
        # It has trained and scored, and all parties are there.
        running = [lab.pid, *children_of(lab.pid)] if lab.poll() is None else []
        with_torch = [pid for pid in running if maps_torch(pid)]
    assert lab.returncode == 0, said.read_text()
    assert len(running) >= 14
    assert with_torch == []
    found: dict[str, Any] = json.loads(out.read_text())
    assert all(found["checks"].values())
    assert found["scores"]["answered"] == found["scores"]["asked"] == 300
    assert found["scores"]["mismatches"] == 0
    example = found["scores"]["example"]
    assert sum(example["partials"].values()) == example["decrypted"]
    assert example["partials"].keys() == {"bank", "regulator", "agriculture"}
    (run,) = found["runs"]
    assert list(run["steps"]) == [
        *("join", "rows", "counts", "moments", "cross"),
        *("solve", "calibrate", "evaluate", "register"),
    ]
    quality = run["quality"]
    assert quality["on_holdout"]
    # As the run found them: the union of all files, but for a bucket.
    assert quality["aligned"] <= found["entities"] < 1.1 * quality["aligned"] + 1
    learned = quality["learned"]
    assert quality["rows"] < learned < found["holders"]["bank"]["entities"]
    aligned = f"{quality['aligned']:,} in the run, the label holder learned from"
    assert f"{aligned} {learned:,}" in said.read_text()
    assert found["holders"]["agriculture"]["rejected"] > 0
    assert found["log"]["entries"] > 30
    assert found["log"]["witnesses"] == ["witness-1", "witness-2"]
    assert 0 <= found["idle_cores"] < 1
    assert "every decrypted score is the sum of the cards" in said.read_text()
    assert processes_of(tmp_path / "state") == []


@pytest.mark.timeout(900)
def test_members_with_the_same_columns_train_together(tmp_path: Path) -> None:
    (tmp_path / "small.toml").write_text(lab_of(3))
    out = tmp_path / "out.json"
    words = ["lab", "run", str(tmp_path / "small.toml"), "--json", str(out)]
    done = subprocess.run(
        [*COMMAND, *words, "--state", str(tmp_path / "state")],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    found: dict[str, Any] = json.loads(out.read_text())
    assert all(found["checks"].values())
    (run,) = found["runs"]
    rounds = [f"round-{number}" for number in range(1, ROUNDS + 1)]
    assert list(run["steps"]) == ["join", "bins", *rounds, "evaluate", "register"]
    assert run["members"].keys() == {"bank-1", "bank-2", "bank-3"}
    assert run["joint"]["tables_apart"] == 0
    scores = found["scores"]
    assert (scores["answered"], scores["asked"], scores["mismatches"]) == (10, 10, 0)
    assert scores["example"]["partials"].keys() == {"bank-2"}
    assert processes_of(tmp_path / "state") == []


@pytest.mark.soak
@pytest.mark.timeout(900)
def test_two_regions_train_among_themselves_and_together(tmp_path: Path) -> None:
    out = tmp_path / "out.json"
    words = ["lab", "run", "two_regions", "--only", "south,banks", "--json", str(out)]
    done = subprocess.run(
        [*COMMAND, *words, "--state", str(tmp_path / "state")],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    found: dict[str, Any] = json.loads(out.read_text())
    assert all(found["checks"].values())
    vertical, joint = found["runs"]
    assert "cross" in vertical["steps"]
    assert vertical["quality"]["on_holdout"]
    rounds = [f"round-{number}" for number in range(1, 21)]
    assert list(joint["steps"]) == ["join", "bins", *rounds, "evaluate", "register"]
    assert joint["members"].keys() == {"north-bank", "south-bank", "county-bank"}
    assert joint["members"]["county-bank"]["learned"] < 200
    assert joint["joint"]["tables_apart"] == 0
    assert found["scores"]["answered"] == found["scores"]["asked"] == 500
    assert found["scores"]["example"]["partials"].keys() == {"south-bank"}
    assert processes_of(tmp_path / "state") == []


@pytest.mark.timeout(600)
def test_a_run_that_a_node_does_not_allow_names_the_node(
    tmp_path: Path, command: list[str]
) -> None:
    done = subprocess.run(
        [*command, "careless"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 8, done.stdout + done.stderr
    assert "counts as small as the contract's minimum" in done.stderr
    assert any(name in done.stderr for name in ("bank", "regulator", "agriculture"))
    assert processes_of(tmp_path / "state") == []


@pytest.mark.timeout(600)
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_nothing_is_left_of_a_lab_that_is_killed(
    tmp_path: Path, command: list[str], number: signal.Signals
) -> None:
    nodes = ("bank", "regulator", "agriculture")
    logs = [tmp_path / "state" / f"{name}.log" for name in nodes]
    with subprocess.Popen(
        [*command, "default"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    ) as lab:
        eventually(
            lambda: all(log.exists() and "ready:" in log.read_text() for log in logs),
            300,
        )
        # Witnesses, coordinator, SuperLink, of each node itself, SuperNode and worker.
        processes = psutil.Process(lab.pid).children(recursive=True)
        assert len(processes) >= 13
        lab.send_signal(number)
    eventually(lambda: not any(map(is_alive, processes)), 30)
    assert lab.returncode == (-9 if number == signal.SIGKILL else 128 + 15)
