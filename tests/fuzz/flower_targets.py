"""What a node and the coordinator send each other through Flower: objects of Flower.

An input holds the parts of one message, from the message down: of each object its kind
and its body. Heads and hashes are made here, for a SuperLink takes no others; ``CHILD``
in a body becomes the hash of the object below.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Final

from flwr.app import ConfigRecord, Context, Error, Metadata, RecordDict
from flwr.app.message import make_message
from flwr.common.serde import context_to_proto
from flwr.common.serde_utils import metadata_to_proto
from flwr.proto.message_pb2 import (
    ConfirmMessageReceivedRequest,
    ConfirmMessageReceivedResponse,
    ObjectTree,
    PullObjectRequest,
    PullObjectResponse,
)
from flwr.proto.message_pb2 import Context as ContextProto
from flwr.proto.message_pb2 import Message as MessageProto
from flwr.proto.runtime_pb2 import (
    PullAppMessagesRequest,
    PullAppMessagesResponse,
    PullTaskInputRequest,
    PullTaskInputResponse,
)
from flwr.supercore.inflatable.inflatable_object import (
    InflatableObject,
    UnexpectedObjectContentError,
    get_object_body,
    get_object_id,
)
from flwr.supercore.inflatable.inflatable_utils import validate_object_content
from flwr.supercore.run import Run

from tests.fuzz.stock import NOW, Stock
from tests.fuzz.target import Target, by_grpc
from veilscore.coordinator.fleet import (
    _read,  # pyright: ignore[reportPrivateUsage] - its caller needs a whole run
)
from veilscore.node.client_app import make_app
from veilscore.runtime.errors import WireError
from veilscore.runtime.flower.client_task import (
    _answer,  # pyright: ignore[reportPrivateUsage] - its caller needs a SuperNode
    _pull,  # pyright: ignore[reportPrivateUsage] - its caller needs a SuperNode
)
from veilscore.runtime.flower.endpoint import Endpoint, RuntimeClient
from veilscore.runtime.flower.grid import TaskGrid
from veilscore.v1.hub_pb2 import AppendRequest

CHILD: Final = b"<the hash of the object below>"
_ASKED: Final = "ab" * 32  # the message that is replied to
_DEEPEST: Final = 90  # objects in each other; protobuf refuses a tree of 100


class _Handed(RuntimeClient):
    """A Runtime API that hands out one message and its objects."""

    def __init__(self, parts: Sequence[bytes], context: bytes = b"") -> None:
        self._objects: dict[str, bytes] = {}
        self._tree = ObjectTree()
        self._context = context
        below = ""
        pairs = [*zip(parts[::2], parts[1::2], strict=False)]
        if not 0 < len(pairs) <= _DEEPEST:
            raise WireError("no message, or none that protobuf reads")
        for kind, body in reversed(pairs):
            whole = body.replace(CHILD, below.encode())
            head = b"%s %s %d\0" % (kind, below.encode(), len(whole))
            below = _taken(head + whole)
            self._objects[below] = head + whole
            children = [self._tree] if self._tree.object_id else []
            self._tree = ObjectTree(object_id=below, children=children)

    def PullMessages(  # noqa: N802 - Flower's
        self, request: PullAppMessagesRequest
    ) -> PullAppMessagesResponse:
        del request
        metadata = metadata_to_proto(_metadata(reply_to=_ASKED))
        metadata.message_id = self._tree.object_id
        return PullAppMessagesResponse(
            messages_list=[MessageProto(metadata=metadata)],
            message_object_trees=[self._tree],
        )

    def PullObject(self, request: PullObjectRequest) -> PullObjectResponse:  # noqa: N802 - Flower's
        content = self._objects[request.object_id]
        return PullObjectResponse(
            object_found=True, object_available=True, object_content=content
        )

    def ConfirmMessageReceived(  # noqa: N802 - Flower's
        self, request: ConfirmMessageReceivedRequest
    ) -> ConfirmMessageReceivedResponse:
        del request
        return ConfirmMessageReceivedResponse()

    def PullTaskInput(self, request: PullTaskInputRequest) -> PullTaskInputResponse:  # noqa: N802 - Flower's
        del request
        return PullTaskInputResponse(context=by_grpc(ContextProto, self._context))


def _taken(content: bytes) -> str:
    """Return the hash under which a SuperLink stores an object, if it does."""
    try:
        validate_object_content(content)
    except UnexpectedObjectContentError as error:
        raise WireError("a SuperLink refuses this") from error
    return get_object_id(content)


def _metadata(reply_to: str = "") -> Metadata:
    return Metadata(
        run_id=1,
        message_id="",
        src_node_id=1,
        dst_node_id=2,
        reply_to_message_id=reply_to,
        group_id="counts",
        created_at=NOW,
        ttl=900.0,
        message_type="query.step",
    )


def _parts(found: InflatableObject) -> list[bytes]:
    """Return kind and body of an object, and of the one below it."""
    parts: list[bytes] = []
    children = list((found.children or {}).items())
    body = get_object_body(found.deflate(), type(found))
    for hash_of, child in children:
        body = body.replace(hash_of.encode(), CHILD)
        parts += _parts(child)
    return [type(found).__name__.encode(), body, *parts]


def _joined(*parts: bytes) -> bytes:
    return AppendRequest(leaves=parts).SerializeToString()


def _spoken(name: str, reply_to: str = "", **values: bool | str | bytes) -> list[bytes]:
    content = RecordDict({name: ConfigRecord({**values})})
    return _parts(make_message(metadata=_metadata(reply_to), content=content))


def reply_through_flower(_: Stock) -> Target:
    """Pull a reply of a node as the coordinator does, and read it."""

    def decode(data: bytes) -> None:
        handed = _Handed(by_grpc(AppendRequest, data).leaves)
        grid = TaskGrid(Endpoint("127.0.0.1:1", b""), "token", handed)
        grid.set_run(Run.create_empty(1))
        (message,) = grid.pull_messages([_ASKED])
        reply = _read("bank", _ASKED, message)
        assert len(reply.code) <= 300
        assert len(reply.reason) <= 400
        if reply.code == "malformed":
            raise WireError("the coordinator names the bank")

    good: dict[str, bool | str | bytes]
    good = {"ok": True, "payload": b"a report", "code": "", "reason": ""}
    failed: dict[str, bool | str | bytes]
    failed = {"ok": False, "payload": b"", "code": "refused", "reason": "not here"}
    error = Error(1, "ValueError")
    answer = make_message(metadata=_metadata(_ASKED), error=error)
    stray = _spoken("reply", "cd" * 32, **good)
    headless = _spoken("reply", _ASKED, **good)[2:]
    return Target(
        decode,
        [
            _joined(*_spoken("reply", _ASKED, **good)),
            _joined(*_spoken("reply", _ASKED, **failed)),
            _joined(*_parts(answer)),
        ],
        # Of these each once raised something else, or passed for another's.
        once_wrong=[_joined(*headless), _joined(b"Message", b"", *headless[2:])],
        refused=[
            _joined(*stray),
            _joined(*_spoken("other", _ASKED, **good)),
            _joined(*headless),
        ],
        share=0.1,
    )


def step_through_flower(_: Stock) -> Target:
    """Pull a message of the coordinator as a node does, and answer it."""

    def handler(run: str, step: str, payload: bytes, message_id: str) -> bytes:
        del run, step, message_id
        return payload

    app = make_app(handler)

    def decode(data: bytes) -> None:
        context, *parts = by_grpc(AppendRequest, data).leaves or [b""]
        message, found, _ = _pull(_Handed(parts, context))
        reply, raised = _answer(app, message, found)
        if raised:
            raise WireError(f"answered with {raised}")
        record = reply.content.config_records["reply"]
        assert record["code"] != "internal"
        if not record["ok"]:
            raise WireError("answered with a refusal")

    context = Context(1, 2, {"a": 1}, RecordDict(), {"run": "r"})
    before = context_to_proto(context).SerializeToString()
    asked = _spoken("step", run="r", step="counts", payload=b"a request")
    unnamed = _spoken("step", run="", step="counts", payload=b"")
    error = make_message(metadata=_metadata(), error=Error(1, "no step"))
    return Target(
        decode,
        [_joined(before, *asked)],
        refused=[
            _joined(before, *unnamed),
            _joined(before, *_parts(error)),
            _joined(before, *asked[2:]),
            _joined(before, *asked[:2], *asked[4:]),
        ],
        share=0.1,
    )


TARGETS: Final[Mapping[str, Callable[[Stock], Target]]] = {
    "reply through Flower": reply_through_flower,
    "step through Flower": step_through_flower,
}
