import threading
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass, field

import pytest
from flwr.app import Message
from flwr.supercore.task_identity import TaskIdentity

from veilscore.coordinator.fleet import Fleet


@dataclass
class ScriptedGrid:
    """A SuperLink in memory: ``answer`` makes the reply to each message, or none."""

    answer: Callable[[Message], Message | None]
    pushed: list[Message] = field(default_factory=list[Message])
    failures: list[Exception] = field(default_factory=list[Exception])
    wanted: Callable[[str], bool] = field(default=lambda _: True, init=False)

    def push_messages(self, messages: Iterable[Message], /) -> Iterable[str]:
        new = list(messages)
        for message in new:
            message.metadata.__dict__["_message_id"] = message.object_id
        self.pushed += new
        return [message.metadata.message_id for message in new]

    def pull_messages(
        self, message_ids: Iterable[str], /, wanted: Callable[[str], bool]
    ) -> Iterable[Message]:
        self.wanted = wanted
        if self.failures:
            raise self.failures.pop(0)
        ids = set(message_ids)
        asked = [m for m in self.pushed if m.metadata.message_id in ids]
        return [reply for reply in map(self.answer, asked) if reply is not None]


@dataclass
class Woken:
    """Notes whom the fleet woke."""

    calls: list[tuple[Collection[str], str]] = field(
        default_factory=list[tuple[Collection[str], str]]
    )

    def __call__(self, parties: Collection[str], step: str) -> None:
        self.calls.append((parties, step))


@pytest.fixture
def grid(monkeypatch: pytest.MonkeyPatch) -> ScriptedGrid:
    # Flower fills a message's sender from globals.
    for name in ("_task_id", "_run_id", "_node_id"):
        monkeypatch.setattr(TaskIdentity, name, 1)
    return ScriptedGrid(lambda _message: None)


@pytest.fixture
def woken() -> Woken:
    return Woken()


@pytest.fixture
def fleet(grid: ScriptedGrid, woken: Woken) -> Fleet:
    ids = {"bank": 11, "bureau": 12}
    return Fleet(grid, "run-1", ids, wake=woken, step_done=threading.Event())
