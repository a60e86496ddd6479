"""Waiting for messages of a run that may not come."""

import threading
import time

import pytest

from veilscore.coordinator.errors import RunError
from veilscore.coordinator.inbox import Inbox
from veilscore.keys.point_set import MAX_PARTS
from veilscore.v1.training_pb2 import (
    BlindedSet,
    SetMarks,
    SumMessage,
    SumWanted,
    TrainingMessage,
)

MARKS = TrainingMessage(set_marks=SetMarks(marks=b"\1"))
POINTS = TrainingMessage(blinded_set=BlindedSet(owner="bank"))


def test_messages_wait_by_sender_and_kind() -> None:
    inbox = Inbox()
    for sender in ("bank", "bureau"):
        inbox.put(sender, MARKS)
        inbox.put(sender, POINTS)
    assert inbox.take("set_marks", ("bank", "bureau"), 0) == {
        "bank": MARKS,
        "bureau": MARKS,
    }
    assert inbox.take("blinded_set", ("bureau",), 0) == {"bureau": POINTS}


def test_a_message_that_comes_late_ends_the_waiting() -> None:
    inbox = Inbox()
    threading.Timer(0.1, inbox.put, ["bank", MARKS]).start()
    assert inbox.take("set_marks", ("bank",), 20) == {"bank": MARKS}


def test_who_sent_nothing_is_named() -> None:
    inbox = Inbox()
    inbox.put("bank", MARKS)
    with pytest.raises(RunError, match=r"set_marks within 0\.05 s") as caught:
        inbox.take("set_marks", ("bank", "bureau", "market"), 0.05)
    assert caught.value.party == "bureau, market"


def test_an_end_wakes_whoever_waits_with_the_first_reason() -> None:
    inbox = Inbox()
    threading.Timer(0.1, inbox.end, [RunError("bureau is gone")]).start()
    started = time.monotonic()
    with pytest.raises(RunError, match="bureau is gone"):
        inbox.take("set_marks", ("bank",), 20)
    assert time.monotonic() - started < 5
    inbox.end(RunError("another reason"))
    inbox.put("bank", MARKS)
    with pytest.raises(RunError, match="bureau is gone"):
        inbox.take("set_marks", ("bank",), 20)


def test_a_second_message_of_a_kind_is_refused() -> None:
    inbox = Inbox()
    inbox.put("bank", MARKS)
    with pytest.raises(RunError, match="sent set_marks twice") as caught:
        inbox.put("bank", MARKS)
    assert caught.value.party == "bank"
    inbox.put("bank", TrainingMessage())
    with pytest.raises(RunError, match="sent nothing twice"):
        inbox.put("bank", TrainingMessage())


def test_a_set_comes_in_parts_and_no_more_than_it_may_have() -> None:
    inbox = Inbox()
    for part in range(MAX_PARTS):
        inbox.put("bank", TrainingMessage(blinded_set=BlindedSet(part=part)))
    taken = [
        inbox.take("blinded_set", ("bank",), 0)["bank"].blinded_set.part
        for _ in range(MAX_PARTS)
    ]
    assert taken == list(range(MAX_PARTS))
    with pytest.raises(RunError, match="sent blinded_set more than 64 times"):
        inbox.put("bank", POINTS)


def test_what_was_taken_does_not_make_room_for_a_second() -> None:
    inbox = Inbox()
    inbox.put("bank", MARKS)
    inbox.take("set_marks", ("bank",), 0)
    with pytest.raises(RunError, match="sent set_marks twice"):
        inbox.put("bank", MARKS)


def wanted(label: str) -> TrainingMessage:
    return TrainingMessage(sum=SumMessage(wanted=SumWanted(label=label, length=1)))


def test_messages_of_sums_come_in_their_order_of_whichever_sender() -> None:
    inbox = Inbox()
    assert inbox.next_sum(0) is None
    for label in ("first", "second"):
        for sender in ("bank", "bureau"):
            inbox.put(sender, wanted(label))
    taken = [inbox.next_sum(0) for _ in range(4)]
    assert [found and (found[0], found[1].wanted.label) for found in taken] == [
        ("bank", "first"),
        ("bureau", "first"),
        ("bank", "second"),
        ("bureau", "second"),
    ]


def test_no_sender_keeps_many_messages_of_sums_waiting() -> None:
    inbox = Inbox()
    for _ in range(100):  # each is answered before the next
        inbox.put("bank", wanted("one"))
        assert inbox.next_sum(0)
    for _ in range(8):
        inbox.put("bank", wanted("one"))
    with pytest.raises(RunError, match="over 8 messages of sums") as caught:
        inbox.put("bank", wanted("one"))
    assert caught.value.party == "bank"
    inbox.put("bureau", wanted("one"))


def test_a_poke_and_an_end_wake_who_waits_for_a_sum() -> None:
    inbox = Inbox()
    started = time.monotonic()
    threading.Timer(0.1, inbox.poke).start()
    assert inbox.next_sum(20) is None
    threading.Timer(0.1, inbox.end, [RunError("bureau is gone")]).start()
    with pytest.raises(RunError, match="bureau is gone"):
        inbox.next_sum(20)
    assert time.monotonic() - started < 5
    assert inbox.ended
    inbox.put("bank", wanted("late"))
    with pytest.raises(RunError, match="bureau is gone"):
        inbox.next_sum(0)
