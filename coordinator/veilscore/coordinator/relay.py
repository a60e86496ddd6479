"""Passes sealed envelopes between parties, and says who is gone.

The relay sees who writes to whom, when and how much; envelopes are sealed, and it
does not open them. It is a party itself (``name``): envelopes to it come out as
events. Chunks are passed on one by one, as they come. A broken stream is not a lost
party: that is said after a grace, or when a party started anew, broke a rule or
does not respond, and then to all who are attached.

A recipient that does not keep up slows its senders down (their acknowledgements are
held back, so their bulk stops at the window), never the others. No socket, clock or
thread: times are seconds of one monotonic clock, given by the caller.
"""

import secrets
from collections import deque
from dataclasses import dataclass
from typing import Final

from veilscore.coordinator.errors import OverloadError
from veilscore.runtime.chunks import MAX_ENVELOPE_BYTES, is_urgent, split
from veilscore.runtime.errors import PeerLostError, WireError
from veilscore.runtime.outbox import WINDOW_BYTES
from veilscore.runtime.session import (
    SESSION_ID_BYTES,
    ChunkArrived,
    EnvelopeArrived,
    NoticeArrived,
    PartyLost,
    Session,
)
from veilscore.v1 import hub_pb2

GRACE_S: Final = 2.0
BEAT_S: Final = 5.0
HUNG_S: Final = 15.0
# Bulk that waits for one recipient before its senders are slowed down.
QUEUE_BYTES: Final = 64 * 1024 * 1024

GONE: Final = "its connection broke and it did not come back"
LEFT: Final = "it has left"
HUNG: Final = "its process does not respond"
RESTARTED: Final = "it started anew; what was under way is lost"
BROKE_RULES: Final = "it broke the rules of the wire"
REFUSED: Final = "the coordinator no longer admits it"
NOT_ATTACHED: Final = "it is not attached"

Arrival = EnvelopeArrived | NoticeArrived


@dataclass(slots=True)
class _Member:
    session: Session
    heard: float
    cut_at: float | None = None


@dataclass(frozen=True, slots=True)
class _Loss:
    at: float
    lost: PartyLost


class Relay:
    """All sessions of a hub."""

    def __init__(
        self,
        name: str,
        *,
        version: str = "",
        grace_s: float = GRACE_S,
        max_envelope: int = MAX_ENVELOPE_BYTES,
    ) -> None:
        self.name = name
        self.grace_s = grace_s
        self._version = version
        self._max_envelope = max_envelope
        self._members: dict[str, _Member] = {}
        # By sender and priority, the session that gets the envelope under way.
        self._routes: dict[tuple[str, bool], Session | None] = {}
        # By recipient, the senders that wait for it.
        self._held: dict[str, set[str]] = {}
        self._losses: deque[_Loss] = deque(maxlen=256)
        self._ready: set[str] = set()
        self._beaten: float | None = None  # when it last was

    def attached(self) -> frozenset[str]:
        """Return the parties that are not lost."""
        return frozenset(self._members)

    def take_ready(self) -> set[str]:
        """Return, once, the parties for which there may be new frames."""
        ready, self._ready = self._ready, set()
        return ready

    def attach(
        self, party: str, hello: hub_pb2.Hello, now: float
    ) -> tuple[bool, list[PartyLost]]:
        """Begin a party's stream; say whether it resumed, and whom that replaced.

        Raises WireError.
        """
        member = self._members.get(party)
        if member is not None and member.session.continues(hello):
            member.session.accept(hello)
            self._repeat_losses(member)
            member.heard, member.cut_at = now, None
            self._ready.add(party)
            return True, []
        lost = self.lose(party, RESTARTED, now)
        session = Session(
            secrets.token_bytes(SESSION_ID_BYTES),
            local=self.name,
            version=self._version,
            max_envelope=self._max_envelope,
        )
        session.accept(hello)
        self._members[party] = _Member(session, heard=now)
        self._ready.add(party)
        return False, lost

    def cut(self, party: str, now: float) -> None:
        """Note that a party's stream broke."""
        if member := self._members.get(party):
            member.cut_at = now

    def expire(self, now: float) -> list[PartyLost]:
        """Give up the parties whose streams broke a grace ago."""
        return [
            lost
            for party, member in list(self._members.items())
            if member.cut_at is not None and now >= member.cut_at + self.grace_s
            for lost in self.lose(party, GONE, now)
        ]

    def beat(self, now: float) -> list[PartyLost]:
        """Ping every party; give up those that long said nothing.

        Not after a time in which the hub itself did not run: it heard nobody then.
        """
        if self._beaten is not None and now - self._beaten > 2 * BEAT_S:
            for member in self._members.values():
                member.heard = now
        self._beaten = now
        lost: list[PartyLost] = []
        for party, member in list(self._members.items()):
            if now - member.heard > HUNG_S:
                lost += self.lose(party, HUNG, now)
            elif member.cut_at is None:
                member.session.queue_ping(secrets.randbits(64))
                self._ready.add(party)
        return lost

    def lose(self, party: str, reason: str, now: float) -> list[PartyLost]:
        """Forget a party and tell the others; returns what was told."""
        member = self._members.pop(party, None)
        if member is None:
            return []
        lost = PartyLost(party, reason)
        self._losses.append(_Loss(now, lost))
        for name, other in self._members.items():
            other.session.queue_lost(party, reason)
            self._ready.add(name)
        self._routes = {
            key: session
            for key, session in self._routes.items()
            if key[0] != party and session is not member.session
        }
        self.release(party)
        return [lost]

    def next_frames(self, party: str, budget: int) -> list[hub_pb2.Frame]:
        """Take frames to send to a party now; none if it is not attached."""
        member = self._members.get(party)
        return member.session.next_frames(budget) if member else []

    def receive(self, party: str, frame: hub_pb2.Frame, now: float) -> list[Arrival]:
        """Take a frame of a party; pass it on, or return what it says to the hub.

        Raises WireError, which ends the session, and OverloadError, which does not:
        the party repeats the frame on its next stream.
        """
        member = self._members.get(party)
        if member is None:
            raise PeerLostError("this party has been given up", party=party)
        member.heard = now
        if frame.HasField("chunk"):
            # The certificate says who writes, whatever the chunk says.
            setattr(frame.chunk, "from", party)
            self._check_load(frame.chunk.to)
        self._ready.add(party)
        arrivals: list[Arrival] = []
        for event in member.session.receive(frame):
            match event:
                case ChunkArrived():
                    self._route(party, member, frame)
                case EnvelopeArrived() | NoticeArrived():
                    arrivals.append(event)
                case _:
                    raise WireError("only the hub says who is lost")
        if party in self._held and not self.congested(party):
            self.release(party)
        return arrivals

    def send(self, to: str, data: bytes, *, urgent: bool) -> None:
        """Queue the hub's own envelope; raises PeerLostError if nobody is there."""
        if len(data) > self._max_envelope:
            raise ValueError("the envelope is larger than both ends accept")
        member = self._member(to)
        for frame in split(to, data, urgent=urgent):
            setattr(frame.chunk, "from", self.name)
            member.session.queue_chunk(frame)
        self._ready.add(to)

    def notify(self, to: str, notice: hub_pb2.Notice) -> None:
        """Queue a wake-up; raises PeerLostError if nobody is there."""
        self._member(to).session.queue_notice(notice)
        self._ready.add(to)

    def congested(self, to: str) -> bool:
        """Say whether bulk for a party should wait."""
        member = self._members.get(to)
        return member is not None and member.session.pending(urgent=False) > QUEUE_BYTES

    def hold(self, recipient: str, sender: str) -> None:
        """Slow a sender's bulk down until ``release(recipient)``."""
        if member := self._members.get(sender):
            self._held.setdefault(recipient, set()).add(sender)
            member.session.hold_acks = True

    def release(self, recipient: str) -> None:
        """Let the senders that waited for a recipient go on."""
        for sender in self._held.pop(recipient, ()):
            member = self._members.get(sender)
            waits = any(sender in senders for senders in self._held.values())
            if member is not None and not waits:
                member.session.hold_acks = False
                self._ready.add(sender)

    def _member(self, party: str) -> _Member:
        if member := self._members.get(party):
            return member
        raise PeerLostError(
            "this party is not attached",
            party=party,
            remedy="Ask its operator to start its node.",
        )

    def _check_load(self, to: str) -> None:
        # Honest senders do not get here: each stops at its window.
        limit = QUEUE_BYTES + 2 * WINDOW_BYTES * len(self._members)
        if member := self._members.get(to):
            for urgent in (True, False):
                if member.session.pending(urgent=urgent) > limit:
                    raise OverloadError("too much waits for one recipient", party=to)

    def _route(self, sender: str, member: _Member, frame: hub_pb2.Frame) -> None:
        chunk = frame.chunk
        key = (sender, is_urgent(chunk))
        target = self._members.get(chunk.to)
        session = target.session if target else None
        if chunk.offset == 0:
            self._routes[key] = session
            if session is None:
                member.session.queue_lost(chunk.to, NOT_ATTACHED)
        # The rest of an envelope whose recipient is gone, or came back without its
        # beginning, is of no use to anybody; its sender has been told.
        if session is None or self._routes.get(key) is not session:
            return
        session.queue_chunk(frame)
        self._ready.add(chunk.to)
        if self.congested(chunk.to):
            self.hold(chunk.to, sender)

    def _repeat_losses(self, member: _Member) -> None:
        # What was told shortly before a stream was noticed to be broken may not
        # have arrived; to be told twice does no harm.
        for loss in self._losses:
            if loss.at >= member.heard - self.grace_s:
                member.session.queue_lost(loss.lost.party, loss.lost.reason)
