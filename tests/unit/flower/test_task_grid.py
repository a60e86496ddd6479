"""Flower deletes a reply once it is fetched: what came must not be lost."""

from collections.abc import Iterable

import httpx
import pytest
from flwr.app import Message, Metadata, RecordDict
from flwr.app.message import make_message
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
