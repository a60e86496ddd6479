"""What this product relies on inside the pinned Flower release.

Each test names one assumption; a failure after an upgrade says which one broke.
"""

import ast
import importlib
import inspect
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import httpx
import pytest
import uvicorn
from fastapi.routing import APIRoute, iter_route_contexts
from flwr.app import Message
from flwr.proto.node_pb2 import NodeInfo
from flwr.proto.runtime_pb2 import GetNodesRequest, GetNodesResponse
from flwr.supercore.inflatable.inflatable_utils import (
    pull_and_inflate_object_from_tree,
    pull_objects,
)
from flwr.supercore.protobuf.client import ProtobufClient
from flwr.supercore.retry import http_retry
from flwr.supercore.task_identity import TaskIdentity
from flwr.superlink.grid import HttpGrid, http_grid
from flwr.superlink.main import create_app
from flwr.supernode import fleet_http_connection, start_client_internal
from flwr.supernode.cli.flower_supernode import flower_supernode

from veilscore.keys.authority import DevelopmentAuthority
from veilscore.runtime.errors import FlowerError
from veilscore.runtime.flower import pin
from veilscore.runtime.flower.endpoint import ControlClient, Endpoint, RuntimeClient
from veilscore.runtime.flower.server_task import error_name

superlink_command = importlib.import_module("flwr.superlink.cli.flower_superlink")
supernode_command = importlib.import_module("flwr.supernode.cli.flower_supernode")
client_app_command = importlib.import_module("flwr.supernode.runtime.run_clientapp")


def attributes_of(module: ModuleType, name: str) -> set[str]:
    """Which attributes of the global ``name`` the module's code uses."""
    tree = ast.parse(inspect.getsource(module))
    return {
        node.attr
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute)
        and isinstance(node.value, ast.Name)
        and node.value.id == name
    }


def test_the_pinned_release_is_installed() -> None:
    pin.require_pinned()


def test_another_release_is_refused_with_a_remedy(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def version(name: str) -> str:
        return {"flwr": "1.42.0"}[name]

    monkeypatch.setattr("importlib.metadata.version", version)
    with pytest.raises(FlowerError, match=r"1\.42\.0") as caught:
        pin.require_pinned()
    assert "flwr==1.41.0" in caught.value.remedy


def test_replacing_a_name_that_is_gone_is_refused() -> None:
    with pytest.raises(FlowerError, match="no_such_name"):
        pin.replace(http_grid, "no_such_name", object())


def test_children_inherit_no_flower_variable(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("FLWR_INTERNAL_GRPC_FLEET_API", "1")
    monkeypatch.setenv("PYTHONDONTWRITEBYTECODE", "1")
    environment = pin.environment(tmp_path)
    assert {name for name in environment if name.startswith("FLWR_")} == {
        "FLWR_HOME",
        "FLWR_TELEMETRY_ENABLED",
        "FLWR_DISABLE_UPDATE_CHECK",
    }
    assert "PYTHONDONTWRITEBYTECODE" not in environment


def test_the_superlink_serves_through_one_call_of_uvicorn() -> None:
    assert attributes_of(superlink_command, "uvicorn") == {"run"}


def test_the_guard_knows_every_part_of_the_superlink() -> None:
    paths = {
        context.route.path
        for context in iter_route_contexts(create_app().routes)
        if isinstance(context.route, APIRoute)
    }
    parts = {"/".join(path.split("/")[:3]) for path in paths}
    assert parts <= {
        "/health",
        "/v1/control",
        "/v1/fleet",
        "/v1/responses",
        "/v1/runtime",
    }


def test_the_supernode_only_sleeps() -> None:
    # The process replaces the whole module `time` there by one that has `sleep`.
    assert attributes_of(start_client_internal, "time") == {"sleep"}
    tree = ast.parse(inspect.getsource(start_client_internal))
    sleeps = {
        ast.literal_eval(node.args[0])
        for node in ast.walk(tree)
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Attribute)
        and node.func.attr == "sleep"
    }
    assert sleeps == {3, 0.5}  # nothing to do; waiting for the app


@pytest.mark.parametrize(
    ("module", "name"),
    [
        (start_client_internal, "pull_objects"),
        (http_grid, "pull_objects"),
        (http_retry, "MAX_RETRY_DELAY"),
        (fleet_http_connection, "FleetHttpClient"),
        (superlink_command, "uvicorn"),
    ],
)
def test_a_replaced_name_is_looked_up_when_it_is_used(
    module: ModuleType, name: str
) -> None:
    tree = ast.parse(inspect.getsource(module))
    used = [
        node
        for function in ast.walk(tree)
        if isinstance(function, ast.FunctionDef | ast.Lambda)
        for node in ast.walk(function)
        if isinstance(node, ast.Name) and node.id == name
    ]
    assert used


@pytest.mark.parametrize("pull", [pull_objects, pull_and_inflate_object_from_tree])
def test_pulls_take_limits(pull: object) -> None:
    assert callable(pull)
    assert {"initial_backoff", "max_time"} <= inspect.signature(pull).parameters.keys()


def test_delivering_a_reply_leaves_the_process_identity_alone() -> None:
    # Two nodes may live in one process, and a coordinator with them.
    for function in (
        client_app_command.push_message,
        client_app_command.push_task_output,
    ):
        assert "TaskIdentity" not in inspect.getsource(function)


def test_a_message_takes_its_sender_from_the_process_identity() -> None:
    assert attributes_of(sys.modules[Message.__module__], "TaskIdentity") == {
        "node_id",
        "run_id",
        "task_id",
    }
    assert {"node_id", "run_id", "task_id"} <= set(dir(type(TaskIdentity)))


def test_the_grid_uses_the_client_it_is_given() -> None:
    class Client:
        def GetNodes(self, request: GetNodesRequest) -> GetNodesResponse:  # noqa: N802
            del request
            return GetNodesResponse(nodes=[NodeInfo(node_id=7)])

    grid = HttpGrid("127.0.0.1:1", token="t")  # noqa: S106 - not a secret
    vars(grid)["_client"] = Client()
    assert [node.node_id for node in grid.get_nodes()] == [7]


@pytest.mark.parametrize("kind", [RuntimeClient, ControlClient])
def test_our_clients_follow_neither_proxies_nor_redirects(
    kind: type[RuntimeClient | ControlClient], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HTTPS_PROXY", "http://127.0.0.1:9")
    authority = DevelopmentAuthority.create("lab", 0, 1)
    client = kind(Endpoint("127.0.0.1:1", authority.certificate_pem), [])
    assert isinstance(client, ProtobufClient)
    http = vars(client)["_client"]
    assert isinstance(http, httpx.Client)
    assert not http.follow_redirects
    assert not http.trust_env
    assert vars(client)["_retry_invoker"] is None
    client.close()


def test_our_clients_close_an_idle_connection_before_flowers_servers_do() -> None:
    authority = DevelopmentAuthority.create("lab", 0, 1)
    client = RuntimeClient(Endpoint("127.0.0.1:1", authority.certificate_pem), [])
    inside: Any = client
    for name in ("_client", "_transport", "_pool"):
        inside = getattr(inside, name)
    ours = inside._keepalive_expiry
    theirs = inspect.signature(uvicorn.Config).parameters["timeout_keep_alive"].default
    assert 1 < ours < theirs - 1  # they are polled once a second
    assert "timeout_keep_alive" not in inspect.getsource(supernode_command)
    client.close()


def test_error_codes_have_names() -> None:
    assert error_name(2) == "client-app-raised-exception"
    assert error_name(5) == "node-unavailable"
    assert error_name(4711) == "unknown"


def internals(path: Path) -> set[str]:
    """Which of Flower's modules a file imports that are not its public interface."""
    tree = ast.parse(path.read_text())
    public = {"flwr.app", "flwr.clientapp", "flwr.serverapp"}
    imported = {
        alias.name
        for node in ast.walk(tree)
        if isinstance(node, ast.Import)
        for alias in node.names
    } | {
        node.module or "" for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)
    }
    return {name for name in imported if name.split(".")[0] == "flwr"} - public


def test_flowers_interior_is_known_in_one_place_only() -> None:
    root = Path(__file__).parents[3]
    inside = root / "deploy" / "veilscore" / "runtime" / "flower"
    sources = [
        path
        for part in ("node", "coordinator", "models", "keys", "protos", "deploy")
        for path in (root / part / "veilscore").rglob("*.py")
    ]
    assert internals(inside / "client_task.py")
    outside = [path for path in sources if inside not in path.parents]
    assert {str(path): internals(path) for path in outside if internals(path)} == {}


def test_the_supernode_executes_nothing_in_process_isolation() -> None:
    source = inspect.getsource(start_client_internal.start_client_internal)
    spawn = source.index("subprocess.Popen")
    assert "if isolation == ISOLATION_MODE_SUBPROCESS:" in source[:spawn]
    assert callable(flower_supernode)
