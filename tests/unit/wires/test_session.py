"""The stream of frames: order, loss and resumption."""

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.unit.wires.session_ends import HUB_ID, PARTY_ID, STEP_DONE, joined_ends
from veilscore.runtime.chunks import CHUNK_BYTES, split
from veilscore.runtime.outbox import WINDOW_BYTES
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
    ends = joined_ends()
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
    ends = joined_ends()
    bulk = bytes(20 * CHUNK_BYTES)
    ends.party.queue_envelope("b", bulk, urgent=False)
    ends.step(1)
    ends.party.queue_envelope("b", b"query", urgent=True)
    ends.settle()
    arrived = [e.data for e in ends.at_hub if isinstance(e, EnvelopeArrived)]
    assert arrived == [b"query", bulk]


def test_urgent_and_heartbeats_go_on_while_bulk_waits_for_acknowledgement() -> None:
    ends = joined_ends()
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
    ends = joined_ends()
    ends.hub.queue_ping(41)
    for frame in ends.hub.next_frames(CHUNK_BYTES):
        ends.party.receive(frame)
    (pong,) = ends.party.next_frames(CHUNK_BYTES)
    assert pong.pong.token == 41


def test_a_lost_party_is_told_with_its_reason() -> None:
    ends = joined_ends()
    ends.hub.queue_lost("bank-b", "its connection broke")
    ends.settle()
    assert PartyLost("bank-b", "its connection broke") in ends.at_party


def test_a_restarted_hub_makes_everything_new_and_names_who_missed_something() -> None:
    ends = joined_ends()
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
    ends = joined_ends()
    restarted = Session(b"P" * 16)
    restarted.dial()
    (hello,) = restarted.next_frames(CHUNK_BYTES)
    assert not ends.hub.continues(hello.hello)


def test_a_party_that_remembers_another_session_of_the_hub_starts_anew() -> None:
    ends = joined_ends()
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
