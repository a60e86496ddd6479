"""``veilscore coordinator`` and ``train``: remedies that can be followed as typed."""

import json
from pathlib import Path

import pytest

from tests.unit.coordinator.test_cli import run
from tests.unit.coordinator.test_coordinator_doctor import free_ports
from veilscore.coordinator import config, folder
from veilscore.keys import files


@pytest.fixture
def toml(tmp_path: Path) -> Path:
    """Return the configuration of a new coordinator that does not run."""
    hub, flower, web = (str(port) for port in free_ports(3))
    ports = ("--hub-port", hub, "--flower-port", flower, "--web-port", web)
    assert run("coordinator", "init", str(tmp_path / "hub"), *ports) == 0
    return tmp_path / "hub" / "coordinator.toml"


@pytest.mark.parametrize(
    ("options", "what"),
    [
        (("--passphrase-file", "missing"), "missing: the file cannot be read"),
        (("--passphrase-file", "open"), "open: other users of this machine may read"),
        (("--passphrase-file", "empty"), "empty: the passphrase is empty"),
        (("--host", "not a host"), "not a host: nodes cannot dial this host"),
        (("--host", "300.1.2.3"), "300.1.2.3: nodes cannot dial this host"),
        (("--host", "hub.example:9443"), "9443: nodes cannot dial this host"),
        (("--host", "*"), "*: nodes cannot dial this host"),
        (("--hub-port", "0"), "--hub-port"),
    ],
)
def test_what_cannot_work_is_refused_before_the_folder_is_made(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    options: tuple[str, ...],
    what: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("open").write_text("a passphrase\n")
    Path("open").chmod(0o644)
    files.create(Path("empty"), b"\n")
    assert run("coordinator", "init", "hub", *options) == 2
    told = " ".join(capsys.readouterr().err.split())
    assert what in told
    if not what.startswith("--"):
        assert told.startswith("Error coordinator, ")
        assert "Remedy: " in told
    assert not Path("hub").exists()


@pytest.mark.parametrize("host", ["hub.example", "A-1", "192.0.2.7", "2001:db8::7"])
def test_a_new_coordinator_tells_its_fingerprint_as_json(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], host: str
) -> None:
    made = tmp_path / "hub"
    assert run("coordinator", "init", str(made), "--host", host, "--json") == 0
    settings = config.read(made / "coordinator.toml")
    fingerprint = folder.open_signer(settings).verify_key.fingerprint
    told = json.loads(capsys.readouterr().out)
    assert told == {"party": "coordinator", "fingerprint": fingerprint.hex()}
    assert settings.hub.host == host


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
    assert run("coordinator", "doctor", "--config", str(toml), "--json") == 1
    told = json.loads(capsys.readouterr().out)
    assert told["healthy"] is False
    checks = {check["check"]: check for check in told["checks"]}
    assert len(checks) == len(lines)
    assert checks["keys and registry"]["error"] is None
    assert checks["keys and registry"]["found"].startswith("registry version 1")
    assert checks["private files"]["error"] == {
        "code": "file",
        "what": "other users of this machine may read or write this file",
        "party": "coordinator",
        "place": str(toml.parent / "web.token"),
        "remedy": f"Run: chmod 600 {toml.parent / 'web.token'}",
    }
