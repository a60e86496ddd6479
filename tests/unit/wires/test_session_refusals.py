"""The stream of frames: what a peer may not do."""

from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.unit.wires.session_ends import HUB_ID, PARTY_ID, STEP_DONE, joined_ends
from veilscore.runtime.chunks import CHUNK_BYTES, MAX_UNFINISHED, Assembly, split
from veilscore.runtime.errors import WireError
from veilscore.runtime.outbox import FRAME_COST, WINDOW_BYTES
from veilscore.runtime.session import MAX_CONTROL, Session
from veilscore.v1 import hub_pb2


def _first_chunk(**changes: object) -> hub_pb2.Frame:
    (frame,) = split("b", b"four", urgent=False)
    frame.seq = 1
    for name, value in changes.items():
        setattr(frame.chunk, name, value)
    return frame


@pytest.mark.parametrize(
    "frame",
    [
        _first_chunk(envelope_id=b"short"),
        _first_chunk(to=""),
        _first_chunk(to="b" * 65),
        _first_chunk(total=(1 << 26) + 1),
        _first_chunk(total=3),
        _first_chunk(total=1 << 63, offset=1 << 62),
        _first_chunk(offset=1, total=9),
        _first_chunk(data=b""),
        _first_chunk(total=1 << 25, data=bytes(CHUNK_BYTES + 1)),
        hub_pb2.Frame(seq=2, notice=STEP_DONE),
        hub_pb2.Frame(seq=0, notice=STEP_DONE),
        hub_pb2.Frame(seq=1, notice=hub_pb2.Notice()),
        hub_pb2.Frame(seq=1, notice=hub_pb2.Notice(kind=STEP_DONE.kind, run="r" * 257)),
        hub_pb2.Frame(seq=1, ping=hub_pb2.Ping(token=1)),
        hub_pb2.Frame(ack=hub_pb2.Ack(received=1)),
        hub_pb2.Frame(lost=hub_pb2.Lost(party="x" * 257)),
        hub_pb2.Frame(hello=hub_pb2.Hello(session=PARTY_ID)),
        hub_pb2.Frame(),
    ],
)
def test_a_frame_that_breaks_a_rule_is_refused(frame: hub_pb2.Frame) -> None:
    ends = joined_ends()
    with pytest.raises(WireError):
        ends.hub.receive(frame)


def _set_id(chunk: hub_pb2.Chunk) -> None:
    chunk.envelope_id = b"x" * 16


def _set_offset(chunk: hub_pb2.Chunk) -> None:
    chunk.offset -= 1


def _set_total(chunk: hub_pb2.Chunk) -> None:
    chunk.total += 1


def _set_to(chunk: hub_pb2.Chunk) -> None:
    chunk.to = "c"


@pytest.mark.parametrize("change", [_set_id, _set_offset, _set_total, _set_to])
def test_a_chunk_that_does_not_continue_its_envelope_is_refused(
    change: Callable[[hub_pb2.Chunk], None],
) -> None:
    first, second = split("b", bytes(CHUNK_BYTES + 9), urgent=False)
    change(second.chunk)
    assembly = Assembly("", 1 << 26)
    assert assembly.add(first.chunk) is None
    with pytest.raises(WireError, match="does not continue"):
        assembly.add(second.chunk)


def test_a_new_envelope_replaces_what_a_restarted_sender_left_unfinished() -> None:
    assembly = Assembly("", 1 << 26)
    first, _ = split("b", bytes(CHUNK_BYTES + 9), urgent=False)
    (whole,) = split("b", b"whole", urgent=False)
    assert assembly.add(first.chunk) is None
    assert assembly.add(whole.chunk) == b"whole"


def test_unfinished_envelopes_are_limited_in_number() -> None:
    assembly = Assembly("", 1 << 26)
    for number in range(MAX_UNFINISHED):
        first, _ = split("b", bytes(CHUNK_BYTES + 1), urgent=False)
        setattr(first.chunk, "from", f"party-{number}")
        assembly.add(first.chunk)
    (another,) = split("b", b"one more", urgent=False)
    with pytest.raises(WireError, match="too many"):
        assembly.add(another.chunk)


def test_a_missing_and_a_repeated_frame_are_refused() -> None:
    for sequence in ([1, 3], [1, 1]):
        ends = joined_ends()
        ends.hub.receive(hub_pb2.Frame(seq=sequence[0], notice=STEP_DONE))
        with pytest.raises(WireError, match="missing or came twice"):
            ends.hub.receive(hub_pb2.Frame(seq=sequence[1], notice=STEP_DONE))


def test_bulk_beyond_the_window_is_refused() -> None:
    ends = joined_ends()
    ends.hub.hold_acks = True
    frames = split("b", bytes(WINDOW_BYTES + 4 * CHUNK_BYTES), urgent=False)
    arrived = 0
    with pytest.raises(WireError, match="window"):  # noqa: PT012 - which frame is the point
        for seq, frame in enumerate(frames, 1):
            frame.seq = seq
            ends.hub.receive(frame)
            arrived += len(frame.chunk.data)
    assert WINDOW_BYTES - CHUNK_BYTES <= arrived <= WINDOW_BYTES + CHUNK_BYTES


def test_tiny_chunks_are_charged_for_the_memory_they_take() -> None:
    ends = joined_ends()
    ends.hub.hold_acks = True
    for _ in range(2 * WINDOW_BYTES // FRAME_COST):
        ends.party.queue_envelope("b", b"", urgent=False)
    arrived = 0
    while frames := ends.party.next_frames(CHUNK_BYTES):
        for frame in frames:
            ends.hub.receive(frame)
            arrived += 1
    assert arrived == WINDOW_BYTES // FRAME_COST


@pytest.mark.parametrize(
    "hello",
    [
        hub_pb2.Hello(session=b"q" * 16, hub_session=HUB_ID),
        hub_pb2.Hello(session=PARTY_ID, hub_session=b"short"),
        hub_pb2.Hello(session=PARTY_ID, hub_session=HUB_ID, received=1),
        hub_pb2.Hello(session=PARTY_ID, hub_session=b"n" * 16, received=1),
        hub_pb2.Hello(session=PARTY_ID, hub_session=HUB_ID, version="v" * 257),
    ],
)
def test_a_hello_that_does_not_answer_ours_is_refused(hello: hub_pb2.Hello) -> None:
    party = Session(PARTY_ID)
    party.dial()
    with pytest.raises(WireError):
        party.receive(hub_pb2.Frame(hello=hello))


def test_a_dialler_that_acknowledges_what_was_never_sent_is_refused() -> None:
    ends = joined_ends()
    with pytest.raises(WireError, match="never sent"):
        ends.hub.accept(hub_pb2.Hello(session=PARTY_ID, hub_session=HUB_ID, received=1))


@pytest.mark.parametrize("dialled", [True, False])
def test_heartbeats_that_nobody_takes_the_answers_of_are_refused(
    *, dialled: bool
) -> None:
    ends = joined_ends()
    end = ends.party if dialled else ends.hub
    ping = hub_pb2.Frame(ping=hub_pb2.Ping(token=7))
    for _ in range(MAX_CONTROL + 1):
        end.receive(ping)
    with pytest.raises(WireError, match="does not take"):
        end.receive(ping)
    answered = [frame.pong.token for frame in end.next_frames(CHUNK_BYTES)]
    assert answered == [7] * (MAX_CONTROL + 1)


_TEXTS = st.text(max_size=300)
_NUMBERS = st.one_of(st.integers(0, 3), st.integers(0, 2**64 - 1))
_FRAMES = st.builds(
    hub_pb2.Frame,
    seq=_NUMBERS,
    chunk=st.none()
    | st.builds(
        hub_pb2.Chunk,
        envelope_id=st.sampled_from([b"e" * 16, b""]),
        to=_TEXTS,
        offset=_NUMBERS,
        total=_NUMBERS,
        data=st.binary(max_size=4),
        priority=st.sampled_from(hub_pb2.Priority.values()),
    ),
    notice=st.none() | st.builds(hub_pb2.Notice, run=_TEXTS, step=_TEXTS),
    ack=st.none() | st.builds(hub_pb2.Ack, received=_NUMBERS),
    lost=st.none() | st.builds(hub_pb2.Lost, party=_TEXTS, reason=_TEXTS),
)


@settings(max_examples=150, deadline=None)
@given(frames=st.lists(_FRAMES, max_size=5), data=st.binary(max_size=9))
def test_wrong_frames_raise_nothing_but_wire_errors(
    frames: list[hub_pb2.Frame], data: bytes
) -> None:
    ends = joined_ends()
    ends.hub.queue_envelope("p", data, urgent=True)
    ends.hub.next_frames(CHUNK_BYTES)
    try:
        for frame in frames:
            ends.hub.receive(frame)
    except WireError:
        return
    assert ends.hub.is_open
