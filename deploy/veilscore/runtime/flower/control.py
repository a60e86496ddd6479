"""The coordinator's hand on its SuperLink: nodes and runs.

Only the holder of the control token gets past the guard. A node is registered under
its party's name and the public half of its Flower key.
"""

import contextlib
from collections.abc import Generator
from dataclasses import dataclass

import httpx
from flwr.common.serde import fab_to_proto, user_config_to_proto
from flwr.proto.control_pb2 import (
    ListNodesRequest,
    ListRunsRequest,
    RegisterNodeRequest,
    StartRunRequest,
    StopRunRequest,
    UnregisterNodeRequest,
)
from flwr.supercore.constant import NodeStatus
from flwr.supercore.error import FlowerError as FlowerRefusal
from flwr.supercore.fab import Fab
from flwr.supercore.protobuf.client import ProtobufCall, ProtobufRequestContext

from veilscore.runtime.errors import FlowerError, UnreachableError
from veilscore.runtime.flower.endpoint import ControlClient, Endpoint
from veilscore.runtime.flower.guard import TOKEN_HEADER

_FINISHED = "finished"


@dataclass(frozen=True, slots=True)
class Node:
    """A registered SuperNode."""

    node_id: int
    name: str
    public_key: bytes  # PEM, as registered
    online: bool


@dataclass(frozen=True, slots=True)
class RunStatus:
    """How a Flower run stands."""

    status: str  # pending, starting, running, finished
    sub_status: str  # completed, failed, stopped; empty before the end
    details: str


class Control:
    """A client of the Control API; any thread may use it.

    Every method raises FlowerError if the SuperLink refuses and UnreachableError if
    it does not answer.
    """

    def __init__(self, endpoint: Endpoint, token: str) -> None:
        self._address = endpoint.address
        self._client = ControlClient(endpoint, [_Token(token)])

    def healthy(self) -> bool:
        """Return whether the SuperLink answers."""
        return self._client.healthy()

    def register(self, name: str, public_key: str) -> int:
        """Register a party's key (PEM) and return its node's id.

        A key that is registered keeps its id. A name has one key: another key that
        was registered under it before is revoked, for good.
        """
        known = self.nodes()
        for node in known:
            if node.public_key == public_key.encode():
                return node.node_id
        with self._errors(f"register {name}"):
            request = RegisterNodeRequest(public_key=public_key.encode(), name=name)
            node_id = self._client.RegisterNode(request).node_id
        for node in known:
            if node.name == name:
                self.unregister(node.node_id)
        return node_id

    def unregister(self, node_id: int) -> None:
        """Revoke a node; its key can never be registered again."""
        with self._errors("unregister a node"):
            self._client.UnregisterNode(UnregisterNodeRequest(node_id=node_id))

    def nodes(self) -> list[Node]:
        """Return every registered node that is not revoked."""
        with self._errors("list the nodes"):
            answer = self._client.ListNodes(ListNodesRequest())
        return [
            Node(
                node.node_id,
                node.name,
                node.public_key,
                online=node.status == NodeStatus.ONLINE,
            )
            for node in answer.nodes_info
            if node.status != NodeStatus.UNREGISTERED
        ]

    def start_run(self, run: str, app: bytes) -> int:
        """Submit an app bundle for a run; return Flower's id of the run."""
        with self._errors(f"start run {run}"):
            request = StartRunRequest(
                fab=fab_to_proto(Fab("", app, {})),
                override_config=user_config_to_proto({"run": run}),
            )
            return self._client.StartRun(request).run_id

    def stop_run(self, run_id: int) -> None:
        """Stop a run that has not finished."""
        with self._errors(f"stop run {run_id}"):
            self._client.StopRun(StopRunRequest(run_id=run_id))

    def unfinished_runs(self) -> list[int]:
        """Return Flower's ids of the newest runs that have not finished."""
        with self._errors("list the runs"):
            runs = self._client.ListRuns(ListRunsRequest()).run_dict
        return [
            run_id for run_id, run in runs.items() if run.status.status != _FINISHED
        ]

    def run_status(self, run_id: int) -> RunStatus:
        """Return how a run stands."""
        with self._errors(f"look up run {run_id}"):
            answer = self._client.ListRuns(ListRunsRequest(run_id=run_id))
            status = answer.run_dict[run_id].status
        return RunStatus(status.status, status.sub_status, status.details)

    def close(self) -> None:
        """Close the connection."""
        self._client.close()

    @contextlib.contextmanager
    def _errors(self, action: str) -> Generator[None]:
        try:
            yield
        except httpx.HTTPStatusError as error:
            refusal = FlowerRefusal.from_json(error.response.text)
            why = refusal.message if refusal else f"HTTP {error.response.status_code}"
            raise FlowerError(
                f"the SuperLink did not {action}: {why}", place=self._address
            ) from error
        except httpx.HTTPError as error:
            raise UnreachableError(
                f"the SuperLink did not {action}: no answer",
                place=self._address,
                remedy="Look into the SuperLink's log.",
            ) from error


class _Token:
    """Shows the guard the control token."""

    def __init__(self, token: str) -> None:
        self._token = token

    def intercept(
        self, context: ProtobufRequestContext, call_next: ProtobufCall
    ) -> httpx.Response:
        context.request.headers[TOKEN_HEADER] = self._token
        return call_next(context)
