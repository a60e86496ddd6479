"""Tasks of a Runtime API, served by an app that is installed here.

Flower's own workers install the app bundle that a run brings and execute it. Here
the app is an object of this process; the bundle is hashed, never unpacked.

Who learns what: of an exception in a node's app only the type's name leaves the
node. The coordinator's side reports the text too, to its own SuperLink.
"""

import contextlib
import hashlib
import logging
import threading
import time
from collections.abc import Callable, Generator
from dataclasses import dataclass
from functools import partial

import httpx
from flwr.app import Context, Error, Message
from flwr.common.config import get_fused_config_from_fab
from flwr.common.constant import ErrorCode, SubStatus
from flwr.common.serde import context_from_proto, run_from_proto
from flwr.proto.node_pb2 import Node
from flwr.proto.runtime_pb2 import (
    PullAppMessagesRequest,
    PullTaskInputRequest,
    SendTaskHeartbeatRequest,
)
from flwr.serverapp import Grid
from flwr.supercore.inflatable.inflatable_protobuf_utils import (
    make_confirm_message_received_fn_protobuf,
    make_pull_object_fn_protobuf,
)
from flwr.supercore.inflatable.inflatable_utils import (
    ObjectPushError,
    pull_and_inflate_object_from_tree,
    pull_objects,
)
from flwr.supercore.interceptors import RuntimeTokenHttpInterceptor
from flwr.supercore.task_identity import TaskIdentity
from flwr.superlink.grid import http_grid
from flwr.supernode.runtime.run_clientapp import push_message, push_task_output

from veilscore.fault import Fault
from veilscore.runtime.flower.endpoint import Endpoint, RuntimeClient
from veilscore.runtime.flower.pin import replace

_LOG = logging.getLogger(__name__)
# The owner of a claimed task gives it up after a minute without a heartbeat.
_HEARTBEAT_S = 15.0
# Flower's limit of 2 h would keep a thread for a message whose run has ended.
_PULL_LIMIT_S = 60.0
_PULL_BACKOFF_S = 0.03

ServerCallable = Callable[[Grid, Context], None]
ClientCallable = Callable[[Message, Context], Message]


@dataclass(frozen=True, slots=True)
class TaskRecord:
    """One line of a node's audit: what came through Flower and how it ended."""

    run_id: int  # Flower's
    message_type: str
    message_id: str  # hash of the message; the coordinator sees the same
    app_sha256: str
    status: str  # completed or failed
    details: str  # type of the exception, empty if there was none
    milliseconds: int


def serve_client_task(
    endpoint: Endpoint, app: ClientCallable, token: str
) -> TaskRecord:
    """Answer one message with ``app``; raises if there is none to be had.

    A task whose message cannot be pulled or whose answer cannot be delivered is left
    to expire: the SuperNode, which serves nothing else before it has an answer, then
    makes an error of it within a minute. To report such a task as failed would keep
    it waiting for ever.
    """
    started = time.monotonic()
    with _claimed(endpoint, token) as client:
        message, context, app_sha256 = _pull(client)
        details, status = "", SubStatus.COMPLETED
        try:
            reply = app(message, context)
        except Exception as error:  # noqa: BLE001 - a border: only the type leaves
            details, status = type(error).__name__, SubStatus.FAILED
            raised = Error(ErrorCode.CLIENT_APP_RAISED_EXCEPTION, details)
            reply = Message(raised, reply_to=message)
        try:
            push_message(client, reply, context)
            push_task_output(client, context, status, details)
        except (httpx.HTTPError, ObjectPushError) as error:
            details = f"not delivered: {type(error).__name__}"
            status = SubStatus.FAILED
    return TaskRecord(
        run_id=context.run_id,
        message_type=message.metadata.message_type,
        message_id=message.metadata.message_id,
        app_sha256=app_sha256,
        status=status,
        details=details,
        milliseconds=round(1000 * (time.monotonic() - started)),
    )


def _pull(client: RuntimeClient) -> tuple[Message, Context, str]:
    # As flwr.supernode.runtime.run_clientapp does, with limits and without writing
    # to the process-wide TaskIdentity.
    task = client.PullTaskInput(PullTaskInputRequest())
    context = context_from_proto(task.context)
    tree = client.PullMessages(PullAppMessagesRequest()).message_object_trees[0]
    node = Node(node_id=context.node_id)
    message = pull_and_inflate_object_from_tree(
        tree,
        make_pull_object_fn_protobuf(client.PullObject, node, context.run_id),
        make_confirm_message_received_fn_protobuf(
            client.ConfirmMessageReceived, node, context.run_id
        ),
        return_type=Message,
        max_time=_PULL_LIMIT_S,
        initial_backoff=_PULL_BACKOFF_S,
    )
    # A message does not contain its own hash.
    message.metadata.__dict__["_message_id"] = tree.object_id
    return message, context, hashlib.sha256(task.fab.content).hexdigest()


def serve_server_task(endpoint: Endpoint, app: ServerCallable, token: str) -> None:
    """Run ``app`` for one Flower run; an exception marks that run as failed.

    One at a time in a process: Flower keeps the identity of the task in a global.
    """
    with _claimed(endpoint, token) as client:
        details, status = "", SubStatus.COMPLETED
        try:
            task = client.PullTaskInput(PullTaskInputRequest())
            run = run_from_proto(task.run)
            context = context_from_proto(task.context)
            context.run_config = get_fused_config_from_fab(task.fab.content, run)
            TaskIdentity.task_id = task.task_id
            TaskIdentity.run_id = run.run_id
            TaskIdentity.node_id = context.node_id
            grid = _Grid(endpoint, token, client)
            grid.set_run(run)
            app(grid, context)
        except Exception as error:  # noqa: BLE001 - a border: the run is marked
            # A fault says all there is to say.
            bug = not isinstance(error, Fault)
            _LOG.warning("a run failed: %s", error, exc_info=bug)
            details, status = f"{type(error).__name__}: {error}", SubStatus.FAILED
        push_task_output(client, None, status, details)


class _Grid(http_grid.HttpGrid):
    """Flower's grid on a client that raises instead of interrupting the process."""

    def __init__(self, endpoint: Endpoint, token: str, client: RuntimeClient) -> None:
        super().__init__(endpoint.address, token=token)
        self._client = client


replace(
    http_grid,
    "pull_objects",
    partial(pull_objects, initial_backoff=_PULL_BACKOFF_S, max_time=_PULL_LIMIT_S),
)


@contextlib.contextmanager
def _claimed(endpoint: Endpoint, token: str) -> Generator[RuntimeClient]:
    """Give a client for one task and keep the task alive while it is in use."""
    client = RuntimeClient(endpoint, [RuntimeTokenHttpInterceptor(token)])
    done = threading.Event()
    heart = threading.Thread(target=_beat, args=(client, done), daemon=True)
    heart.start()
    try:
        yield client
    finally:
        done.set()
        heart.join()
        client.close()


def _beat(client: RuntimeClient, done: threading.Event) -> None:
    # Flower's own heartbeat interrupts the process when a task was taken away.
    while True:
        with contextlib.suppress(httpx.HTTPError):
            client.SendTaskHeartbeat(SendTaskHeartbeatRequest())
        if done.wait(_HEARTBEAT_S):
            return


def error_name(code: int) -> str:
    """Return Flower's name of a message error, as in ``node-unavailable``."""
    for name, value in vars(ErrorCode).items():
        if value == code and name.isupper():
            return name.lower().replace("_", "-")
    return "unknown"
