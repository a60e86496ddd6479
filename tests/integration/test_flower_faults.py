"""Killed processes, unknown keys and taken ports under real Flower."""

import contextlib
import os
import signal
import socket
import sqlite3
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from flwr.proto.message_pb2 import PullObjectRequest, PullObjectResponse
from flwr.supercore.runtime import RuntimeHttpClient

from tests.integration.flower_lab import (
    BUSY,
    HOST,
    NAMES,
    Lab,
    eventually,
    free_port,
    running_lab,
)
from veilscore.coordinator.fleet import Fleet, StepReply
from veilscore.keys.certificates import FlowerKey
from veilscore.node.supernode import SuperNode, SuperNodeConfig
from veilscore.runtime.errors import ConfigError, PortInUseError
from veilscore.runtime.supervise import port_is_free


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    with running_lab(tmp_path_factory.mktemp("lab")) as lab:
        yield lab


def test_a_killed_supernode_comes_back(lab: Lab) -> None:
    node = lab.nodes["bank"]
    first = node.process.pid
    assert first
    eventually(lambda: "SuperNode ID" in last_log(node.state / "flower"))
    os.kill(first, signal.SIGKILL)
    eventually(lambda: node.process.pid not in (None, first))
    assert node.deaths == [-signal.SIGKILL]
    eventually(lambda: "SuperNode ID" in last_log(node.state / "flower"))
    reply = lab.call("after", "counts", {"bank": b"again"})["bank"]
    assert reply.payload == b"counts:again"


def last_log(home: Path) -> str:
    """What the SuperNode wrote since its last start."""
    return (home / "supernode.log").read_text().rsplit("Starting Flower", 1)[-1]


def test_a_killed_superlink_comes_back_in_the_middle_of_a_step(lab: Lab) -> None:
    first = lab.superlink.pid
    assert first
    replies: dict[str, StepReply] = {}
    BUSY.clear()

    def kill_when_busy() -> None:
        BUSY.wait(30)
        os.kill(first, signal.SIGKILL)

    def director(fleet: Fleet) -> None:
        # The handlers take 2 s: their answers find no SuperLink.
        threading.Thread(target=kill_when_busy).start()
        replies.update(fleet.call("hang", dict.fromkeys(NAMES, b"on"), timeout_s=50))

    lab.lead("survivor", director)
    assert [reply.payload for reply in replies.values()] == [b"hang:on"] * 2
    assert lab.deaths == [-signal.SIGKILL]


def test_a_reply_that_was_handed_out_is_fetched_when_the_superlink_is_back(
    lab: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Killed after Flower forgot whom the reply is for, before its parts are here."""
    fetch = RuntimeHttpClient.PullObject
    killed: list[int] = []

    def kill_first(
        self: RuntimeHttpClient, request: PullObjectRequest
    ) -> PullObjectResponse:
        if not killed and vars(self)["_base_url"] == f"https://{HOST}:{lab.port}":
            assert lab.superlink.pid
            killed.append(lab.superlink.pid)
            os.kill(killed[0], signal.SIGKILL)
        return fetch(self, request)

    monkeypatch.setattr(RuntimeHttpClient, "PullObject", kill_first)
    replies = lab.call("fetched", "counts", dict.fromkeys(NAMES, b"on"))
    assert [reply.payload for reply in replies.values()] == [b"counts:on"] * 2
    assert killed
    assert lab.superlink.pid not in {None, *killed}


def test_a_reply_that_the_superlink_could_not_store_is_sent_again(lab: Lab) -> None:
    """Its database refuses replies for a while, as a full disk does."""
    home = lab.state / "flower"
    log = home / "superlink.log"
    replies: dict[str, StepReply] = {}

    def execute(statement: str) -> None:
        with contextlib.closing(sqlite3.connect(home / "superlink.db")) as database:
            database.execute(statement)

    def accept_again() -> None:
        eventually(lambda: log.read_text().count("no such table") >= len(NAMES))
        execute("DROP TRIGGER refuse")

    def director(fleet: Fleet) -> None:
        replies.update(fleet.call("counts", dict.fromkeys(NAMES, b"on"), 50))

    execute(
        "CREATE TRIGGER refuse BEFORE INSERT ON message_res "
        "BEGIN INSERT INTO missing VALUES (1); END"
    )
    accepting = threading.Thread(target=accept_again)
    accepting.start()
    lab.lead("refused", director)
    accepting.join()
    assert [reply.payload for reply in replies.values()] == [b"counts:on"] * 2


def test_an_unregistered_key_stays_outside(lab: Lab, tmp_path: Path) -> None:
    deaths: list[int] = []
    stranger = SuperNode(
        SuperNodeConfig(f"{HOST}:{lab.port}", free_port(), tmp_path),
        flower_key=FlowerKey.generate().private_openssh(),
        ca_certificates=lab.authority,
        on_death=deaths.append,
    )
    stranger.start()
    stranger.go()
    eventually(lambda: deaths)
    stranger.stop()
    assert "Failed to activate" in (tmp_path / "flower" / "supernode.log").read_text()


def test_a_port_that_is_taken_is_named_before_anything_starts(tmp_path: Path) -> None:
    with socket.socket() as other:
        other.bind((HOST, 0))
        other.listen()
        port: int = other.getsockname()[1]
        node = SuperNode(
            SuperNodeConfig(f"{HOST}:1", port, tmp_path),
            flower_key=b"",
            ca_certificates=b"",
            on_death=lambda _status: None,
        )
        with pytest.raises(PortInUseError, match=str(port)) as caught:
            node.start()
        node.stop()
    assert not list(tmp_path.rglob("secrets"))
    assert str(port) in caught.value.remedy
    port_is_free(HOST, port)


def test_an_address_of_another_machine_is_a_mistake_in_the_configuration() -> None:
    with pytest.raises(ConfigError, match=r"192\.0\.2\.1"):
        port_is_free("192.0.2.1", 9)
