"""Waiting for messages of a run: what ends it, and how soon."""

import threading
import time

import pytest

from veilscore.node.errors import TrainingError
from veilscore.node.training.mailbox import Mailbox
from veilscore.runtime.errors import PeerLostError
from veilscore.v1.training_pb2 import (
    BlindedSet,
    Block,
    EncryptedRows,
    Slope,
    TrainingMessage,
)

SLOPE = TrainingMessage(slope=Slope(factor=1.5))
BLOCK = TrainingMessage(block=Block(weights=[1.0]))


def test_takes_the_kind_that_is_waited_for_in_order_of_arrival() -> None:
    box = Mailbox()
    box.put("bank", BLOCK)
    box.put("bank", SLOPE)
    box.put("bank", TrainingMessage(slope=Slope(factor=2.5)))
    factors = [box.take("slope", ("bank",), 1)["bank"].slope.factor for _ in range(2)]
    assert factors == [1.5, 2.5]


def test_waits_until_the_last_sender_has_sent() -> None:
    box = Mailbox()
    box.put("bank", SLOPE)
    timer = threading.Timer(0.1, box.put, ("bureau", SLOPE))
    timer.start()
    assert set(box.take("slope", ("bank", "bureau"), 5)) == {"bank", "bureau"}


def test_names_who_did_not_send_in_time() -> None:
    box = Mailbox()
    box.put("bank", SLOPE)
    with pytest.raises(TrainingError, match="did not send slope") as caught:
        box.take("slope", ("bank", "bureau"), 0.05)
    assert caught.value.party == "bureau"


def test_a_lost_party_ends_the_wait_at_once_and_is_named() -> None:
    box = Mailbox()
    threading.Timer(0.1, box.lose, ("bureau", "the stream is gone")).start()
    started = time.monotonic()
    with pytest.raises(PeerLostError, match="the stream is gone") as caught:
        box.take("slope", ("bureau",), 30)
    assert caught.value.party == "bureau"
    assert time.monotonic() - started < 5


def test_what_a_lost_party_sent_before_still_counts() -> None:
    box = Mailbox()
    box.put("bureau", SLOPE)
    box.lose("bureau", "gone")
    assert set(box.take("slope", ("bureau",), 1)) == {"bureau"}


def test_the_end_of_the_run_ends_the_wait() -> None:
    box = Mailbox()
    box.end("the coordinator ended it")
    with pytest.raises(TrainingError, match="the coordinator ended it"):
        box.take("slope", ("bureau",), 30)


@pytest.mark.parametrize(
    ("message", "most"),
    [(SLOPE, 64), (TrainingMessage(blinded_set=BlindedSet(owner="bank")), 256)],
)
def test_a_flood_is_refused_and_named(message: TrainingMessage, most: int) -> None:
    box = Mailbox()
    for _ in range(most):
        box.put("bureau", message)
    with pytest.raises(TrainingError, match="too many") as caught:
        box.put("bureau", message)
    assert caught.value.party == "bureau"


def test_parts_of_rows_are_refused_sooner_than_small_messages() -> None:
    box = Mailbox()
    for number in range(4):
        rows = EncryptedRows(first_row=number)
        box.put("bureau", TrainingMessage(encrypted_rows=rows))
    with pytest.raises(TrainingError, match="too many messages of kind enc") as caught:
        box.put("bureau", TrainingMessage(encrypted_rows=EncryptedRows()))
    assert caught.value.party == "bureau"
    box.put("market", TrainingMessage(encrypted_rows=EncryptedRows()))


def test_what_nobody_waited_for_is_named_with_its_sender() -> None:
    box = Mailbox()
    box.put("bank", BLOCK)
    box.put("bureau", SLOPE)
    box.take("block", ("bank",), 1)
    with pytest.raises(TrainingError, match="more messages of kind slope") as caught:
        box.check_empty()
    assert caught.value.party == "bureau"
    assert caught.value.remedy
    box.take("slope", ("bureau",), 1)
    box.check_empty()


def test_a_discarded_mailbox_keeps_nothing() -> None:
    box = Mailbox()
    box.put("bank", BLOCK)
    box.discard()
    box.put("bank", SLOPE)
    box.check_empty()
    with pytest.raises(TrainingError, match="did not send block"):
        box.take("block", ("bank",), 0.01)
