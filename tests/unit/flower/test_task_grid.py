"""Flower deletes a reply once it is fetched: what came must not be lost.

What has only begun to come may be waited for, for as long as anybody wants it.
"""

import time
from collections.abc import Iterable

import httpx
import pytest
from flwr.app import Message, Metadata, RecordDict
from flwr.app.message import make_message
from flwr.common.constant import ErrorCode
from flwr.common.serde_utils import metadata_to_proto
from flwr.proto.message_pb2 import Message as MessageProto
from flwr.proto.message_pb2 import ObjectTree, PullObjectRequest, PullObjectResponse
from flwr.proto.runtime_pb2 import PullAppMessagesRequest, PullAppMessagesResponse
from flwr.supercore.run import Run
from flwr.supercore.runtime import RuntimeHttpClient
from flwr.superlink.grid import http_grid

from veilscore.runtime.flower.endpoint import Endpoint, RuntimeClient
from veilscore.runtime.flower.grid import TaskGrid


def answer(asked: str) -> Message:
    return make_message(
        metadata=Metadata(1, "id", 1, 2, asked, "", 0.0, 1.0, "query"),
        content=RecordDict(),
    )


@pytest.fixture
def fetched(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What was asked for; the line breaks at "broken"."""
    asked: list[str] = []

    def pull(_: object, message_ids: Iterable[str]) -> list[Message]:
        (one,) = message_ids
        asked.append(one)
        if one == "broken":
            raise httpx.ReadError("killed")
        return [answer(one)]

    monkeypatch.setattr(http_grid.HttpGrid, "pull_messages", pull)
    return asked


@pytest.fixture
def grid() -> TaskGrid:
    unused = RuntimeClient.__new__(RuntimeClient)  # see ``fetched``
    return TaskGrid(Endpoint("127.0.0.1:1", b""), "token", unused)


def ids(messages: Iterable[Message]) -> list[str]:
    return [message.metadata.reply_to_message_id for message in messages]


def test_replies_before_a_break_of_the_line_are_kept(
    grid: TaskGrid, fetched: list[str]
) -> None:
    assert ids(grid.pull_messages(["a", "b", "broken", "c"])) == ["a", "b"]
    assert fetched == ["a", "b", "broken"]
    assert ids(grid.pull_messages(["c"])) == ["c"]


def test_a_line_that_is_broken_from_the_beginning_is_told(
    grid: TaskGrid, fetched: list[str]
) -> None:
    with pytest.raises(httpx.ReadError):
        grid.pull_messages(["broken", "a"])
    assert fetched == ["broken"]


class HalfSent(RuntimeClient):
    """A server that has the heads of replies, whose senders died before the rest."""

    def __init__(self) -> None:
        self._stopping = None

    def PullMessages(self, request: PullAppMessagesRequest) -> PullAppMessagesResponse:  # noqa: N802 - Flower's
        (asked,) = request.message_ids
        metadata = metadata_to_proto(answer(asked).metadata)
        return PullAppMessagesResponse(
            messages_list=[MessageProto(metadata=metadata)],
            message_object_trees=[ObjectTree(object_id="ab" * 32)],
        )


def test_a_reply_that_stopped_half_way_is_waited_for_while_it_is_wanted(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked: list[str] = []

    def missing(_: object, request: PullObjectRequest) -> PullObjectResponse:
        asked.append(request.object_id)
        return PullObjectResponse(object_found=True, object_available=False)

    monkeypatch.setattr(RuntimeHttpClient, "PullObject", missing)
    grid = TaskGrid(Endpoint("127.0.0.1:1", b""), "token", HalfSent())
    grid.set_run(Run.create_empty(1))
    wanted_by: list[str] = []

    def wanted(message_id: str) -> bool:
        wanted_by.append(message_id)
        return len(asked) < 3

    began = time.monotonic()
    (reply,) = grid.pull_messages(["one"], wanted)
    assert time.monotonic() - began < 5
    assert asked == ["ab" * 32] * 3
    assert wanted_by == ["one"] * 4
    assert reply.metadata.reply_to_message_id == "one"
    assert reply.error.code == ErrorCode.MESSAGE_UNAVAILABLE
