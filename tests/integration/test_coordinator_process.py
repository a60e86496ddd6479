"""The coordinator as one process: what it answers, admits, refuses, leaves behind."""

import contextlib
import json
import os
import signal
import socket
import ssl
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.integration.coordinator_process import (
    Coordinator,
    Member,
    eventually,
    veilscore,
)
from veilscore.coordinator import folder
from veilscore.coordinator.relay import BEAT_S, HUNG, HUNG_S
from veilscore.coordinator.runs import RESTARTED
from veilscore.keys.tlog.checkpoint import open_checkpoint
from veilscore.keys.tlog.events import ActorHead, Detail, build_event, sign_event
from veilscore.keys.tlog.log_policy import LogPolicy
from veilscore.keys.tlog.note import NoteKey
from veilscore.keys.tlog.tlog_proof import TlogProof
from veilscore.node.errors import CoordinatorRefusedError
from veilscore.runtime.supervise import port_is_free
from veilscore.v1.audit_pb2 import PartyJoined, RunOpened, Started

CONTRACT = """
label_holder = "bank"
feature_holders = ["bureau"]
allow_two_party = true
"""


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Coordinator]:
    place = tmp_path_factory.mktemp("lab") / "coordinator"
    with Coordinator.create(place) as coordinator:
        coordinator.start()
        yield coordinator
        status, took = coordinator.stop()
        assert (status, took < 5) == (0, True)


@pytest.fixture(scope="module")
def bank(running: Coordinator) -> Member:
    return running.admit("bank")


@pytest.fixture(scope="module")
def bureau(running: Coordinator) -> Member:
    return running.admit("bureau")


def log_key(coordinator: Coordinator) -> NoteKey:
    key = folder.open_signer(coordinator.settings).verify_key
    assert key.fingerprint == coordinator.fingerprint
    return NoteKey(folder.origin(key), key)


def test_status_is_for_who_has_the_token(running: Coordinator) -> None:
    assert httpx.get(f"{running.pages}/livez").status_code == 200
    status = running.ask("GET", "/v1/status")
    assert status.status_code == 200
    assert status.json()["party"] == "coordinator"
    assert status.json()["reasons"] == []
    assert httpx.get(f"{running.pages}/v1/status").status_code == 401
    wrong = {"Authorization": "Bearer " + "x" * 43}
    assert httpx.get(f"{running.pages}/v1/runs", headers=wrong).status_code == 401


def test_the_log_verifies_and_begins_with_the_coordinator(
    running: Coordinator, tmp_path: Path
) -> None:
    note = httpx.get(f"{running.pages}/checkpoint").text
    assert open_checkpoint(note, log_key(running)).size >= 2
    joined, registry, started = running.events()[:3]
    assert joined.party_joined.party == joined.actor == "coordinator"
    assert joined.party_joined.fingerprint == running.fingerprint
    assert registry.registry_published.version == 1
    assert started.started.version
    assert started.started.certificate
    assert started.started.log_policy
    tar = tmp_path / "log.tar"
    fingerprint = running.fingerprint.hex()
    done = veilscore(
        "audit", "export", "--from", running.pages, "--out", tar,
        "--fingerprint", fingerprint,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout
    assert tar.exists()


def test_a_party_is_admitted_while_the_coordinator_runs(
    running: Coordinator, bank: Member
) -> None:
    started = time.monotonic()
    eventually(
        lambda: (
            httpx.get(f"{running.pages}/registry.json").content
            == running.settings.registry.read_bytes()
        )
    )
    assert time.monotonic() - started < 3
    joined = {event.party_joined.party for event in running.events("party_joined")}
    assert {"coordinator", "bank"} <= joined
    with bank.attached() as link:
        health = link.health()
        assert health.registry == running.settings.registry.read_bytes()
        assert health.attached == ["bank"]
        (node,) = running.ask("GET", "/v1/status").json()["nodes"][:1]
        assert (node["party"], node["attached"]) == ("bank", True)
    eventually(
        lambda: not running.ask("GET", "/v1/status").json()["nodes"][0]["attached"]
    )


def test_nodes_that_all_come_at_once_do_not_end_the_hub(
    running: Coordinator, bank: Member
) -> None:
    """Thirty-two connect again and again, as after a coordinator was suspended."""
    hub = running.settings.hub
    trust = ssl.create_default_context(cadata=bank.kit.authority.decode())
    trust.check_hostname = False

    def connect(times: int) -> None:
        for _ in range(times):
            with (
                contextlib.suppress(OSError),
                socket.create_connection((hub.host, hub.port), 20) as line,
                trust.wrap_socket(line),
            ):
                pass  # a handshake was all; that it shows no certificate is enough

    threads = [threading.Thread(target=connect, args=(60,)) for _ in range(32)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    with bank.attached() as link:
        assert link.health().attached == ["bank"]


def test_only_the_actor_itself_appends_its_events(
    running: Coordinator, bank: Member, bureau: Member
) -> None:
    def leaf(actor: Member, time_ms: int, said: Detail | None = None) -> bytes:
        event = build_event(
            said or Started(version="1"),
            actor=actor.name,
            head=ActorHead(),
            correlation="",
            time_ms=time_ms,
        )
        return sign_event(event, actor.signer).leaf

    now_ms = time.time_ns() // 1_000_000
    eventually(lambda: len(running.events("party_joined")) == 3)
    with bank.attached() as link:
        for bad in (
            *(leaf(bureau, now_ms), leaf(bank, now_ms + 3_600_000), b"\xff"),
            leaf(bank, now_ms, PartyJoined(party="coordinator")),  # not for it to say
            leaf(bank, now_ms, RunOpened()),
        ):
            with pytest.raises(CoordinatorRefusedError) as caught:
                link.append([bad])
            assert caught.value.reason == "append"
        good = leaf(bank, now_ms)
        (answer,) = link.append([good]).proofs
    proof = TlogProof(answer.index, tuple(answer.path), answer.checkpoint)
    assert proof.verify(good, log_key(running)).size == answer.index + 1
    policy = LogPolicy.parse(bank.kit.log_policy)
    assert policy.open(answer.checkpoint).size == answer.index + 1


def test_who_is_expelled_is_named_in_the_log(running: Coordinator) -> None:
    running.admit("leaver", flower=False)
    done = veilscore("coordinator", "expel", "leaver", "--config", running.toml)
    assert done.returncode == 0, done.stderr

    def named() -> bool:
        told = running.events("registry_published")
        return list(told[-1].registry_published.expelled) == ["leaver"]

    eventually(named)


def test_a_second_start_names_the_port_and_touches_nothing(
    running: Coordinator,
) -> None:
    size = len(running.events())
    done = veilscore("coordinator", "run", "--config", running.toml)
    assert done.returncode == 3
    assert done.stderr.startswith("Error")
    assert str(running.settings.hub.port) in done.stderr
    assert "Traceback" not in done.stderr
    assert len(running.events()) == size
    assert running.ready()


def test_the_commands_of_an_operator(
    running: Coordinator, bank: Member, bureau: Member
) -> None:
    del bank, bureau
    done = veilscore("coordinator", "status", "--config", running.toml, "--json")
    names = [node["party"] for node in json.loads(done.stdout)["nodes"]]
    assert set(names) == {"bank", "bureau"}
    shown = veilscore("coordinator", "status", "--config", running.toml)
    assert "bureau" in shown.stdout
    healthy = veilscore("coordinator", "doctor", "--config", running.toml)
    assert "✓ ports: all answer" in healthy.stdout
    assert "✓ audit log" in healthy.stdout


def test_a_contract_that_is_wrong_reaches_nobody(
    running: Coordinator, bank: Member, bureau: Member, tmp_path: Path
) -> None:
    del bank, bureau
    size = len(running.events())
    answer = running.ask("POST", "/v1/runs", CONTRACT + "min_count = 0\n")
    assert answer.status_code == 422
    assert answer.json()["code"] == "contract"
    assert "`min_count`" in answer.json()["detail"]
    assert "/" not in answer.text.replace("\\n", "")  # no path of this machine
    path = tmp_path / "CONTRACT.toml"
    path.write_text(CONTRACT + "ridge = 0\n")
    done = veilscore("train", path, "--config", running.toml)
    assert done.returncode == 2
    assert str(path) in done.stderr
    assert "`ridge`" in done.stderr
    assert len(running.events()) == size


def test_training_without_nodes_ends_with_their_names(
    running: Coordinator, bank: Member, bureau: Member, tmp_path: Path
) -> None:
    del bureau
    path = tmp_path / "CONTRACT.toml"
    path.write_text(CONTRACT)
    with bank.attached():
        done = veilscore("train", path, "--config", running.toml)
    assert done.returncode == 8
    assert "Error bureau: not connected to the coordinator" in done.stderr
    done = veilscore("train", path, "--config", running.toml, "--json")
    assert done.returncode == 8
    view = json.loads(done.stdout)
    assert (view["phase"], view["stopped_by"]) == ("stopped", "bank, bureau")
    opened = running.events("run_opened")[-1]
    closed = running.events("run_closed")[-1]
    assert opened.correlation == closed.correlation == view["run"]
    assert opened.run_opened.contract.hex() == view["contract"]
    assert (closed.run_closed.completed, closed.run_closed.reason) == (False, "absent")
    assert running.ask("DELETE", f"/v1/runs/{view['run']}").status_code == 409


def test_a_run_ends_when_a_party_is_lost(
    running: Coordinator, bank: Member, bureau: Member, tmp_path: Path
) -> None:
    """The SuperNodes are not there, so the run waits in its first step."""
    path = tmp_path / "CONTRACT.toml"
    path.write_text(CONTRACT)
    with bank.attached():
        with bureau.attached():
            done = veilscore("train", path, "--config", running.toml, "--no-wait")
            run = done.stdout.strip()
            eventually(lambda: running.view(run)["step"] == "join")
        eventually(lambda: running.view(run)["ended_ms"], 5)
        view = running.view(run)
    assert view["stopped_by"] == "bureau"
    assert running.events("run_closed")[-1].run_closed.party == "bureau"


def test_a_coordinator_that_was_paused_blames_no_party(
    running: Coordinator, bank: Member
) -> None:
    assert running.process is not None
    with bank.attached():
        said = len(running.log_file.read_text())
        os.kill(running.process.pid, signal.SIGSTOP)
        time.sleep(HUNG_S + BEAT_S)
        os.kill(running.process.pid, signal.SIGCONT)
        time.sleep(BEAT_S + 1)
        assert HUNG not in running.log_file.read_text()[said:]


def test_killed_in_the_middle_of_a_run_and_started_again(tmp_path: Path) -> None:
    with Coordinator.create(tmp_path / "coordinator") as coordinator:
        members = [coordinator.admit(name) for name in ("bank", "bureau")]
        coordinator.start()
        with members[0].attached(), members[1].attached():
            run = coordinator.ask("POST", "/v1/runs", CONTRACT).json()["run"]
            eventually(lambda: coordinator.view(run)["step"] == "join")
            size = len(coordinator.events())
            coordinator.stop(signal.SIGKILL)
        for listen in (
            coordinator.settings.hub,
            coordinator.settings.flower,
            coordinator.settings.web,
        ):
            port_is_free(listen.host, listen.port)

        coordinator.start()
        view = coordinator.view(run)
        assert (view["phase"], view["reason"]) == ("stopped", RESTARTED)
        later = coordinator.events()[size:]
        kinds = [event.WhichOneof("detail") for event in later]
        assert kinds == ["started", "run_closed"]
        assert later[1].run_closed.reason == RESTARTED
        status, took = coordinator.stop(signal.SIGINT)
        assert (status, took < 5) == (0, True)
        assert not list(coordinator.folder.rglob("secrets"))


def test_stopped_while_flower_makes_its_database_and_started_again(
    tmp_path: Path,
) -> None:
    with Coordinator.create(tmp_path / "coordinator") as coordinator:
        database = coordinator.settings.state / "flower" / "superlink.db"
        coordinator.spawn()
        eventually(database.exists)
        coordinator.stop()
        coordinator.start()
        coordinator.stop()


def test_a_database_of_flower_that_is_damaged_is_named(tmp_path: Path) -> None:
    with Coordinator.create(tmp_path / "coordinator") as coordinator:
        coordinator.start()
        coordinator.stop()
        flower = coordinator.settings.state / "flower"
        for file in flower.glob("superlink.db*"):
            file.unlink()
        database = flower / "superlink.db"
        database.write_bytes(b"not a database, though it is long enough" * 100)

        coordinator.spawn()
        eventually(lambda: "SuperLink ended (1)" in str(coordinator.why_not_ready()))
        (said,) = coordinator.why_not_ready()
        assert "flower/superlink.log in the coordinator's state folder" in said
        assert "file is not a database" in (flower / "superlink.log").read_text()

        database.unlink()  # it holds nothing that the next start does not write again
        eventually(coordinator.ready)
        coordinator.stop()
