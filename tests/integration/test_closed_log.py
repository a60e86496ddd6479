"""A log for parties and auditors only, read and refused by the commands of a host."""

import itertools
import json
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.integration.coordinator_process import Coordinator, eventually, veilscore


@pytest.fixture(scope="module")
def closed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Coordinator]:
    place = tmp_path_factory.mktemp("closed") / "coordinator"
    with Coordinator.create(place) as coordinator:
        coordinator.close_log()
        coordinator.start()
        yield coordinator
        assert coordinator.stop()[0] == 0


def done(*words: str | Path) -> str:
    """Return what a command prints that must succeed."""
    ended = veilscore(*words)
    assert ended.returncode == 0, (words, ended.stdout, ended.stderr)
    return ended.stdout


def refused(*words: str | Path, code: int = 6) -> str:
    ended = veilscore(*words)
    assert ended.returncode == code, (words, ended.stdout, ended.stderr)
    return " ".join(ended.stderr.split())


def enroll(closed: Coordinator, own: Path) -> None:
    """Become an auditor as deploy/README.md says."""
    made = json.loads(done("audit", "enroll", own, "--name", own.name, "--json"))
    kit = own.with_name(f"{own.name}.kit.json")
    card = ("coordinator", "admit", own / "card.json")
    told = ("--fingerprint", made["fingerprint"])
    done(*card, *told, "--config", closed.toml, "--out", kit)
    pinned = ("--fingerprint", closed.fingerprint.hex())
    joined = done("audit", "join", kit, "--as", own, *pinned)
    assert f"Joined as {own.name}." in joined


def test_an_auditor_is_admitted_reads_proves_and_is_expelled(
    closed: Coordinator, tmp_path: Path
) -> None:
    own = tmp_path / "audit-office"
    enroll(closed, own)
    out = tmp_path / "log.tar"
    export = ("audit", "export", "--from", closed.pages, "--as", own)
    # The running coordinator takes the new registry within a second.
    eventually(lambda: veilscore(*export, "--out", out).returncode == 0, 20)
    policy = ("--policy", own / "log-policy.txt")
    assert "party_joined" in done("audit", "search", out)
    done("audit", "verify", out, *policy)
    proof = tmp_path / "0.tlog-proof"
    prove = ("audit", "prove", "--from", closed.pages, "--index", "0")
    done(*prove, "--out", proof, "--as", own)
    done("audit", "verify", proof, "--leaf", proof.with_suffix(".entry"), *policy)

    nobody = refused(*prove, "--out", tmp_path / "no", code=4)
    assert "CERTIFICATE_VERIFY_FAILED" in nobody
    authority = str(closed.settings.authority)
    told = veilscore(*prove, "--out", tmp_path / "no", SSL_CERT_FILE=authority)
    assert told.returncode == 6
    assert "no certificate was shown" in " ".join(told.stderr.split())

    done("coordinator", "expel", own.name, "--config", closed.toml)
    tries = (tmp_path / f"try-{number}" for number in itertools.count())
    eventually(
        lambda: veilscore(*prove, "--out", next(tries), "--as", own).returncode == 6,
        20,
    )
    why = refused(*export, "--out", tmp_path / "late.tar")
    assert f"{own.name} was expelled and has no role any more" in why


def test_the_operator_commands_go_on_working(closed: Coordinator) -> None:
    status = done("coordinator", "status", "--config", closed.toml, "--json")
    assert json.loads(status)["party"] == "coordinator"
    no_such_run = ("coordinator", "stop", "0" * 32, "--config", closed.toml)
    assert "no such run" in refused(*no_such_run, code=1)
    with httpx.Client(base_url=closed.pages, verify=closed.trust) as stranger:
        assert stranger.get("/").status_code == 401
        assert stranger.get("/v1/status").status_code == 401
    with pytest.raises(httpx.RemoteProtocolError):
        httpx.get(closed.pages.replace("https", "http"))
