import threading
import time
from typing import TYPE_CHECKING

import httpx
import pytest
from flwr.app import ConfigRecord, Error, Message, RecordDict
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from veilscore.coordinator.errors import RunError
from veilscore.coordinator.fleet import REPLY_S, UNAVAILABLE, Fleet, StepReply
from veilscore.runtime.awake_clock import AwakeClock

if TYPE_CHECKING:
    from .conftest import ScriptedGrid, Woken

PAYLOADS = {"bank": b"for the bank", "bureau": b"for the bureau"}


def reply(request: Message, **values: object) -> Message:
    record = ConfigRecord(values)  # type: ignore[arg-type] # hostile
    return Message(RecordDict({"reply": record}), reply_to=request)


def echo(request: Message) -> Message:
    payload = request.content.config_records["step"]["payload"]
    return reply(request, ok=True, payload=payload, code="", reason="")


def status(code: int) -> httpx.HTTPStatusError:
    request = httpx.Request("POST", "https://127.0.0.1/")
    return httpx.HTTPStatusError(
        "", request=request, response=httpx.Response(code, request=request)
    )


def test_each_named_party_gets_its_own_message(
    fleet: Fleet, grid: "ScriptedGrid", woken: "Woken"
) -> None:
    grid.answer = echo
    replies = fleet.call("counts", PAYLOADS, timeout_s=5)
    assert {name: answer.payload for name, answer in replies.items()} == PAYLOADS
    assert all(answer.ok for answer in replies.values())
    assert fleet.parties() == ("bank", "bureau")
    sent = {m.metadata.dst_node_id: m for m in grid.pushed}
    assert sent.keys() == {11, 12}
    assert sent[11].metadata.message_type == "query.step"
    assert dict(sent[11].content.config_records["step"]) == {
        "run": "run-1",
        "step": "counts",
        "payload": b"for the bank",
    }
    assert replies["bank"].message_id == sent[11].metadata.message_id
    assert woken.calls == [(("bank", "bureau"), "counts")]


def test_a_refusal_is_a_reply(fleet: Fleet, grid: "ScriptedGrid") -> None:
    grid.answer = lambda request: reply(
        request, ok=False, payload=b"x", code="refused", reason="not approved"
    )
    answer = fleet.call("counts", {"bank": b""}, timeout_s=5)["bank"]
    message_id = grid.pushed[0].metadata.message_id
    assert answer == StepReply(
        "bank", ok=False, payload=b"", code="refused", reason="not approved",
        message_id=message_id,
    )  # fmt: skip


def test_an_error_of_flower_is_a_reply_that_names_the_party(
    fleet: Fleet, grid: "ScriptedGrid"
) -> None:
    grid.answer = lambda request: Message(
        Error(5, "Node Unavailable"), reply_to=request
    )
    answer = fleet.call("counts", {"bureau": b""}, timeout_s=5)["bureau"]
    assert (answer.ok, answer.code) == (False, "node-unavailable")
    assert answer.reason == "bureau: Node Unavailable"


scalars = st.booleans() | st.binary(max_size=3) | st.text(max_size=400) | st.integers()


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.dictionaries(st.sampled_from(["ok", "payload", "code", "reason", "x"]), scalars)
)
def test_whatever_a_node_answers_becomes_a_bounded_reply(
    fleet: Fleet, grid: "ScriptedGrid", values: dict[str, object]
) -> None:
    grid.answer = lambda request: reply(request, **values)
    answer = fleet.call("counts", {"bank": b""}, timeout_s=5)["bank"]
    assert len(answer.code) <= 300
    assert len(answer.reason) <= 300
    if answer.ok:
        assert values["ok"] is True
        assert answer.payload == values["payload"]
    else:
        assert answer.payload == b""


def test_silence_names_the_silent(fleet: Fleet, grid: "ScriptedGrid") -> None:
    grid.answer = lambda request: (
        echo(request) if request.metadata.dst_node_id == 11 else None
    )
    with pytest.raises(RunError, match=r"no answer to step counts within 0\.1 s") as e:
        fleet.call("counts", PAYLOADS, timeout_s=0.1)
    assert e.value.party == "bureau"
    assert e.value.remedy


def test_a_stranger_gets_nothing(fleet: Fleet, grid: "ScriptedGrid") -> None:
    with pytest.raises(RunError) as caught:
        fleet.call("counts", {"bank": b"", "mallory": b""}, timeout_s=1)
    assert caught.value.party == "mallory"
    assert grid.pushed == []


def test_a_reply_that_is_done_and_does_not_come_is_lost(
    fleet: Fleet, grid: "ScriptedGrid", monkeypatch: pytest.MonkeyPatch
) -> None:
    """As when the SuperLink handed it out and the line broke: there is no second."""
    monkeypatch.setattr("veilscore.coordinator.fleet.REPLY_S", 0.3)
    grid.answer = lambda request: (
        echo(request) if request.metadata.dst_node_id == 11 else None
    )
    threading.Timer(0.1, fleet.note_done, ["bureau"]).start()
    with pytest.raises(RunError, match="done and did not arrive") as caught:
        fleet.call("counts", PAYLOADS, timeout_s=20)
    assert caught.value.party == "bureau"
    grid.answer = echo
    assert fleet.call("moments", PAYLOADS, timeout_s=5).keys() == PAYLOADS.keys()


def test_a_coordinator_that_stood_still_gives_the_reply_time_to_come(
    grid: "ScriptedGrid", woken: "Woken", monkeypatch: pytest.MonkeyPatch
) -> None:
    now = [0.0]
    clock = AwakeClock(lambda: now[0])
    monkeypatch.setattr("veilscore.coordinator.fleet.AwakeClock", lambda: clock)
    fleet = Fleet(grid, "run-1", {"bank": 11}, wake=woken, step_done=threading.Event())

    def stand_still() -> None:
        fleet.note_done("bank")
        now[0] += 100 * REPLY_S

    threading.Timer(0.05, stand_still).start()
    threading.Timer(0.3, setattr, [grid, "answer", echo]).start()
    assert fleet.call("counts", {"bank": b""}, timeout_s=2 * REPLY_S)["bank"].ok


def test_who_is_noted_as_lost_counts_as_unavailable_at_once(
    fleet: Fleet, grid: "ScriptedGrid"
) -> None:
    grid.answer = lambda _: None
    threading.Timer(0.05, fleet.note_lost, ["bureau"]).start()
    began = time.monotonic()
    answer = fleet.call("join", {"bureau": b""}, timeout_s=5)["bureau"]
    assert time.monotonic() - began < 1
    assert (answer.ok, answer.code) == (False, UNAVAILABLE)
    grid.answer = echo  # the next call expects an answer again
    assert fleet.call("join", PAYLOADS, timeout_s=5)["bureau"].ok


def test_who_is_late_is_done_without_if_the_caller_can(
    fleet: Fleet, grid: "ScriptedGrid"
) -> None:
    grid.answer = lambda request: (
        echo(request) if request.metadata.dst_node_id == 11 else None
    )
    late: list[RunError] = []
    replies = fleet.call("round-1", PAYLOADS, 0.1, late=late.append)
    assert replies["bank"].ok
    assert (replies["bureau"].ok, replies["bureau"].code) == (False, UNAVAILABLE)
    assert [(fault.party, fault.what) for fault in late] == [
        ("bureau", "no answer to step round-1 within 0.1 s")
    ]


def test_a_swallowed_reply_is_done_without_if_the_caller_can(
    fleet: Fleet, grid: "ScriptedGrid", monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("veilscore.coordinator.fleet.REPLY_S", 0.3)
    grid.answer = lambda request: (
        echo(request) if request.metadata.dst_node_id == 11 else None
    )
    threading.Timer(0.1, fleet.note_done, ["bureau"]).start()
    late: list[RunError] = []
    replies = fleet.call("round-1", PAYLOADS, 20, late=late.append)
    assert replies["bank"].ok
    assert not replies["bureau"].ok
    assert [fault.party for fault in late] == ["bureau"]


def test_who_has_left_is_waited_for_in_no_call(
    fleet: Fleet, grid: "ScriptedGrid"
) -> None:
    grid.answer = lambda _: None
    threading.Timer(0.05, fleet.note_left, ["bureau"]).start()
    for _ in range(2):
        answer = fleet.call("round-1", {"bureau": b""}, timeout_s=5)["bureau"]
        assert (answer.ok, answer.code) == (False, UNAVAILABLE)


def test_the_rest_of_a_reply_is_not_wanted_from_a_party_that_has_left(
    fleet: Fleet, grid: "ScriptedGrid"
) -> None:
    wanted: list[bool] = []

    def begin(request: Message) -> Message:
        if request.metadata.dst_node_id == 11:
            return echo(request)
        wanted.append(grid.wanted(request.metadata.message_id))
        fleet.note_left("bureau")
        wanted.append(grid.wanted(request.metadata.message_id))
        return Message(Error(3, "its sender died"), reply_to=request)

    grid.answer = begin
    replies = fleet.call("counts", PAYLOADS, timeout_s=5)
    assert wanted == [True, False]
    assert replies["bank"].ok
    assert replies["bureau"].code == UNAVAILABLE


def test_no_rest_of_a_reply_is_wanted_in_a_run_that_is_over(
    fleet: Fleet, grid: "ScriptedGrid"
) -> None:
    def end(request: Message) -> Message:
        fleet.abort("the bureau is gone")
        assert not grid.wanted(request.metadata.message_id)
        return Message(Error(3, "its sender died"), reply_to=request)

    grid.answer = end
    judged: list[StepReply] = []
    with pytest.raises(RunError, match="the bureau is gone"):
        fleet.call("counts", PAYLOADS, 5, judged.append)
    assert not judged


def test_abort_ends_a_waiting_call_at_once_and_every_later_one(fleet: Fleet) -> None:
    threading.Timer(0.1, fleet.abort, ["bureau is gone"]).start()
    started = time.monotonic()
    with pytest.raises(RunError, match="bureau is gone"):
        fleet.call("counts", PAYLOADS, timeout_s=30)
    assert time.monotonic() - started < 0.6
    with pytest.raises(RunError, match="bureau is gone"):
        fleet.call("moments", PAYLOADS, timeout_s=30)


def test_a_done_notice_ends_the_slow_sleep(
    grid: "ScriptedGrid", woken: "Woken"
) -> None:
    done = threading.Event()
    fleet = Fleet(grid, "run-1", {"bank": 11}, wake=woken, step_done=done)

    def answer() -> None:
        grid.answer = echo
        done.set()

    threading.Timer(0.1, answer).start()
    started = time.monotonic()
    assert fleet.call("counts", {"bank": b""}, timeout_s=30)["bank"].ok
    assert time.monotonic() - started < 0.6


def test_a_superlink_that_comes_back_costs_time_only(
    fleet: Fleet, grid: "ScriptedGrid"
) -> None:
    grid.answer = echo
    grid.failures = [httpx.ConnectError("refused")]
    assert fleet.call("counts", {"bank": b""}, timeout_s=5)["bank"].ok


def test_a_reply_that_went_down_with_the_superlink_is_no_fault_of_the_party(
    fleet: Fleet, grid: "ScriptedGrid"
) -> None:
    """It was handed out, the answer was cut off: afterwards Flower knows of none."""
    grid.answer = lambda request: Message(Error(3, "gone"), reply_to=request)
    grid.failures = [httpx.ReadError("killed")]
    with pytest.raises(RunError, match="lost with the SuperLink") as caught:
        fleet.call("counts", {"bank": b""}, timeout_s=5)
    assert not caught.value.party
    answer = fleet.call("counts", {"bank": b""}, timeout_s=5)["bank"]
    assert (answer.ok, answer.code) == (False, "message-unavailable")


def test_a_reply_that_a_dying_superlink_swallowed_is_no_fault_of_the_party(
    fleet: Fleet, grid: "ScriptedGrid", monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("veilscore.coordinator.fleet.REPLY_S", 0.3)
    grid.answer = lambda _: None
    grid.failures = [httpx.ConnectError("killed")]
    threading.Timer(0.05, fleet.note_done, ["bank"]).start()
    with pytest.raises(RunError, match="lost with the SuperLink") as caught:
        fleet.call("counts", {"bank": b""}, timeout_s=20)
    assert not caught.value.party


@pytest.mark.parametrize(
    ("code", "what"), [(401, "the run was stopped"), (500, "the SuperLink failed")]
)
def test_a_superlink_that_refuses_ends_the_run(
    code: int, what: str, fleet: Fleet, grid: "ScriptedGrid"
) -> None:
    grid.failures = [status(code)]
    with pytest.raises(RunError, match=what):
        fleet.call("counts", {"bank": b""}, timeout_s=5)


def test_an_answer_to_another_message_is_ignored(
    fleet: Fleet, grid: "ScriptedGrid"
) -> None:
    def stray(request: Message) -> Message:
        message = echo(request)
        message.metadata.__dict__["_reply_to_message_id"] = "00" * 32
        return message

    grid.answer = stray
    with pytest.raises(RunError, match="no answer"):
        fleet.call("counts", {"bank": b""}, timeout_s=0.1)
