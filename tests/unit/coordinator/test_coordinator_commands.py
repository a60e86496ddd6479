"""``veilscore coordinator`` and ``train``: remedies that can be followed as typed."""

import json
from pathlib import Path

import pytest

from tests.unit.coordinator.test_cli import run
from tests.unit.coordinator.test_coordinator_doctor import free_ports
from veilscore.coordinator import config


@pytest.fixture
def toml(tmp_path: Path) -> Path:
    """Return the configuration of a new coordinator that does not run."""
    hub, flower, web = (str(port) for port in free_ports(3))
    ports = ("--hub-port", hub, "--flower-port", flower, "--web-port", web)
    assert run("coordinator", "init", str(tmp_path / "hub"), *ports) == 0
    return tmp_path / "hub" / "coordinator.toml"


def test_a_mistyped_path_is_no_case_for_a_backup(
    toml: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    missing, out = str(tmp_path / "bank.jsn"), str(tmp_path / "kit.json")
    options = ("--config", str(toml))
    pinned = ("--fingerprint", "00" * 32)
    assert run("coordinator", "admit", missing, *options, *pinned, "--out", out) == 2
    assert run("train", missing, *options) == 2
    for line in capsys.readouterr().err.splitlines()[-2:]:
        assert line.endswith(
            "bank.jsn: the file cannot be read: No such file or directory. "
            "Remedy: Check the path, the permissions of its folder and the disk."
        )


def test_a_fingerprint_that_is_not_hexadecimal_is_a_wrong_option(
    toml: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    card, kit = str(toml), str(toml.parent / "kit.json")
    options = ("--config", str(toml), "--out", kit, "--fingerprint", "12 zz")
    assert run("coordinator", "admit", card, *options) == 2
    assert "--fingerprint" in capsys.readouterr().err


def test_a_coordinator_that_does_not_run_is_to_be_started_by_what_can_be_typed(
    toml: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("coordinator", "status", "--config", str(toml), "--json") == 4
    told = json.loads(capsys.readouterr().err.splitlines()[-1])["error"]
    assert told["code"] == "unreachable"
    assert told["place"] == f"http://{config.read(toml).web.address}"
    assert f"veilscore coordinator run --config {toml}" in told["remedy"]


def test_the_doctor_ends_with_1_if_anything_is_wrong(
    toml: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config.read(toml).web.token_file.chmod(0o644)
    assert run("coordinator", "doctor", "--config", str(toml)) == 1
    lines = capsys.readouterr().out.splitlines()
    assert [line[0] for line in lines if "private files" in line] == ["✗"]
    assert [line[0] for line in lines if "keys and registry" in line] == ["✓"]
