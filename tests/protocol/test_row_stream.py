"""Encrypted rows in parts: the same sums, never too many under way, nobody stuck."""

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from tests.protocol.conduct import LeftOverError, Talk, conduct
from tests.protocol.plain_ring import MODULUS
from tests.protocol.streams import (
    MOST_COLUMNS,
    keeping,
    part,
    sending,
    under_way,
    whole,
)
from tests.protocol.whole_run import LABEL_HOLDER, People, WholeRun
from veilscore.models.errors import BoundError, ProtocolError
from veilscore.models.script import Await, Script, Send, drive
from veilscore.models.vertical.layout import ResidualLayout, rotated_bound
from veilscore.models.vertical.row_stream import AHEAD, Sums
from veilscore.models.vertical.run import RESIDUAL_SCALE
from veilscore.node.errors import TrainingError
from veilscore.node.training.mailbox import Mailbox
from veilscore.node.training.session import RunSession
from veilscore.runtime.errors import PeerLostError
from veilscore.v1.training_pb2 import RowsTaken, TrainingMessage

COLUMNS = 45  # of a sender: more than fit one plaintext


@pytest.mark.parametrize("rows", [0, 1, 8191, 8192, 8193, 20_000])
@pytest.mark.parametrize("columns", [1, COLUMNS])
def test_parts_add_up_to_the_whole(rows: int, columns: int) -> None:
    found: dict[str, Sums] = {}
    said = conduct(
        {
            "owner": sending(("one", "other"), rows, columns),
            "one": keeping(found, "one", "owner", rows),
            "other": keeping(found, "other", "owner", rows),
        }
    )
    assert len(whole(rows, columns)) == (2 if columns == COLUMNS and rows else 1)
    assert found["one"] == found["other"] == whole(rows, columns)
    parts = [m for _, _, m in said if m.HasField("encrypted_rows")]
    assert len(parts) == 2 * max(1, -(-rows // 8192))


def test_never_more_parts_are_under_way_than_agreed_on() -> None:
    found: dict[str, Sums] = {}
    receivers = ("fast", "late", "slow")
    scripts = {name: keeping(found, name, "owner", 95, 10) for name in receivers}
    scripts["owner"] = sending(receivers, 95, part_rows=10)
    for (sender, _), history in under_way(conduct(scripts)).items():
        assert sender == "owner"
        assert (max(history), history[-1]) == (AHEAD, 0)


def test_the_slowest_receiver_sets_the_pace() -> None:
    owner = Talk(sending(("fast", "slow"), 95, part_rows=10))
    assert len(owner.begin()) == 2 * AHEAD
    assert owner.waits == Await("rows_taken", ("fast", "slow"))
    credit = TrainingMessage(rows_taken=RowsTaken(rows=10))
    sent = owner.tell({"fast": credit, "slow": credit})
    assert [(each.to, each.message.encrypted_rows.first_row) for each in sent] == [
        ("fast", 40),
        ("slow", 40),
    ]


def receive(parts: list[TrainingMessage]) -> None:
    """Take 25 rows in parts of 10 from an owner that sends these."""
    talk = Talk(keeping({}, "holder", "owner", 25, 10))
    talk.begin()
    for message in parts:
        talk.tell({"owner": message})
    assert talk.waits is None


HONEST = [part(0, 10), part(10, 10), part(20, 5)]


@pytest.mark.parametrize(
    ("parts", "said"),
    [
        ([HONEST[1]], "from row 10 on where row 0 was due"),
        ([HONEST[0], HONEST[0]], "from row 0 on where row 10 was due"),
        ([HONEST[0], HONEST[2]], "from row 20 on where row 10 was due"),
        ([*HONEST[:2], part(25, 5)], "from row 25 on where row 20 was due"),
        ([part(2**32 - 1, 10)], "from row 4294967295 on where row 0 was due"),
        ([part(0, 10, ciphertexts=9)], "bytes, .* were due"),
        ([part(0, 10, ciphertexts=11)], "bytes, .* were due"),
        ([part(0, 10, ciphertexts=0)], "bytes, .* were due"),
        ([*HONEST[:2], part(20, 10)], "bytes, .* were due"),
        ([part(0, 10, columns=0)], "of 0 columns, 1 to 64 may be"),
        ([part(0, 10, columns=65)], "of 65 columns, 1 to 64 may be"),
        ([part(0, 10, columns=COLUMNS)], "bytes, .* were due"),
        ([HONEST[0], part(10, 10, columns=1)], "of 1 columns after rows of 2"),
    ],
)
def test_a_part_that_is_not_the_next_is_refused_and_its_sender_named(
    parts: list[TrainingMessage], said: str
) -> None:
    receive(HONEST)
    with pytest.raises(ProtocolError, match=said) as caught:
        receive(parts)
    assert caught.value.party == "owner"


@pytest.mark.parametrize("rows", [0, 9, 20, 2**32 - 1])
def test_an_acknowledgement_of_other_rows_is_refused_and_named(rows: int) -> None:
    owner = Talk(sending(("one", "other"), 25, part_rows=10))
    owner.begin()
    answers = {
        name: TrainingMessage(rows_taken=RowsTaken(rows=taken))
        for name, taken in (("one", 10), ("other", rows))
    }
    with pytest.raises(ProtocolError, match=f"took {rows} encrypted rows") as caught:
        owner.tell(answers)
    assert caught.value.party == "other"


def test_parts_in_another_order_for_another_holder_are_refused_there() -> None:
    def owner() -> Script:
        for at, message in enumerate(HONEST):
            yield Send("one", message)
            yield Send("other", HONEST[1 - at] if at < 2 else message)

    found: dict[str, Sums] = {}
    scripts = {name: keeping(found, name, "owner", 25, 10) for name in ("one", "other")}
    with pytest.raises(ProtocolError, match="where row 0 was due") as caught:
        conduct({**scripts, "owner": owner()})
    assert caught.value.party == "owner"
    assert "other" not in found


# -- rows beyond the last ----------------------------------------------------------


def with_more_rows(action: Send) -> list[Send]:
    """Return a message, and after a part of rows another beyond the last."""
    if not action.message.HasField("encrypted_rows"):
        return [action]
    beyond = TrainingMessage()
    beyond.CopyFrom(action.message)
    beyond.encrypted_rows.first_row = 420
    return [action, Send(action.to, beyond)]


def test_rows_beyond_the_last_end_the_run_and_name_their_sender(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    run = WholeRun(People.create())
    honest = RunSession._send  # pyright: ignore[reportPrivateUsage]

    def send(session: RunSession, action: Send) -> None:
        liar = session.around.party == LABEL_HOLDER
        for each in with_more_rows(action) if liar else [action]:
            honest(session, each)

    monkeypatch.setattr(RunSession, "_send", send)
    with pytest.raises(TrainingError, match="more messages of kind enc") as caught:
        run.play()
    assert caught.value.party == LABEL_HOLDER
    for session in run.sessions.values():  # all rows were taken before
        assert session.progress == (session.rows, session.rows) != (0, 0)


def test_a_message_left_over_is_noticed_here_too() -> None:
    def owner() -> Script:
        for message in (*HONEST, part(25, 10)):
            yield Send("holder", message)
        for _ in HONEST:
            yield Await("rows_taken", ("holder",))

    scripts = {"owner": owner(), "holder": keeping({}, "holder", "owner", 25, 10)}
    with pytest.raises(LeftOverError):
        conduct(scripts)


# -- a run that ends in the middle of a stream ---------------------------------------


def lose_the_holder(box: Mailbox) -> None:
    box.lose("holder", "gone")


def stop_the_run(box: Mailbox) -> None:
    box.end("it was stopped")


@pytest.mark.parametrize(
    ("strike", "error", "said"),
    [
        (lose_the_holder, PeerLostError, "gone"),
        (stop_the_run, TrainingError, "it was stopped"),
    ],
)
def test_both_ends_of_a_stream_hear_that_the_run_is_over(
    strike: Callable[[Mailbox], None], error: type[Exception], said: str
) -> None:
    ends = {"owner": Mailbox(), "holder": Mailbox()}
    reached, go_on = threading.Event(), threading.Event()

    def carry(action: Send) -> None:
        if action.message.encrypted_rows.first_row == 60:
            reached.set()
            go_on.wait(60)
        ends[action.to].put("owner", action.message)

    def credit(action: Send) -> None:
        if action.message.rows_taken.rows <= 30:  # the next never leaves
            ends[action.to].put("holder", action.message)

    def play(name: str) -> None:
        owner = name == "owner"
        drive(
            sending(("holder",), 95, part_rows=10)
            if owner
            else keeping({}, "holder", "owner", 95, 10),
            send=carry if owner else credit,
            wait=lambda asked: ends[name].take(asked.kind, asked.senders, 60),
            show=lambda _: None,
        )

    with ThreadPoolExecutor(2) as pool:
        playing = [pool.submit(play, name) for name in ends]
        assert reached.wait(60)
        strike(ends["owner"])
        ends["holder"].end(said)
        go_on.set()
        with pytest.raises(error, match=said):
            playing[0].result(60)
        with pytest.raises(TrainingError, match=said):
            playing[1].result(60)
    for box in ends.values():
        box.discard()
        box.put("owner", HONEST[0])
        box.check_empty()


# -- residuals ------------------------------------------------------------------


def test_sums_of_residuals_fit_or_are_refused_before_anything_is_sent() -> None:
    rows = 4_000_000
    found = ResidualLayout.plan(rows, MOST_COLUMNS, MODULUS)
    extreme = rows * rotated_bound(MOST_COLUMNS) * RESIDUAL_SCALE
    assert found.read(extreme, "x") == extreme
    assert found.read(-extreme, "x") == -extreme
    assert extreme < MODULUS // 2
    with pytest.raises(ProtocolError, match="out of its range") as caught:
        found.read(extreme + 1, "bureau")
    assert caught.value.party == "bureau"
    with pytest.raises(BoundError, match="do not fit a key of 61 bits"):
        ResidualLayout.plan(rows, MOST_COLUMNS, 2**61 - 1)
    assert found.pack(np.array([[3], [-4]])) == [[3, -4]]
