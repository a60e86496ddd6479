"""The relay without a network: honest parties, dead ones and wrong ones."""

from dataclasses import dataclass, field
from itertools import product
from typing import Final

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from veilscore.coordinator.errors import OverloadError
from veilscore.coordinator.relay import (
    BEAT_S,
    BROKE_RULES,
    GONE,
    GRACE_S,
    HUNG,
    HUNG_S,
    LEFT,
    NOT_ATTACHED,
    QUEUE_BYTES,
    RESTARTED,
    Relay,
)
from veilscore.runtime.chunks import CHUNK_BYTES, split
from veilscore.runtime.errors import WireError
from veilscore.runtime.outbox import WINDOW_BYTES
from veilscore.runtime.session import (
    EnvelopeArrived,
    Event,
    NoticeArrived,
    PartyLost,
    Session,
    SessionOpened,
)
from veilscore.v1 import hub_pb2

HUB: Final = "coordinator"


@dataclass
class Party:
    """An honest party at its end of a stream to the relay."""

    name: str
    relay: Relay
    lives: int = 0
    session: Session = field(init=False)
    events: list[Event] = field(default_factory=list[Event])
    opened_in: list[int] = field(default_factory=list[int])  # lives, a new session each

    def __post_init__(self) -> None:
        self.restart()

    def restart(self) -> None:
        """Forget everything, as a new process does."""
        self.lives += 1
        own = f"{self.name}{self.lives}".encode().ljust(16, b".")
        self.session = Session(own)

    def connect(self, now: float) -> None:
        """Open a stream, whatever became of the one before."""
        self.session.dial()
        (hello,) = self.session.next_frames(CHUNK_BYTES)
        self.relay.attach(self.name, hello.hello, now)

    def exchange(self, now: float, rounds: int = 1) -> list[object]:
        """Send and receive a little; return what the hub itself got."""
        arrived: list[object] = []
        for _ in range(rounds):
            for frame in self.session.next_frames(CHUNK_BYTES):
                arrived += self.relay.receive(self.name, _copied(frame), now)
            for frame in self.relay.next_frames(self.name, CHUNK_BYTES):
                events = self.session.receive(_copied(frame))
                for event in events:
                    if isinstance(event, SessionOpened) and not event.resumed:
                        self.opened_in.append(self.lives)
                self.events += events
        return arrived

    def envelopes(self, *, urgent: bool) -> list[tuple[str, bytes]]:
        """Return what arrived, in order."""
        return [
            (event.sender, event.data)
            for event in self.events
            if isinstance(event, EnvelopeArrived) and event.urgent is urgent
        ]

    def losses(self) -> list[tuple[str, str]]:
        """Return who was said to be lost, and why."""
        return [(e.party, e.reason) for e in self.events if isinstance(e, PartyLost)]


def _copied(frame: hub_pb2.Frame) -> hub_pb2.Frame:
    return hub_pb2.Frame.FromString(frame.SerializeToString())


def _parties(relay: Relay, *names: str) -> tuple[Party, ...]:
    parties = tuple(Party(name, relay) for name in names)
    for party in parties:
        party.connect(0)
        party.exchange(0)
    return parties


def test_the_relay_names_the_sender_whatever_the_sender_wrote() -> None:
    first, second = _parties(Relay(HUB), "aa", "bb")
    (frame,) = split("bb", b"hello", urgent=True)
    setattr(frame.chunk, "from", HUB)
    first.session.queue_chunk(frame)
    first.exchange(1)
    second.exchange(1)
    assert second.envelopes(urgent=True) == [("aa", b"hello")]


def test_what_a_sender_hides_in_unknown_fields_is_not_passed_on() -> None:
    relay = Relay(HUB)
    first, _ = _parties(relay, "aa", "bb")
    first.session.queue_envelope("bb", b"hello", urgent=True)
    (frame,) = first.session.next_frames(CHUNK_BYTES)
    padded = frame.SerializeToString() + b"\xfa\x07\x04evil"  # field 127
    assert b"evil" in hub_pb2.Frame.FromString(padded).SerializeToString()
    relay.receive("aa", hub_pb2.Frame.FromString(padded), 1)
    passed_on = relay.next_frames("bb", CHUNK_BYTES)
    assert b"hello" in b"".join(frame.SerializeToString() for frame in passed_on)
    assert b"evil" not in b"".join(frame.SerializeToString() for frame in passed_on)


def test_the_hub_hears_what_is_meant_for_it() -> None:
    relay = Relay(HUB)
    (party,) = _parties(relay, "aa")
    party.session.queue_envelope(HUB, b"blinded", urgent=False)
    notice = hub_pb2.Notice(kind=hub_pb2.NOTICE_KIND_STEP_DONE, run="r", step="s")
    party.session.queue_notice(notice)
    assert party.exchange(1, rounds=2) == [
        NoticeArrived(notice),
        EnvelopeArrived("aa", b"blinded", urgent=False),
    ]


def test_a_recipient_that_does_not_keep_up_slows_only_bulk_to_it() -> None:
    relay = Relay(HUB)
    first, slow, quick = _parties(relay, "aa", "bb", "cc")
    total = QUEUE_BYTES + 3 * WINDOW_BYTES
    for _ in range(total // (1 << 20)):
        first.session.queue_envelope("bb", bytes(1 << 20), urgent=False)
    first.exchange(1, rounds=2 * total // CHUNK_BYTES)
    assert first.session.pending(urgent=False) >= WINDOW_BYTES
    first.session.queue_envelope("cc", b"query", urgent=True)
    first.exchange(1)
    quick.exchange(1)
    assert quick.envelopes(urgent=True) == [("aa", b"query")]
    for _ in range(total // CHUNK_BYTES):
        slow.exchange(1, rounds=2)
        first.exchange(1, rounds=2)
    assert len(slow.envelopes(urgent=False)) == total // (1 << 20)
    assert first.session.pending(urgent=False) == 0


def test_a_flood_of_urgent_envelopes_is_stopped_before_it_fills_the_hub() -> None:
    relay = Relay(HUB)
    flooder, _ = _parties(relay, "aa", "bb")
    with pytest.raises(OverloadError):  # noqa: PT012 - some frame must, none may not
        for _ in range(QUEUE_BYTES + 5 * WINDOW_BYTES >> 20):
            flooder.session.queue_envelope("bb", bytes(1 << 20), urgent=True)
            flooder.exchange(1, rounds=4)


def test_an_envelope_to_nobody_is_answered_once() -> None:
    (party,) = _parties(Relay(HUB), "aa")
    party.session.queue_envelope("bb", bytes(3 * CHUNK_BYTES), urgent=False)
    party.exchange(1, rounds=6)
    assert party.losses() == [("bb", NOT_ATTACHED)]


def test_the_rest_of_an_envelope_is_not_sent_to_a_recipient_that_restarted() -> None:
    relay = Relay(HUB)
    sender, recipient = _parties(relay, "aa", "bb")
    sender.session.queue_envelope("bb", bytes(6 * CHUNK_BYTES), urgent=False)
    sender.exchange(1, rounds=3)
    recipient.restart()
    recipient.connect(2)
    sender.session.queue_envelope("bb", b"next", urgent=False)
    sender.exchange(2, rounds=9)
    recipient.exchange(2, rounds=9)
    assert recipient.envelopes(urgent=False) == [("aa", b"next")]
    assert sender.losses() == [("bb", RESTARTED)]


def test_a_cut_party_is_lost_after_the_grace_and_not_before() -> None:
    relay = Relay(HUB)
    first, _ = _parties(relay, "aa", "bb")
    relay.cut("bb", 10)
    assert relay.expire(10 + GRACE_S - 0.1) == []
    assert relay.expire(10 + GRACE_S) == [PartyLost("bb", GONE)]
    first.exchange(13)
    assert first.losses() == [("bb", GONE)]
    assert relay.attached() == {"aa"}


def test_a_party_that_says_nothing_for_long_is_hung() -> None:
    relay = Relay(HUB)
    first, silent = _parties(relay, "aa", "bb")
    now = 0.0
    lost: list[PartyLost] = []
    while not lost:
        now += BEAT_S
        lost = relay.beat(now)
        first.exchange(now, rounds=2)  # answers its ping
        assert now <= HUNG_S + BEAT_S
    assert lost == [PartyLost(silent.name, HUNG)]
    assert relay.attached() == {"aa"}


def test_a_hub_that_did_not_run_for_long_gives_nobody_up_for_it() -> None:
    relay = Relay(HUB)
    first, silent = _parties(relay, "aa", "bb")
    assert relay.beat(BEAT_S) == []
    woke = BEAT_S + 4 * HUNG_S
    assert relay.beat(woke) == []
    assert relay.attached() == {"aa", "bb"}
    # From then on silence counts again.
    now = woke
    while not (lost := relay.beat(now)):
        first.exchange(now, rounds=2)
        now += BEAT_S
        assert now <= woke + HUNG_S + BEAT_S
    assert lost == [PartyLost(silent.name, HUNG)]


def test_a_loss_told_into_a_broken_stream_is_told_again() -> None:
    relay = Relay(HUB)
    first, _ = _parties(relay, "aa", "bb")
    relay.lose("bb", LEFT, 5)
    relay.next_frames("aa", CHUNK_BYTES)  # written, never delivered
    relay.cut("aa", 6)
    first.connect(6.5)
    first.exchange(6.5)
    assert first.events[-2:] == [
        SessionOpened(resumed=True),
        PartyLost("bb", LEFT),
    ]


def test_only_the_hub_says_who_is_lost() -> None:
    relay = Relay(HUB)
    first, second = _parties(relay, "aa", "bb")
    with pytest.raises(WireError):
        relay.receive("aa", hub_pb2.Frame(lost=hub_pb2.Lost(party="bb")), 1)
    assert relay.lose("aa", BROKE_RULES, 1) == [PartyLost("aa", BROKE_RULES)]
    second.exchange(1)
    assert second.losses() == [("aa", BROKE_RULES)]
    assert first.losses() == []


_NAMES = ("aa", "bb", "cc")
_OPERATIONS = st.lists(
    st.one_of(
        st.tuples(
            st.just("send"),
            st.sampled_from(_NAMES),
            st.sampled_from(_NAMES),
            st.booleans(),
            st.sampled_from([0, 9, CHUNK_BYTES, 3 * CHUNK_BYTES]),
        ),
        st.tuples(st.just("exchange"), st.sampled_from(_NAMES), st.integers(1, 6)),
        st.tuples(st.just("cut"), st.sampled_from(_NAMES)),
        st.tuples(st.just("restart"), st.sampled_from(_NAMES)),
        st.tuples(st.just("wait"), st.floats(0.1, 3)),
    ),
    max_size=50,
)


@dataclass(frozen=True)
class _Sent:
    sender: str
    life: int  # of the sender
    to: str
    urgent: bool
    data: bytes


class _Simulation:
    """Three parties, one clock, and what was sent."""

    def __init__(self) -> None:
        self.relay = Relay(HUB)
        parties = _parties(self.relay, *_NAMES)
        self.parties = {party.name: party for party in parties}
        self.sent: list[_Sent] = []
        self._cut: set[str] = set()
        self._now = 0.0

    def apply(self, number: int, operation: tuple[object, ...]) -> None:
        """Do one operation; ``number`` makes envelopes distinct."""
        self._now += 0.01
        match operation:
            case ("send", str(name), str(to), bool(urgent), int(size)):
                data = number.to_bytes(2, "big") + bytes(size)
                sender = self.parties[name]
                sender.session.queue_envelope(to, data, urgent=urgent)
                self.sent.append(_Sent(name, sender.lives, to, urgent, data))
            case ("exchange", str(name), int(rounds)) if name not in self._cut:
                self.parties[name].exchange(self._now, rounds)
            case ("cut", str(name)) if name not in self._cut:
                self.relay.cut(name, self._now)
                self._cut.add(name)
            case ("restart", str(name)):
                self.parties[name].restart()
                self.parties[name].connect(self._now)
                self._cut.discard(name)
            case ("wait", float(seconds)):
                self._now += seconds
                self.relay.expire(self._now)
            case _:
                pass

    def settle(self) -> None:
        """Mend what is cut and deliver everything."""
        for name in self._cut:
            self.parties[name].connect(self._now)
        for _ in range(4 * len(self.sent) + 8):
            for party in self.parties.values():
                party.exchange(self._now, 2)


def _was_told(sender: Party, sent: _Sent) -> bool:
    return (
        sender.lives > sent.life  # nobody is left to be told
        or sender.opened_in.count(sent.life) > 1  # the hub's session was lost
        or any(party == sent.to for party, _ in sender.losses())
    )


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(operations=_OPERATIONS)
def test_an_envelope_arrives_once_and_in_order_or_its_sender_is_told(
    operations: list[tuple[object, ...]],
) -> None:
    run = _Simulation()
    for number, operation in enumerate(operations):
        run.apply(number, operation)
    run.settle()
    for recipient, urgent in product(run.parties.values(), (True, False)):
        arrived = recipient.envelopes(urgent=urgent)
        order = [
            (sent.sender, sent.data)
            for sent in run.sent
            if (sent.to, sent.urgent) == (recipient.name, urgent)
        ]
        for name in _NAMES:
            got = [envelope for envelope in arrived if envelope[0] == name]
            assert got == [e for e in order if e[0] == name and e in got]
        assert recipient.session.pending(urgent=urgent) == 0
    for sent in run.sent:
        arrived = run.parties[sent.to].envelopes(urgent=sent.urgent)
        sender = run.parties[sent.sender]
        assert (sent.sender, sent.data) in arrived or _was_told(sender, sent)
