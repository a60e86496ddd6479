"""One end of a resumable stream of frames in two priorities.

Both ends of ``HubService.Attach`` run this. A frame that carries an envelope's
chunk or a notice is numbered, kept until the other end acknowledges it, and sent
again on the next stream if this one breaks: nothing arrives twice, nothing is left
out, and each priority keeps its order. Urgent frames overtake bulk.

A session belongs to both processes: each end has a random id and repeats the
other's. If either forgot (a restart, a loss announced), everything starts anew,
and ``SessionOpened.dropped`` names the recipients of what was not acknowledged.

Whoever runs this sees names, sizes and times, never what an envelope says. It does
not encrypt, route, or open connections; nothing here touches a socket, a clock or
a thread. Rules of the stream live here, in ``outbox`` and in ``chunks``.
"""

from collections import deque
from dataclasses import dataclass
from typing import Final

from veilscore.runtime.chunks import (
    CHUNK_BYTES,
    MAX_ENVELOPE_BYTES,
    Assembly,
    is_urgent,
    sender_of,
    split,
)
from veilscore.runtime.errors import WireError
from veilscore.runtime.outbox import FRAME_COST, WINDOW_BYTES, Outbox, cost, is_bulk
from veilscore.v1 import hub_pb2

ACK_EVERY: Final = 8
SESSION_ID_BYTES: Final = 16
MAX_TEXT_CHARS: Final = 256
# Answers to heartbeats and words of losses that may wait for an end that asks for more
# and takes none; an honest one is asked every 5 s.
MAX_CONTROL: Final = 4096


@dataclass(frozen=True, slots=True)
class SessionOpened:
    """Both ends know each other; ``dropped`` is empty if the session resumed."""

    resumed: bool
    dropped: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class EnvelopeArrived:
    """A whole envelope for this end."""

    sender: str
    data: bytes
    urgent: bool


@dataclass(frozen=True, slots=True)
class ChunkArrived:
    """A well-formed piece of an envelope for somebody else."""

    frame: hub_pb2.Frame


@dataclass(frozen=True, slots=True)
class NoticeArrived:
    """A wake-up from the other end."""

    notice: hub_pb2.Notice


@dataclass(frozen=True, slots=True)
class PartyLost:
    """A party is gone; may be told more than once."""

    party: str
    reason: str


Event = SessionOpened | EnvelopeArrived | ChunkArrived | NoticeArrived | PartyLost


class Session:
    """One end's numbers, queues and unfinished envelopes.

    ``own`` is this end's random id, ``local`` its name (see ``Assembly``). A rule
    that the other end breaks raises WireError; the session is then of no use.
    """

    def __init__(
        self,
        own: bytes,
        *,
        local: str = "",
        version: str = "",
        max_envelope: int = MAX_ENVELOPE_BYTES,
    ) -> None:
        self.own = own
        self.hold_acks = False
        """Back-pressure: without acks the other end's bulk stops at its window,
        while urgent frames, heartbeats and its own acks go on."""
        self._version = version
        self._local = local
        self._max_envelope = max_envelope
        self._peer = b""
        self._dialled = False
        self._start_anew()

    def _start_anew(self) -> None:
        self._open = False
        self._hello: hub_pb2.Frame | None = None
        self._control: deque[hub_pb2.Frame] = deque()
        self._outbox = Outbox()
        self._received: int = 0
        self._assembly = Assembly(self._local, self._max_envelope)
        self._have_acknowledged()

    @property
    def is_open(self) -> bool:
        """Whether the other end has said hello on the present stream."""
        return self._open

    def pending(self, *, urgent: bool) -> int:
        """Return the cost in bytes of what is queued or not yet acknowledged."""
        return self._outbox.pending(urgent=urgent)

    def undelivered(self) -> tuple[str, ...]:
        """Name the recipients of envelopes that are not acknowledged."""
        return self._outbox.recipients()

    def dial(self) -> None:
        """Begin a stream at the party's end."""
        self._dialled = True
        self._open = False
        self._hello = self._own_hello(self.own, self._peer)

    def continues(self, hello: hub_pb2.Hello) -> bool:
        """Say whether a dialler's hello resumes this session at the hub's end."""
        # A dialler that our first hello never reached cannot repeat our id.
        return hello.session == self._peer and hello.hub_session in (self.own, b"")

    def accept(self, hello: hub_pb2.Hello) -> None:
        """Begin a stream at the hub's end: resume, or open this new session."""
        _check_hello(hello)
        if self._peer:
            self._outbox.acknowledge(hello.received)
            self._outbox.replay()
        else:
            self._peer = hello.session
        self._open = True
        self._hello = self._own_hello(self._peer, self.own)

    def queue_envelope(self, to: str, data: bytes, *, urgent: bool) -> None:
        """Queue an envelope; raises ValueError above the size both ends accept."""
        if len(data) > self._max_envelope:
            raise ValueError("the envelope is larger than both ends accept")
        for frame in split(to, data, urgent=urgent):
            self.queue_chunk(frame)

    def queue_chunk(self, frame: hub_pb2.Frame) -> None:
        """Queue a frame with a chunk, which gets another number."""
        self._outbox.add(frame)

    def queue_notice(self, notice: hub_pb2.Notice) -> None:
        """Queue a wake-up, which is urgent."""
        self._outbox.add(hub_pb2.Frame(notice=notice))

    def queue_lost(self, party: str, reason: str) -> None:
        """Queue word of a lost party; it is not repeated if this stream breaks."""
        self._control.append(
            hub_pb2.Frame(lost=hub_pb2.Lost(party=party, reason=reason))
        )

    def queue_ping(self, token: int) -> None:
        """Queue a heartbeat; the answer counts like any frame that arrives."""
        self._control.append(hub_pb2.Frame(ping=hub_pb2.Ping(token=token)))

    def next_frames(self, budget: int) -> list[hub_pb2.Frame]:
        """Take frames to send now, about ``budget`` bytes; none if none may go."""
        frames: list[hub_pb2.Frame] = []
        if self._hello is not None:
            frames.append(self._hello)
            self._hello = None
        if not self._open:
            return frames
        if self._ack_due and not self.hold_acks:
            frames.append(hub_pb2.Frame(ack=hub_pb2.Ack(received=self._received)))
            self._have_acknowledged()
        frames += self._control
        self._control.clear()
        while budget > 0 and (frame := self._outbox.take()) is not None:
            frames.append(frame)
            budget -= cost(frame)
        return frames

    def receive(self, frame: hub_pb2.Frame) -> list[Event]:
        """Take a frame from the other end and say what it means."""
        if len(self._control) > MAX_CONTROL:
            raise WireError("the other end does not take what it asks for")
        # Every known field has a bound. ByteSize() would encode 256 KiB to tell.
        frame.DiscardUnknownFields()
        kind = frame.WhichOneof("body")
        if kind == "hello":
            return [self._receive_hello(frame.hello)]
        if not self._open:
            raise WireError("the first frame is not a hello")
        if kind in {"chunk", "notice"}:
            return self._receive_reliable(frame)
        if frame.seq:
            raise WireError("a frame that is never replayed has a number")
        if kind == "ack":
            self._outbox.acknowledge(frame.ack.received)
        elif kind == "ping":
            pong = hub_pb2.Pong(token=frame.ping.token)
            self._control.append(hub_pb2.Frame(pong=pong))
        elif kind == "lost":
            _check_text(frame.lost.party, frame.lost.reason)
            return [PartyLost(frame.lost.party, frame.lost.reason)]
        elif kind is None:
            raise WireError("a frame is empty or of an unknown kind")
        return []

    def _own_hello(self, session: bytes, hub_session: bytes) -> hub_pb2.Frame:
        self._have_acknowledged()
        return hub_pb2.Frame(
            hello=hub_pb2.Hello(
                session=session,
                hub_session=hub_session,
                received=self._received,
                version=self._version,
            )
        )

    def _have_acknowledged(self) -> None:
        self._ack_due = False
        self._unanswered = 0
        self._unanswered_bulk = 0

    def _receive_hello(self, hello: hub_pb2.Hello) -> SessionOpened:
        _check_hello(hello)
        if not self._dialled or self._open:
            raise WireError("a hello came where none belongs")
        if hello.session != self.own or len(hello.hub_session) != SESSION_ID_BYTES:
            raise WireError("a hello is not an answer to ours")
        if hello.hub_session == self._peer:
            self._outbox.acknowledge(hello.received)
            self._outbox.replay()
            self._open = True
            return SessionOpened(resumed=True)
        dropped: tuple[str, ...] = ()
        if self._peer:
            dropped = self.undelivered()
            self._start_anew()
        if hello.received:
            raise WireError("a new session begins at another number than 0")
        self._peer = hello.hub_session
        self._open = True
        return SessionOpened(resumed=False, dropped=dropped)

    def _receive_reliable(self, frame: hub_pb2.Frame) -> list[Event]:
        if frame.seq != self._received + 1:
            raise WireError("a frame is missing or came twice")
        self._received = frame.seq
        self._unanswered += 1
        if is_bulk(frame):
            self._unanswered_bulk += cost(frame)
        # The sender stops one frame after it has filled its window.
        if self._unanswered_bulk > WINDOW_BYTES + CHUNK_BYTES + FRAME_COST:
            raise WireError("more bulk than the window allows")
        if frame.HasField("notice"):
            self._ack_due = True
            _check_notice(frame.notice)
            return [NoticeArrived(frame.notice)]
        chunk = frame.chunk
        last = chunk.offset + len(chunk.data) == chunk.total
        self._ack_due |= last or self._unanswered >= ACK_EVERY
        data = self._assembly.add(chunk)
        if not self._assembly.is_local(chunk):
            return [ChunkArrived(frame)]
        if data is None:
            return []
        return [EnvelopeArrived(sender_of(chunk), data, is_urgent(chunk))]


def _check_hello(hello: hub_pb2.Hello) -> None:
    if len(hello.session) != SESSION_ID_BYTES:
        raise WireError("a session id does not have 16 bytes")
    _check_text(hello.version)


def _check_notice(notice: hub_pb2.Notice) -> None:
    if notice.kind not in hub_pb2.NoticeKind.values()[1:]:
        raise WireError("a notice is of an unknown kind")
    _check_text(notice.run, notice.step)


def _check_text(*fields: str) -> None:
    if any(len(text) > MAX_TEXT_CHARS for text in fields):
        raise WireError("a text is too long")
