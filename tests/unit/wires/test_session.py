"""The stream of frames: order, loss, resumption and what a peer may not do."""

from collections.abc import Callable
from dataclasses import dataclass, field

import pytest
from google.protobuf.message import DecodeError
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from veilscore.runtime.chunks import CHUNK_BYTES, MAX_UNFINISHED, Assembly, split
from veilscore.runtime.errors import WireError
from veilscore.runtime.outbox import FRAME_COST, WINDOW_BYTES
from veilscore.runtime.session import (
    ChunkArrived,
    EnvelopeArrived,
    Event,
    NoticeArrived,
    PartyLost,
    Session,
    SessionOpened,
)
from veilscore.v1 import hub_pb2

PARTY_ID = b"p" * 16
HUB_ID = b"h" * 16
STEP_DONE = hub_pb2.Notice(kind=hub_pb2.NOTICE_KIND_STEP_DONE, run="r1", step="counts")


@dataclass
class Ends:
    """A party's end and the hub's, and the frames on their way between them."""

    party: Session
    hub: Session
    to_hub: list[hub_pb2.Frame] = field(default_factory=list[hub_pb2.Frame])
    to_party: list[hub_pb2.Frame] = field(default_factory=list[hub_pb2.Frame])
    at_hub: list[Event] = field(default_factory=list[Event])
    at_party: list[Event] = field(default_factory=list[Event])

    def connect(self) -> None:
        """Break the stream, if there is one, and open the next."""
        self.to_hub.clear()
        self.to_party.clear()
        self.party.dial()
        (hello,) = self.party.next_frames(CHUNK_BYTES)
        assert not self.hub.is_open or self.hub.continues(hello.hello)
        self.hub.accept(hello.hello)

    def step(self, count: int = 1) -> bool:
        """Let each end send a little, and deliver ``count`` frames each way."""
        self.to_hub += self.party.next_frames(CHUNK_BYTES)
        self.to_party += self.hub.next_frames(CHUNK_BYTES)
        moved = bool(self.to_hub or self.to_party)
        for frame in self.to_hub[:count]:
            self.at_hub += self.hub.receive(_copied(frame))
        for frame in self.to_party[:count]:
            self.at_party += self.party.receive(_copied(frame))
        del self.to_hub[:count], self.to_party[:count]
        return moved

    def settle(self) -> None:
        """Deliver until nothing moves."""
        while self.step(8):
            pass


def _copied(frame: hub_pb2.Frame) -> hub_pb2.Frame:
    return hub_pb2.Frame.FromString(frame.SerializeToString())


def _ends(max_envelope: int = 1 << 26) -> Ends:
    ends = Ends(
        Session(PARTY_ID, max_envelope=max_envelope),
        Session(HUB_ID, max_envelope=max_envelope),
    )
    ends.connect()
    ends.settle()
    return ends


def _envelopes(events: list[Event], *, urgent: bool) -> list[bytes]:
    return [
        event.data
        for event in events
        if isinstance(event, EnvelopeArrived) and event.urgent is urgent
    ]


_SIZES = st.one_of(
    st.integers(0, 40),
    st.sampled_from([CHUNK_BYTES - 1, CHUNK_BYTES, CHUNK_BYTES + 1, 3 * CHUNK_BYTES]),
)
_OPERATIONS = st.lists(
    st.one_of(
        st.tuples(st.just("send"), st.booleans(), st.booleans(), _SIZES),
        st.tuples(st.just("notify"), st.booleans()),
        st.tuples(st.just("step"), st.integers(1, 9)),
        st.tuples(st.just("cut")),
    ),
    max_size=60,
)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(operations=_OPERATIONS, cut_hello=st.booleans())
def test_every_envelope_arrives_once_in_order_over_a_stream_that_breaks(
    operations: list[tuple[object, ...]], *, cut_hello: bool
) -> None:
    ends = _ends()
    sent: dict[tuple[bool, bool], list[bytes]] = {
        (up, urgent): [] for up in (True, False) for urgent in (True, False)
    }
    notices = {True: 0, False: 0}
    for number, operation in enumerate(operations):
        match operation:
            case ("send", bool(up), bool(urgent), int(size)):
                data = number.to_bytes(4, "big") + bytes([number % 251]) * size
                (ends.party if up else ends.hub).queue_envelope(
                    "b", data, urgent=urgent
                )
                sent[up, urgent].append(data)
            case ("notify", bool(up)):
                (ends.party if up else ends.hub).queue_notice(STEP_DONE)
                notices[up] += 1
            case ("step", int(count)):
                ends.step(count)
            case _:
                ends.connect()
                if cut_hello:  # the hub's hello is lost, too
                    ends.connect()
    ends.connect()
    ends.settle()
    for up, events in ((True, ends.at_hub), (False, ends.at_party)):
        for urgent in (True, False):
            assert _envelopes(events, urgent=urgent) == sent[up, urgent]
        arrived = [event for event in events if isinstance(event, NoticeArrived)]
        assert len(arrived) == notices[up]
    for end in (ends.party, ends.hub):
        assert end.pending(urgent=True) == end.pending(urgent=False) == 0


def test_urgent_overtakes_bulk_that_was_queued_before() -> None:
    ends = _ends()
    bulk = bytes(20 * CHUNK_BYTES)
    ends.party.queue_envelope("b", bulk, urgent=False)
    ends.step(1)
    ends.party.queue_envelope("b", b"query", urgent=True)
    ends.settle()
    arrived = [e.data for e in ends.at_hub if isinstance(e, EnvelopeArrived)]
    assert arrived == [b"query", bulk]


def test_urgent_and_heartbeats_go_on_while_bulk_waits_for_acknowledgement() -> None:
    ends = _ends()
    ends.hub.hold_acks = True
    big = bytes(3 * WINDOW_BYTES)
    ends.party.queue_envelope("b", big, urgent=False)
    ends.settle()
    assert ends.party.pending(urgent=False) > 2 * WINDOW_BYTES
    assert not _envelopes(ends.at_hub, urgent=False)
    ends.party.queue_envelope("b", b"query", urgent=True)
    ends.party.queue_ping(7)
    ends.settle()
    assert _envelopes(ends.at_hub, urgent=True) == [b"query"]
    ends.hub.hold_acks = False
    ends.settle()
    assert _envelopes(ends.at_hub, urgent=False) == [big]


def test_a_ping_is_answered_with_its_token() -> None:
    ends = _ends()
    ends.hub.queue_ping(41)
    for frame in ends.hub.next_frames(CHUNK_BYTES):
        ends.party.receive(frame)
    (pong,) = ends.party.next_frames(CHUNK_BYTES)
    assert pong.pong.token == 41


def test_a_lost_party_is_told_with_its_reason() -> None:
    ends = _ends()
    ends.hub.queue_lost("bank-b", "its connection broke")
    ends.settle()
    assert PartyLost("bank-b", "its connection broke") in ends.at_party


def test_a_restarted_hub_makes_everything_new_and_names_who_missed_something() -> None:
    ends = _ends()
    ends.party.queue_envelope("bank-b", bytes(9 * CHUNK_BYTES), urgent=False)
    ends.party.queue_envelope("bank-c", b"never sent", urgent=False)
    ends.party.queue_envelope("bank-d", b"query", urgent=True)
    ends.step(1)
    ends.hub = Session(b"H" * 16)
    ends.at_party.clear()
    ends.connect()
    ends.settle()
    dropped = ("bank-b", "bank-c", "bank-d")
    assert ends.at_party == [SessionOpened(resumed=False, dropped=dropped)]
    assert ends.party.pending(urgent=False) == ends.party.pending(urgent=True) == 0
    ends.at_hub.clear()
    ends.party.queue_envelope("bank-b", b"again", urgent=False)
    ends.settle()
    assert _envelopes(ends.at_hub, urgent=False) == [b"again"]


def test_a_restarted_party_is_not_taken_for_the_old_one() -> None:
    ends = _ends()
    restarted = Session(b"P" * 16)
    restarted.dial()
    (hello,) = restarted.next_frames(CHUNK_BYTES)
    assert not ends.hub.continues(hello.hello)


def test_a_party_that_remembers_another_session_of_the_hub_starts_anew() -> None:
    ends = _ends()
    ends.party.dial()
    (hello,) = ends.party.next_frames(CHUNK_BYTES)
    forgetful = Session(b"F" * 16)  # gave the party up; its hello was then lost
    forgetful.accept(hello.hello)
    assert not forgetful.continues(hello.hello)


def test_nothing_follows_the_hello_before_the_other_end_has_answered() -> None:
    party = Session(PARTY_ID)
    party.queue_envelope("b", b"early", urgent=True)
    party.dial()
    assert [f.WhichOneof("body") for f in party.next_frames(CHUNK_BYTES)] == ["hello"]
    assert not party.next_frames(CHUNK_BYTES)


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
    ends = _ends()
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


def test_envelopes_to_others_are_checked_and_passed_on_in_pieces() -> None:
    hub = Session(HUB_ID, local="coordinator")
    hub.accept(hub_pb2.Hello(session=PARTY_ID))
    data = bytes(CHUNK_BYTES) + b"tail"
    pieces = b""
    for seq, frame in enumerate(split("bank-b", data, urgent=False), 1):
        frame.seq = seq
        (event,) = hub.receive(frame)
        assert isinstance(event, ChunkArrived)
        pieces += event.frame.chunk.data
    assert pieces == data
    (frame,) = split("coordinator", b"mine", urgent=True)
    frame.seq = 3
    assert hub.receive(frame) == [EnvelopeArrived("", b"mine", urgent=True)]


def test_a_missing_and_a_repeated_frame_are_refused() -> None:
    for sequence in ([1, 3], [1, 1]):
        ends = _ends()
        ends.hub.receive(hub_pb2.Frame(seq=sequence[0], notice=STEP_DONE))
        with pytest.raises(WireError, match="missing or came twice"):
            ends.hub.receive(hub_pb2.Frame(seq=sequence[1], notice=STEP_DONE))


def test_bulk_beyond_the_window_is_refused() -> None:
    ends = _ends()
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
    ends = _ends()
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
    ends = _ends()
    with pytest.raises(WireError, match="never sent"):
        ends.hub.accept(hub_pb2.Hello(session=PARTY_ID, hub_session=HUB_ID, received=1))


@settings(max_examples=300, deadline=None)
@given(garbage=st.lists(st.binary(max_size=80), max_size=6), dialled=st.booleans())
def test_garbage_is_answered_or_refused_as_garbage(
    garbage: list[bytes], *, dialled: bool
) -> None:
    ends = _ends()
    end = ends.party if dialled else ends.hub
    for data in garbage:
        try:
            frame = hub_pb2.Frame.FromString(data)
        except DecodeError:
            continue
        try:
            end.receive(frame)
        except WireError:
            return
    assert end.is_open


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
    ends = _ends()
    ends.hub.queue_envelope("p", data, urgent=True)
    ends.hub.next_frames(CHUNK_BYTES)
    try:
        for frame in frames:
            ends.hub.receive(frame)
    except WireError:
        return
    assert ends.hub.is_open
