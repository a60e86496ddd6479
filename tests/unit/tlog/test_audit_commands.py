"""``veilscore audit``: what an auditor sees, and the exit codes."""

import json
import warnings
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import Result

from tests.unit.tlog.sample_log import SampleLog
from tests.unit.tlog.serving import ExportWeb
from veilscore.keys.errors import FileError, LogStoreError, ProofError
from veilscore.runtime.errors import UnreachableError, WireError

with warnings.catch_warnings():
    # typer 0.20, the newest that flwr 1.41 allows, imports what click 8.5 deprecates.
    warnings.simplefilter("ignore", DeprecationWarning)
    from typer.testing import CliRunner

    from veilscore.runtime.audit.commands import app


@pytest.fixture
def export(log: SampleLog, tmp_path: Path) -> Path:
    log.announce()
    log.fill(100, "bank", "bureau", "market")
    return log.export(tmp_path / "export.tar")


def run(*arguments: object) -> Result:
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def pinned(log: SampleLog) -> tuple[str, str]:
    return "--fingerprint", log.parties.fingerprint.hex()


def tamper(export: Path) -> None:
    """Change one byte of the first event of the bank."""
    data = export.read_bytes()
    at = data.index(b"\x12\x04bank") + 2
    export.write_bytes(data[:at] + b"B" + data[at + 1 :])


def test_every_step_is_ticked(export: Path, log: SampleLog) -> None:
    result = run("verify", export, *pinned(log))
    assert result.exit_code == 0
    lines = result.stdout.splitlines()
    assert [line for line in lines if line.startswith("✓")] == [
        "✓ log key",
        "✓ checkpoint",
        "✓ files",
        "✓ entries and tiles",
        "✓ root",
        "✓ registry",
        "✓ event signatures",
        "✓ actor chains",
        "✓ registered keys",
    ]
    assert "hub.example/log: 304 entries" in result.stdout
    assert "  bank: 100 events" in lines
    assert "✗" not in result.stdout


def test_a_missing_fingerprint_is_remarked(export: Path) -> None:
    result = run("verify", export)
    assert result.exit_code == 0
    assert "! no fingerprint was given" in result.stdout


def test_the_failing_step_is_named_and_ends_with_7(
    export: Path, log: SampleLog
) -> None:
    tamper(export)
    result = run("verify", export, *pinned(log))
    assert result.exit_code == 7
    assert "✓ files" in result.stdout
    assert "✗ entries and tiles" in result.stdout
    assert "tile/0/000" in result.stdout
    assert "Remedy: Keep the export as evidence" in " ".join(result.stdout.split())


def test_json_says_the_same(export: Path, log: SampleLog) -> None:
    result = run("verify", export, *pinned(log), "--json")
    report = json.loads(result.stdout)
    assert result.exit_code == 0
    assert report["verified"] is True
    assert report["size"] == 304
    assert report["actors"]["bank"] == 100
    tamper(export)
    result = run("verify", export, *pinned(log), "--json")
    assert result.exit_code == 7
    failure = json.loads(result.stdout)
    assert failure["verified"] is False
    assert failure["step"] == "entries and tiles"


def test_an_older_checkpoint_is_compared(
    export: Path, log: SampleLog, tmp_path: Path
) -> None:
    older = tmp_path / "older"
    older.write_text(log.store.receipt(3).checkpoint)
    result = run("verify", export, "--checkpoint", older, *pinned(log))
    assert result.exit_code == 0
    assert "✓ older checkpoint" in result.stdout
    log.fill(1, "bank")
    older.write_text(log.store.checkpoint())
    result = run("verify", export, "--checkpoint", older, *pinned(log))
    assert result.exit_code == 7
    assert "✗ older checkpoint" in result.stdout
    assert "shrank from 305 to 304" in result.stdout


def test_a_wrong_fingerprint_fails_and_a_malformed_one_is_a_mistake(
    export: Path,
) -> None:
    assert run("verify", export, "--fingerprint", "00" * 32).exit_code == 7
    for text in ("zz" * 32, "00" * 31):
        result = run("verify", export, "--fingerprint", text)
        assert result.exit_code == 2
        assert "64 hexadecimal digits" in result.output


def test_a_missing_file_is_a_fault_with_a_place(tmp_path: Path, export: Path) -> None:
    result = run("verify", tmp_path / "none.tar")
    assert isinstance(result.exception, LogStoreError)
    result = run("verify", export, "--checkpoint", tmp_path / "none")
    assert isinstance(result.exception, FileError)
    assert result.exception.place == str(tmp_path / "none")


@pytest.fixture
def web(
    export: Path, log: SampleLog, monkeypatch: pytest.MonkeyPatch
) -> Iterator[ExportWeb]:
    assert export.is_file()  # the log is filled
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    with ExportWeb(log.files()) as web:
        yield web


def test_a_log_is_fetched_and_verified(
    web: ExportWeb, export: Path, log: SampleLog, tmp_path: Path
) -> None:
    out = tmp_path / "fetched.tar"
    result = run("export", "--from", web.url + "/", "--out", out, *pinned(log))
    assert result.exit_code == 0, result.output
    assert "✓ registered keys" in result.stdout
    assert out.read_bytes() == export.read_bytes()
    assert not list(tmp_path.glob("*.unverified"))


def test_a_fetched_log_is_told_as_json(
    web: ExportWeb, log: SampleLog, tmp_path: Path
) -> None:
    out = tmp_path / "fetched.tar"
    options = ("--out", out, *pinned(log), "--json")
    result = run("export", "--from", web.url, *options)
    assert result.exit_code == 0, result.output
    assert json.loads(result.stdout) == json.loads(
        run("verify", out, *pinned(log), "--json").stdout
    )
    out.unlink()
    web.files["tile/entries/000"] = web.files["tile/entries/000"][:-1] + b"!"
    result = run("export", "--from", web.url, *options)
    assert result.exit_code == 7
    assert json.loads(result.stdout)["verified"] is False
    assert not out.exists()


def test_a_log_that_does_not_verify_is_kept_under_another_name(
    web: ExportWeb, log: SampleLog, tmp_path: Path
) -> None:
    bundle = bytearray(web.files["tile/entries/000"])
    bundle[500] ^= 1
    web.files["tile/entries/000"] = bytes(bundle)
    out = tmp_path / "fetched.tar"
    result = run("export", "--from", web.url, "--out", out, *pinned(log))
    assert result.exit_code == 7
    assert "✗ entries and tiles" in result.stdout
    assert not out.exists()
    assert (tmp_path / "fetched.tar.unverified").exists()


def test_a_checkpoint_of_another_key_stops_the_fetching(
    web: ExportWeb, tmp_path: Path
) -> None:
    web.files["checkpoint"] = b"not a checkpoint"
    result = run("export", "--from", web.url, "--out", tmp_path / "fetched.tar")
    assert isinstance(result.exception, ProofError)


def test_a_file_that_is_not_served_is_named(web: ExportWeb, tmp_path: Path) -> None:
    del web.files["tile/0/001.p/48"]
    result = run("export", "--from", web.url, "--out", tmp_path / "fetched.tar")
    assert isinstance(result.exception, WireError)
    assert result.exception.place == f"{web.url}/tile/0/001.p/48"
    assert "404" in result.exception.what


@pytest.mark.parametrize("url", ["http://127.0.0.1:1", "no-scheme", "http://[", ""])
def test_a_coordinator_that_does_not_answer_is_a_fault(
    url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    result = run("export", "--from", url, "--out", tmp_path / "fetched.tar")
    assert isinstance(result.exception, UnreachableError)


def test_an_existing_file_is_not_overwritten(export: Path) -> None:
    before = export.read_bytes()
    result = run("export", "--from", "http://127.0.0.1:1", "--out", export)
    assert result.exit_code == 2
    assert "exists already" in " ".join(result.output.split())
    assert export.read_bytes() == before
