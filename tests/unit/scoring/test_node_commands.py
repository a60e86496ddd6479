"""``veilscore node``: what is refused before anything is made, and what is printed."""

import json
import os
import pty
import signal
import subprocess
import sys
import time
import tomllib
from pathlib import Path

import psutil
import pytest

from tests.unit.scoring.conftest import Run
from tests.unit.web.sample_node import RUN, SampleNode
from veilscore.keys import files
from veilscore.keys.identity import Signer
from veilscore.keys.tlog.chain import ActorChain
from veilscore.keys.tlog.database import Database
from veilscore.keys.tlog.recon.mark import Mark
from veilscore.node import config
from veilscore.node.log.recon_state import Difference, ReconState
from veilscore.v1.audit_pb2 import Started

SOURCE = """
[source]
csv = "borrowers.csv"
[source.id]
column = "id"
type = "uscc"
[[source.feature]]
column = "log_deposit"
kind = "numeric"
"""

COMMAND = [sys.executable, "-P", "-c", "from veilscore.runtime.cli import main; main()"]


def test_a_new_node_has_the_roles_and_the_source_it_was_told(
    tmp_path: Path, run: Run
) -> None:
    source, passphrase = tmp_path / "bank.source.toml", tmp_path / "passphrase"
    source.write_text("\ufeff" + SOURCE, encoding="utf-8")  # as Windows saves it
    files.create(passphrase, b"a passphrase\n")
    made = tmp_path / "bank"
    code, _ = run(
        *("init", made, "--party", "bank", "--key-bits", "2048", "--quick-key"),
        *("--role", "data_holder", "--role", "requester"),
        *("--source", source, "--passphrase-file", passphrase),
    )
    assert code == 0
    settings = config.read(made / "node.toml")
    assert settings.source is not None
    assert settings.source.csv == made / "borrowers.csv"
    assert settings.passphrase_file == passphrase
    assert "requester" in (made / "card.json").read_text()
    assert tomllib.loads((made / "node.toml").read_text())["party"] == "bank"


@pytest.mark.parametrize(
    ("options", "what"),
    [
        (("--key-bits", "100"), "--key-bits"),
        (("--key-bits", "2049"), "2049 bits is not allowed"),
        (("--web-port", "99999"), "--web-port"),
        (("--runtime-port", "0"), "--runtime-port"),
        (("--role", "coordinator"), "--role"),
        (("--passphrase-file", "missing"), "cannot be read"),
        (("--source", "missing"), "Check the path"),
        (("--source", "broken.toml"), "broken.toml: the file is not TOML"),
        (("--source", "misspelt.toml"), "`source.csb` is unknown"),
        (("--source", "more.toml"), "`scoring` is unknown"),
        (("--source", "chinese.toml"), "not UTF-8"),
    ],
)
def test_what_cannot_work_is_refused_before_the_folder_is_made(
    tmp_path: Path,
    run: Run,
    monkeypatch: pytest.MonkeyPatch,
    options: tuple[str, ...],
    what: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("broken.toml").write_text("[source\n")
    Path("misspelt.toml").write_text(SOURCE.replace("csv", "csb"))
    Path("more.toml").write_text(SOURCE + "[scoring]\n")
    Path("chinese.toml").write_bytes(SOURCE.replace("id", "编号").encode("gb18030"))
    code, told = run("init", "bank", "--party", "bank", *options)
    assert code != 0
    assert what in " ".join(told.split())
    assert not Path("bank").exists()


@pytest.mark.parametrize(
    ("folder", "what"),
    [
        ("taken", "taken: the folder is not empty"),
        ("file", "file: the folder is not empty"),
        ("file/bank", "the folder cannot be made (Not a directory)"),
    ],
)
def test_a_folder_that_cannot_be_made_is_refused_before_the_search(
    tmp_path: Path, run: Run, monkeypatch: pytest.MonkeyPatch, folder: str, what: str
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("taken").mkdir()
    for name in ("taken/note", "file"):
        Path(name).write_text("mine")
    options = ("--party", "bank", "--key-bits", "8192")  # a search of hours
    code, told = run("init", folder, *options)
    assert code == 2
    assert what in told
    assert "Searching" not in told
    assert sorted(path.name for path in tmp_path.rglob("*")) == [
        "file",
        "note",
        "taken",
    ]
    assert Path("taken/note").read_text() == Path("file").read_text() == "mine"


def test_a_new_key_has_safe_primes(tmp_path: Path, run: Run) -> None:
    made = tmp_path / "bank"
    code, told = run("init", made, "--party", "bank", "--key-bits", "2048")
    assert code == 0
    line, progress = "Searching for two safe primes; this can take minutes.\n", "found"
    assert told.count(line) == 1
    assert progress not in told  # which is for terminals
    _, told = run("doctor", "--config", made / "node.toml")
    assert "✓ Paillier key: 2048 bits, safe primes\n" in told


def test_a_quick_key_has_random_primes(folder: Path, run: Run) -> None:
    _, told = run("doctor", "--config", folder / "node.toml", "--json")
    (found,) = [
        check["found"]
        for check in json.loads(told)["checks"]
        if check["check"] == "Paillier key"
    ]
    assert found == "2048 bits, random primes"


def log_line(folder: Path, run: Run) -> str:
    lines = run("doctor", "--config", folder / "node.toml")[1].splitlines()
    (line,) = [each for each in lines if "audit log: " in each]
    return line


def test_the_doctor_does_not_wait_for_ever_for_the_first_reconciliation(
    folder: Path, run: Run
) -> None:
    (folder / "state").mkdir(exist_ok=True)
    for hours, mark in ((47, "✓"), (49, "✗")):
        path = folder / "state" / "events.db"
        path.unlink(missing_ok=True)
        database = Database(path)
        ReconState.prepare(database)
        chain = ActorChain(database, Signer.generate(), "bank")
        then_ms = int(time.time() * 1000) - hours * 3_600_000
        chain.extend([Started(version="1")], "", then_ms)
        database.close()
        assert log_line(folder, run).startswith(f"{mark} audit log: ")
    assert "never compared with this node's own log, which began 49 hours" in log_line(
        folder, run
    )


def test_the_doctor_tells_of_the_last_reconciliation(folder: Path, run: Run) -> None:
    def told() -> str:
        return log_line(folder, run)

    assert told().startswith("✓ audit log: not compared with this node's own log yet")
    state = folder / "state"
    state.mkdir(exist_ok=True)
    database = Database(state / "events.db")
    ReconState.prepare(database)
    now_ms = int(time.time() * 1000)
    ReconState(now_ms - 3_600_000, 4712).write(database, Mark())
    assert "✓ audit log: agrees with this node's own, 4712 entries 1.0 hours" in told()
    ReconState(now_ms - 49 * 3_600_000, 4712).write(database, Mark())
    assert "✗ audit log: " in told()
    assert "it was compared with this node's own log 49 hours ago" in told()
    found = (Difference("waiting", 7, "the log has not proved it yet"),)
    ReconState(now_ms, 4712, 1, found).write(database, Mark())
    assert "differs from this node's own in 1 places, first: waiting, " in told()
    database.close()
    (state / "incidents").mkdir()
    (state / "incidents" / "fork-00.json").write_text("{}")
    assert "✗ audit log: " in told()
    assert "the audit log contradicts this node: 1 files show it" in told()


@pytest.mark.usefixtures("interruptible")
def test_a_search_that_is_shown_on_a_terminal_can_be_interrupted(
    tmp_path: Path,
) -> None:
    shown, terminal = pty.openpty()
    folder = tmp_path / "bank"
    words = ("init", folder, "--party", "bank", "--key-bits", "8192")
    process = subprocess.Popen(
        [*COMMAND, "node", *words],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=terminal,
        env={**os.environ, "TERM": "xterm"},
    )
    os.close(terminal)
    said = b""
    while b"0 found" not in said:
        said += os.read(shown, 4096)
    assert b"Searching for two safe primes" in said
    searchers = psutil.Process(process.pid).children()
    assert len(searchers) == 2
    process.send_signal(signal.SIGINT)
    assert process.wait(60) == 1
    assert psutil.wait_procs(searchers, 60)[1] == []
    assert not folder.exists()
    os.close(shown)


def test_the_help_names_the_table_and_the_roles(run: Run) -> None:
    code, told = run("init", "--help")
    assert code == 0
    assert "[source]" in told
    assert "data_holder" in told
    assert "coordinator|" not in told


def test_a_mistyped_path_is_no_case_for_a_backup(folder: Path, run: Run) -> None:
    code, told = run(
        *("join", folder / "kit.jsn", "--config", folder / "node.toml"),
        *("--fingerprint", "00" * 32),
    )
    assert code == 2
    assert "kit.jsn: the file cannot be read: No such file or directory" in told
    assert "Check the path," in told


def test_a_node_that_does_not_run_is_to_be_started_by_what_can_be_typed(
    folder: Path, run: Run
) -> None:
    toml = folder / "node.toml"
    text = toml.read_text().replace("port = 8081", "port = 1")
    toml.write_text(text)
    code, told = run("status", "--config", toml)
    assert code == 4
    assert f"veilscore node run --config {toml}" in told


def test_a_decision_is_confirmed(served: tuple[SampleNode, Path], run: Run) -> None:
    node, toml = served
    code, told = run("approve", RUN, "--config", toml)
    assert (code, told) == (0, f"Approved: this node takes part in run {RUN}.\n")
    code, told = run("refuse", RUN, "--config", toml)
    assert (code, told) == (0, f"Refused: this node takes no part in run {RUN}.\n")
    assert [decision[:2] for decision in node.decisions] == [
        ("approve", RUN),
        ("refuse", RUN),
    ]
    code, told = run("approve", "../status", "--config", toml)
    assert code == 1
    assert len(node.decisions) == 2
