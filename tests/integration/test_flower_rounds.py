"""Steps of training runs over real Flower, and what attackers get from it."""

import http.client
import ssl
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from flwr.app import Message, RecordDict
from flwr.cli.build import build_fab_from_files
from flwr.proto.control_pb2 import ListNodesRequest
from flwr.proto.runtime_pb2 import AcquireTaskRequest
from flwr.serverapp import Grid

from tests.conftest import Tell
from tests.integration.flower_lab import HOST, Lab, running_lab
from veilscore.coordinator import server_app
from veilscore.coordinator.errors import RunError
from veilscore.coordinator.fleet import Fleet, StepReply
from veilscore.keys.certificates import FlowerKey
from veilscore.runtime.errors import FlowerError
from veilscore.runtime.flower.control import Control
from veilscore.runtime.flower.endpoint import RuntimeClient
from veilscore.runtime.flower.thin_app import thin_app

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


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    with running_lab(tmp_path_factory.mktemp("lab")) as lab:
        yield lab


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
    lab: Lab, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, tell: Tell
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
    executed = marker.exists()
    tell("shipped code that a node or the coordinator executes", int(executed), 0)
    assert not executed
    homes = [node.state / "flower" for node in lab.nodes.values()]
    for home in (*homes, lab.state / "flower"):
        assert home.is_dir()
        assert not (home / "apps").exists()
    record = lab.nodes["bank"].audit[-1]
    assert (record.status, record.details) == ("failed", "ValueError")
    assert record.app_sha256 != lab.nodes["bank"].audit[0].app_sha256


def test_control_needs_the_token(lab: Lab, tell: Tell) -> None:
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
        codes = [
            client.post("/v1/control/list-nodes", content=body).status_code,
            client.get("/docs").status_code,
            client.get("/openapi.json").status_code,
            client.post("/v1/responses").status_code,
        ]
    answered = sum(code != 403 for code in codes)
    tell("requests to Control without its token that it takes", f"{answered} of 4", 0)
    assert answered == 0


def test_the_superlink_leaves_it_to_its_clients_to_close_what_is_idle(
    lab: Lab,
) -> None:
    """They do after 5 s; what is sent while it closes would be lost."""
    tls = ssl.create_default_context(cadata=lab.authority.decode())
    connection = http.client.HTTPSConnection(HOST, lab.port, context=tls)
    connection.request("GET", "/health")
    connection.getresponse().read()
    first = connection.sock
    time.sleep(5.5)
    connection.request("GET", "/health")
    assert connection.getresponse().status == 200
    assert connection.sock is first
    connection.close()


@pytest.mark.parametrize("where", ["coordinator", "bank"])
def test_tasks_need_the_secret(lab: Lab, where: str, tell: Tell) -> None:
    api = lab.nodes["bank"].process.api
    endpoint = lab.endpoint if where == "coordinator" else api.endpoint
    thief = RuntimeClient(endpoint, [])
    request = AcquireTaskRequest(supported_task_types=["flwr-serverapp"])
    refused = 0
    try:
        thief.AcquireTask(request)
    except httpx.HTTPStatusError as error:
        refused = error.response.status_code
    thief.close()
    told = f"tasks of Flower that a thief gets from the {where}"
    tell(told, int(refused != 401), 0)
    assert refused == 401


def test_a_key_keeps_its_id_and_a_name_has_one_key(lab: Lab) -> None:
    ids = lab.superlink.node_ids()
    key = lab.nodes["bank"].key.public_pem()
    assert lab.superlink.register_node("bank", key) == ids["bank"]
    first = FlowerKey.generate().public_pem()
    old = lab.superlink.register_node("guest", first)
    new = lab.superlink.register_node("guest", FlowerKey.generate().public_pem())
    assert len({old, new, *ids.values()}) == 4
    assert lab.superlink.node_ids()["guest"] == new
    with pytest.raises(FlowerError, match="already in use"):
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


def test_a_run_that_was_left_unfinished_is_stopped_before_the_next(lab: Lab) -> None:
    ended: list[str] = []
    begun = threading.Event()

    def director(fleet: Fleet) -> None:
        begun.set()
        try:
            fleet.call("hang", {"bank": b""}, timeout_s=30)
        except RunError as error:
            ended.append(error.what)

    server_app.DIRECTORS["left"] = director
    left = lab.superlink.start_run("left")
    assert begun.wait(10)
    time.sleep(0.3)
    assert lab.call("next", "counts", {"bank": b"x"})["bank"].payload == b"counts:x"
    assert ended == ["the run was stopped"]
    assert lab.superlink.run_status(left).sub_status == "stopped"


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
