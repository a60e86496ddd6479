"""Coordinator and two nodes on loopback, with real Flower processes and TLS."""

import os
import signal
import socket
import ssl
import threading
import time
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import psutil
import pytest
from flwr.app import Message, RecordDict
from flwr.cli.build import build_fab_from_files
from flwr.proto.control_pb2 import ListNodesRequest
from flwr.proto.runtime_pb2 import AcquireTaskRequest
from flwr.serverapp import Grid

from veilscore.coordinator import server_app
from veilscore.coordinator.errors import RunError
from veilscore.coordinator.fleet import Fleet, StepReply
from veilscore.coordinator.superlink import SuperLink, SuperLinkConfig
from veilscore.keys.authority import DevelopmentAuthority
from veilscore.keys.certificates import FlowerKey, TlsKey
from veilscore.node.errors import RefusedError
from veilscore.node.executor import Executor
from veilscore.node.supernode import SuperNode, SuperNodeConfig
from veilscore.runtime.errors import ConfigError, FlowerError, PortInUseError
from veilscore.runtime.flower.control import Control
from veilscore.runtime.flower.endpoint import Endpoint, RuntimeClient
from veilscore.runtime.flower.tasks import TaskRecord
from veilscore.runtime.flower.thin_app import thin_app
from veilscore.runtime.supervise import port_is_free

HOST = "127.0.0.1"
NAMES = ("bank", "bureau")

# What a stock node would install and execute: it reads a file of the node's.
STEAL = """
from pathlib import Path
from flwr.app import ConfigRecord, Message, RecordDict
from flwr.clientapp import ClientApp
from flwr.serverapp import ServerApp

Path({marker!r}).write_text("executed")
app = ClientApp()
server = ServerApp()

@app.query("step")
@app.query("steal")
def step(message, context):
    loot = Path({secret!r}).read_bytes()
    return Message(RecordDict({{"reply": ConfigRecord({{"payload": loot}})}}),
                   reply_to=message)
"""
STEAL_MANIFEST = """
[project]
name = "steal"
version = "1.0.0"
description = "x"
license = "MIT"
[tool.flwr.app]
publisher = "x"
[tool.flwr.app.components]
serverapp = "steal:server"
clientapp = "steal:app"
[tool.flwr.app.config]
run = ""
"""


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        port: int = probe.getsockname()[1]
        return port


def eventually(condition: Callable[[], object], seconds: float = 30.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "did not happen"
        time.sleep(0.05)


@dataclass
class Node:
    key: FlowerKey
    process: SuperNode
    executor: Executor
    deaths: list[int]
    audit: list[TaskRecord]
    state: Path


@dataclass
class Lab:
    superlink: SuperLink
    port: int
    authority: bytes
    state: Path
    deaths: list[int]
    nodes: dict[str, Node] = field(default_factory=dict[str, Node])

    def lead(
        self, run: str, director: Callable[[Fleet], None], app: bytes | None = None
    ) -> int:
        """Run ``director`` to its end; return Flower's id of the run."""
        ended = threading.Event()

        def led(fleet: Fleet) -> None:
            try:
                director(fleet)
            finally:
                ended.set()

        server_app.DIRECTORS[run] = led
        if app is None:
            run_id = self.superlink.start_run(run)
        else:
            control = Control(self.endpoint, self.token)
            run_id = control.start_run(run, app)
            control.close()
        assert ended.wait(60)
        eventually(lambda: self.superlink.run_status(run_id).status == "finished")
        return run_id

    def call(
        self, run: str, step: str, payloads: Mapping[str, bytes]
    ) -> dict[str, StepReply]:
        """Make one run of one step."""
        replies: dict[str, StepReply] = {}

        def director(fleet: Fleet) -> None:
            replies.update(fleet.call(step, payloads, timeout_s=40))

        self.lead(run, director)
        return replies

    @property
    def endpoint(self) -> Endpoint:
        return Endpoint(f"{HOST}:{self.port}", self.authority)

    @property
    def token(self) -> str:
        return (self.state / "flower" / "secrets" / "control.token").read_text()


def handle(run: str, step: str, payload: bytes, message_id: str) -> bytes:
    assert run
    assert len(message_id) == 64
    if step == "refuse":
        raise RefusedError("this run is not approved", place="/srv/secret")
    if step == "break":
        raise ValueError("91110000600037341L")
    if step == "hang":
        time.sleep(2)
    return step.encode() + b":" + payload


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    state = tmp_path_factory.mktemp("lab")
    now = time.time()
    authority = DevelopmentAuthority.create("lab", now, 30)
    tls = TlsKey.generate()
    step_done = threading.Event()
    deaths: list[int] = []

    def wake(run: str, parties: Collection[str], step: str) -> None:
        assert run
        assert step
        for party in parties:
            lab.nodes[party].process.poke()
            lab.nodes[party].executor.poke()

    def handler(run: str, step: str, payload: bytes, message_id: str) -> bytes:
        try:
            return handle(run, step, payload, message_id)
        finally:
            step_done.set()

    port = free_port()
    superlink = SuperLink(
        SuperLinkConfig(HOST, port, state / "coordinator"),
        ca_certificates=authority.certificate_pem,
        certificate=authority.issue(
            tls.request("coordinator"), "coordinator", now, 20, [HOST]
        ),
        private_key=tls.private_pem(),
        wake=wake,
        step_done=step_done,
        on_death=deaths.append,
    )
    lab = Lab(superlink, port, authority.certificate_pem, state / "coordinator", deaths)
    superlink.start()
    for name in NAMES:
        key, fallen = FlowerKey.generate(), list[int]()
        process = SuperNode(
            SuperNodeConfig(f"{HOST}:{port}", free_port(), state / name),
            flower_key=key.private_openssh(),
            ca_certificates=authority.certificate_pem,
            on_death=fallen.append,
        )
        audit: list[TaskRecord] = []
        executor = Executor(process.api, handler, audit.append)
        lab.nodes[name] = Node(key, process, executor, fallen, audit, state / name)
        process.start()
        executor.start()
    superlink.wait_until_healthy(60)
    for name, node in lab.nodes.items():
        superlink.register_node(name, node.key.public_pem())
        node.process.go()
    eventually(lambda: superlink.online() == set(NAMES))
    yield lab
    children = psutil.Process().children(recursive=True)
    for node in lab.nodes.values():
        node.executor.stop(1)
        node.process.stop()
    superlink.stop()
    assert not [child for child in children if child.is_running()]
    assert not list(state.rglob("secrets"))
    for used in (port, *(n.process.port for n in lab.nodes.values())):
        port_is_free(HOST, used)


def test_a_step_reaches_the_named_nodes_and_their_answers_come_back(lab: Lab) -> None:
    payloads = {"bank": b"\x00one", "bureau": b"\xfftwo"}
    replies = lab.call("echo", "counts", payloads)
    assert {name: reply.payload for name, reply in replies.items()} == {
        "bank": b"counts:\x00one",
        "bureau": b"counts:\xfftwo",
    }
    assert lab.call("one", "counts", {"bureau": b""}).keys() == {"bureau"}


def test_both_sides_log_the_same_message(lab: Lab) -> None:
    reply = lab.call("audited", "counts", {"bank": b""})["bank"]
    record = lab.nodes["bank"].audit[-1]
    assert record.message_id == reply.message_id
    assert (record.message_type, record.status) == ("query.step", "completed")
    assert len(record.app_sha256) == 64


def test_a_refusal_says_its_sentence_and_a_bug_its_type(lab: Lab) -> None:
    refused = lab.call("refused", "refuse", {"bank": b""})["bank"]
    assert (refused.ok, refused.code, refused.reason) == (
        False,
        "refused",
        "this run is not approved",
    )
    broken = lab.call("broken", "break", {"bank": b""})["bank"]
    assert (broken.ok, broken.code, broken.reason) == (False, "internal", "ValueError")


def test_an_error_of_the_director_marks_the_run_as_failed(lab: Lab) -> None:
    def director(fleet: Fleet) -> None:
        raise RunError("two holders disagree", party=fleet.parties()[0])

    status = lab.superlink.run_status(lab.lead("failing", director))
    assert (status.status, status.sub_status) == ("finished", "failed")
    assert "two holders disagree" in status.details


def test_shipped_code_runs_nowhere(
    lab: Lab, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    marker, secret = tmp_path / "marker", tmp_path / "data.csv"
    secret.write_text("the node's data")
    attack = STEAL.format(marker=str(marker), secret=str(secret))
    with pytest.warns(DeprecationWarning, match="GitWildMatchPattern"):
        app, _ = build_fab_from_files(
            {"pyproject.toml": STEAL_MANIFEST.encode(), "steal.py": attack.encode()}
        )
    grids: list[Grid] = []
    fleet_of = server_app.FLEET_OF
    assert fleet_of

    def keep(grid: Grid, run: str) -> Fleet:
        grids.append(grid)
        return fleet_of(grid, run)

    monkeypatch.setattr(server_app, "FLEET_OF", keep)
    replies: dict[str, StepReply] = {}
    stolen: list[Message] = []

    def director(fleet: Fleet) -> None:
        replies.update(fleet.call("counts", {"bank": b"mine"}, timeout_s=40))
        node_id = lab.superlink.node_ids()["bank"]
        ids = list(
            grids[0].push_messages([Message(RecordDict(), node_id, "query.steal")])
        )
        lab.nodes["bank"].process.poke()
        lab.nodes["bank"].executor.poke()
        while not stolen:
            stolen.extend(grids[0].pull_messages(ids))
            time.sleep(0.2)

    lab.lead("attack", director, app)
    assert replies["bank"].payload == b"counts:mine"  # by the installed handler
    assert stolen[0].error.reason == "ValueError"  # there is no such handler
    assert not marker.exists()
    homes = [node.state / "flower" for node in lab.nodes.values()]
    for home in (*homes, lab.state / "flower"):
        assert home.is_dir()
        assert not (home / "apps").exists()
    record = lab.nodes["bank"].audit[-1]
    assert (record.status, record.details) == ("failed", "ValueError")
    assert record.app_sha256 != lab.nodes["bank"].audit[0].app_sha256


def test_control_needs_the_token(lab: Lab) -> None:
    stranger = Control(lab.endpoint, "guess")
    for call in (
        stranger.nodes,
        lambda: stranger.start_run("x", thin_app()),
        lambda: stranger.register("rogue", FlowerKey.generate().public_pem()),
    ):
        with pytest.raises(FlowerError, match="HTTP 403"):
            call()
    stranger.close()
    tls = ssl.create_default_context(cadata=lab.authority.decode())
    with httpx.Client(base_url=f"https://{HOST}:{lab.port}", verify=tls) as client:
        body = ListNodesRequest().SerializeToString()
        path = "/v1/control/list-nodes"
        assert client.post(path, content=body).status_code == 403
        assert client.get("/docs").status_code == 403
        assert client.get("/openapi.json").status_code == 403
        assert client.post("/v1/responses").status_code == 403


@pytest.mark.parametrize("where", ["coordinator", "bank"])
def test_tasks_need_the_secret(lab: Lab, where: str) -> None:
    api = lab.nodes["bank"].process.api
    endpoint = lab.endpoint if where == "coordinator" else api.endpoint
    thief = RuntimeClient(endpoint, [])
    request = AcquireTaskRequest(supported_task_types=["flwr-serverapp"])
    with pytest.raises(httpx.HTTPStatusError) as caught:
        thief.AcquireTask(request)
    assert caught.value.response.status_code == 401
    thief.close()


def test_a_key_keeps_its_id_and_a_name_has_one_key(lab: Lab) -> None:
    ids = lab.superlink.node_ids()
    key = lab.nodes["bank"].key.public_pem()
    assert lab.superlink.register_node("bank", key) == ids["bank"]
    first = FlowerKey.generate().public_pem()
    old = lab.superlink.register_node("guest", first)
    new = lab.superlink.register_node("guest", FlowerKey.generate().public_pem())
    assert len({old, new, *ids.values()}) == 4
    assert lab.superlink.node_ids()["guest"] == new
    with pytest.raises(FlowerError, match="[Kk]ey already in use"):
        lab.superlink.register_node("guest", first)
    lab.superlink.unregister("guest")
    assert lab.superlink.node_ids() == ids


def test_abort_and_stop_end_a_call_at_once(lab: Lab) -> None:
    ended: list[tuple[str, float]] = []

    def director(fleet: Fleet) -> None:
        threading.Timer(0.5, fleet.abort, ["bureau is gone"]).start()
        started = time.monotonic()
        try:
            fleet.call("hang", {"bank": b""}, timeout_s=30)
        except RunError as error:
            ended.append((error.what, time.monotonic() - started))
            raise

    lab.lead("aborted", director)
    assert ended[0][0] == "bureau is gone"
    assert ended[0][1] < 2


def test_a_stopped_run_ends_its_director(lab: Lab) -> None:
    ended: list[str] = []
    begun, over = threading.Event(), threading.Event()

    def director(fleet: Fleet) -> None:
        begun.set()
        try:
            fleet.call("hang", {"bank": b""}, timeout_s=30)
        except RunError as error:
            ended.append(error.what)
        over.set()

    server_app.DIRECTORS["stopped"] = director
    run_id = lab.superlink.start_run("stopped")
    assert begun.wait(10)
    time.sleep(0.3)
    lab.superlink.stop_run(run_id)
    assert over.wait(10)
    assert ended == ["the run was stopped"]
    assert lab.superlink.run_status(run_id).sub_status == "stopped"


def test_a_killed_supernode_comes_back(lab: Lab) -> None:
    node = lab.nodes["bank"]
    first = node.process.pid
    assert first
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

    def director(fleet: Fleet) -> None:
        os.kill(first, signal.SIGKILL)
        eventually(lambda: lab.superlink.pid not in (None, first))
        lab.superlink.wait_until_healthy(60)
        replies.update(
            fleet.call("counts", dict.fromkeys(NAMES, b"again"), timeout_s=40)
        )

    lab.lead("survivor", director)
    assert [reply.payload for reply in replies.values()] == [b"counts:again"] * 2
    assert lab.deaths == [-signal.SIGKILL]


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
    assert str(port) in caught.value.remedy
    port_is_free(HOST, port)


def test_an_address_of_another_machine_is_a_mistake_in_the_configuration() -> None:
    with pytest.raises(ConfigError, match=r"192\.0\.2\.1"):
        port_is_free("192.0.2.1", 9)
