"""A call that ends with the first reply that is not acceptable."""

import time
from typing import TYPE_CHECKING

import pytest
from flwr.app import ConfigRecord, Message, RecordDict

from veilscore.coordinator.errors import RunError
from veilscore.coordinator.fleet import Fleet, StepReply

if TYPE_CHECKING:
    from .conftest import ScriptedGrid

BANK = 11  # the node's id in the fleet


def reply_to(request: Message, *, ok: bool, code: str) -> Message:
    record = ConfigRecord({"ok": ok, "payload": b"", "code": code, "reason": ""})
    return Message(RecordDict({"reply": record}), reply_to=request)


def test_a_judge_ends_the_call_while_others_are_silent(
    fleet: Fleet, grid: "ScriptedGrid"
) -> None:
    def answer(request: Message) -> Message | None:
        if request.metadata.dst_node_id != BANK:
            return None
        return reply_to(request, ok=False, code="data")

    def judge(reply: StepReply) -> None:
        raise RunError(reply.code, party=reply.party)

    grid.answer = answer
    started = time.monotonic()
    with pytest.raises(RunError, match="data") as caught:
        fleet.call("counts", {"bank": b"", "bureau": b""}, 30, judge)
    assert time.monotonic() - started < 5
    assert caught.value.party == "bank"


def test_a_judge_sees_every_reply_once(fleet: Fleet, grid: "ScriptedGrid") -> None:
    seen: list[StepReply] = []

    def answer(request: Message) -> Message:
        return reply_to(request, ok=True, code="")

    grid.answer = answer
    replies = fleet.call("counts", {"bank": b"", "bureau": b""}, 5, seen.append)
    assert sorted(reply.party for reply in seen) == ["bank", "bureau"]
    assert {reply.party: reply for reply in seen} == replies
