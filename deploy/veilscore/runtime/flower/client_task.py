"""A node's task, served by an app that is installed here.

Flower's own worker installs the app bundle that a run brings and executes it. Here the
app is an object of this process; the bundle is hashed, never unpacked.

Who learns what: of an exception in a node's app only the type's name leaves the node.
"""

import hashlib
import time
from collections.abc import Callable
from dataclasses import dataclass

import httpx
from flwr.app import Context, Error, Message, RecordDict
from flwr.common.constant import ErrorCode, SubStatus
from flwr.common.serde import context_from_proto
from flwr.proto.node_pb2 import Node
from flwr.proto.runtime_pb2 import PullAppMessagesRequest, PullTaskInputRequest
from flwr.supercore.inflatable.inflatable_protobuf_utils import (
    make_confirm_message_received_fn_protobuf,
    make_pull_object_fn_protobuf,
)
from flwr.supercore.inflatable.inflatable_utils import (
    ObjectPullError,
    ObjectPushError,
    pull_and_inflate_object_from_tree,
)

from veilscore.runtime.errors import FlowerError
from veilscore.runtime.flower.claim import PULL_BACKOFF_S, PULL_LIMIT_S, claimed
from veilscore.runtime.flower.endpoint import Endpoint, RuntimeClient

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

    FlowerError if what there is cannot be read.

    A task whose message cannot be pulled or whose answer cannot be delivered is left
    to expire: the SuperNode, which serves nothing else before it has an answer, then
    makes an error of it within a minute. To report such a task as failed would keep
    it waiting for ever.
    """
    # Brings Flower's whole command line along: not before a message needs it.
    from flwr.supernode.runtime.run_clientapp import (  # noqa: PLC0415
        push_message,
        push_task_output,
    )

    started = time.monotonic()
    with claimed(endpoint, token) as client:
        message, context, app_sha256 = _pull(client)
        reply, details = _answer(app, message, context)
        status = SubStatus.FAILED if details else SubStatus.COMPLETED
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


def _answer(
    app: ClientCallable, message: Message, context: Context
) -> tuple[Message, str]:
    """Return the reply, and the type of the exception if the app raised one."""
    try:
        return app(message, context), ""
    except Exception as error:  # noqa: BLE001 - a border: only the type leaves
        name = type(error).__name__
        raised = Error(ErrorCode.CLIENT_APP_RAISED_EXCEPTION, name)
        return Message(raised, reply_to=message), name


def _pull(client: RuntimeClient) -> tuple[Message, Context, str]:
    try:
        return _read(client)
    except (httpx.HTTPError, ObjectPullError):
        raise
    except Exception as error:
        # A border: the coordinator made it, and Flower's decoders raise anything.
        raise FlowerError(
            f"a message of the coordinator that cannot be read ({type(error).__name__})"
        ) from error


def _read(client: RuntimeClient) -> tuple[Message, Context, str]:
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
        max_time=PULL_LIMIT_S,
        initial_backoff=PULL_BACKOFF_S,
    )
    if type(message.content) is not RecordDict:  # Flower casts and does not look
        raise TypeError("no step")
    # A message does not contain its own hash.
    message.metadata.__dict__["_message_id"] = tree.object_id
    return message, context, hashlib.sha256(task.fab.content).hexdigest()
