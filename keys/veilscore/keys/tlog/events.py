"""Signed events: the leaves of the log, and the chain each actor makes of its own.

An event says what a party did, without any id, feature, label or score (see
``audit.proto``). The actor signs the exact bytes, numbers its events from 1 without
a gap and puts the hash of its last one into the next. Whoever orders the log can
therefore neither invent, alter, drop nor reorder a party's events unnoticed.

Time stamps are the actor's word. Only dates outside this century's use are refused
here: how far a clock may be off is for the receiving edge to say.
"""

import hashlib
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import cast

from google.protobuf.message import DecodeError, Message

from veilscore.keys.errors import ProofError, RegistryError, SignatureError
from veilscore.keys.identity import EVENT_DOMAIN, Signer, VerifyKey
from veilscore.keys.registry import Registry
from veilscore.keys.tlog.tiles import MAX_LEAF
from veilscore.keys.tlog.tree import HASH_SIZE
from veilscore.v1.audit_pb2 import (
    ConsentRegistered,
    ConsentWithdrawn,
    Erased,
    Event,
    Incident,
    KeyPublished,
    LogReconciled,
    ModelRegistered,
    PartyJoined,
    PrivacySpent,
    RegistryPublished,
    RunClosed,
    RunDecided,
    RunOpened,
    ScoreAnswered,
    ScoreDecided,
    ScoreRequested,
    SignedEvent,
    Started,
    StepDone,
    SumMade,
)

Detail = (
    PartyJoined
    | KeyPublished
    | RunOpened
    | RunDecided
    | StepDone
    | RunClosed
    | ModelRegistered
    | ScoreRequested
    | ScoreDecided
    | ScoreAnswered
    | Started
    | RegistryPublished
    | Incident
    | LogReconciled
    | ConsentRegistered
    | ConsentWithdrawn
    | Erased
    | SumMade
    | PrivacySpent
)

MOST_TOGETHER = 16
"""Events that a party hands in with one call at most."""

_VERSION = 1
_MAX_SEQ = 2**63  # what SQLite can hold
_KINDS = {  # field of ``Event`` by the name of the message in it
    field.message_type.name: field.name
    for field in Event.DESCRIPTOR.oneofs_by_name["detail"].fields
    if field.message_type is not None
}
_EARLIEST_MS = int(datetime(2020, 1, 1, tzinfo=UTC).timestamp()) * 1000
_LATEST_MS = int(datetime(2100, 1, 1, tzinfo=UTC).timestamp()) * 1000


@dataclass(frozen=True, slots=True)
class ActorHead:
    """The end of one actor's chain: its last number and that event's hash."""

    seq: int = 0
    digest: bytes = bytes(HASH_SIZE)

    def check_next(self, event: Event) -> None:
        """Raise ``ProofError`` unless ``event`` continues the chain."""
        if event.seq != self.seq + 1:
            raise ProofError(
                f"event {event.seq} of {event.actor} cannot follow its event "
                f"{self.seq}",
                party=event.actor,
            )
        if event.previous != self.digest:
            raise ProofError(
                f"event {event.seq} of {event.actor} follows another event "
                f"{self.seq} than the one in the log",
                party=event.actor,
            )


@dataclass(frozen=True, slots=True)
class OpenedEvent:
    """A leaf and the event in it."""

    leaf: bytes
    signed: SignedEvent
    event: Event

    @property
    def kind(self) -> str:
        """What was done, like ``score_requested``."""
        return cast("str", self.event.WhichOneof("detail"))

    @property
    def head(self) -> ActorHead:
        """Where the actor's chain ends with this event."""
        digest = hashlib.sha256(self.signed.body).digest()
        return ActorHead(self.event.seq, digest)


def build_event(
    detail: Detail, *, actor: str, head: ActorHead, correlation: str, time_ms: int
) -> Event:
    """Return the event that continues the actor's chain after ``head``."""
    event = Event(
        version=_VERSION,
        actor=actor,
        seq=head.seq + 1,
        previous=head.digest,
        time_ms=time_ms,
        correlation=correlation,
    )
    field = cast("Message", getattr(event, _KINDS[type(detail).__name__]))
    field.SetInParent()  # a detail without set fields is still one
    field.CopyFrom(detail)
    return event


def sign_event(event: Event, signer: Signer) -> OpenedEvent:
    """Sign an event of our own.

    Raises:
        ProofError: too large for a leaf, or a time no log accepts.

    """
    body = event.SerializeToString(deterministic=True)
    signed = SignedEvent(
        body=body,
        key_id=signer.verify_key.key_id,
        signature=signer.sign(EVENT_DOMAIN, body),
    )
    return read_event(signed.SerializeToString(deterministic=True))


def read_event(leaf: bytes) -> OpenedEvent:
    """Decode a leaf of a log that has verified it before.

    Raises:
        ProofError: not the one encoding of a complete event.

    """
    if len(leaf) > MAX_LEAF:
        raise ProofError(f"an event of {len(leaf)} bytes is over {MAX_LEAF}")
    signed, event = SignedEvent(), Event()
    _parse(leaf, signed)
    _parse(signed.body, event)
    if event.version != _VERSION:
        raise ProofError(f"this version knows no events of version {event.version}")
    if event.WhichOneof("detail") is None or not 0 < event.seq < _MAX_SEQ:
        raise ProofError("the event says nothing", party=event.actor)
    if len(event.previous) != HASH_SIZE:
        raise ProofError("the event names no predecessor", party=event.actor)
    if not _EARLIEST_MS <= event.time_ms < _LATEST_MS:
        raise ProofError(
            f"an event cannot be of time {event.time_ms} ms", party=event.actor
        )
    return OpenedEvent(leaf, signed, event)


def open_event(leaf: bytes, registry: Registry) -> OpenedEvent:
    """Decode a leaf and verify that the registered actor signed it.

    Raises:
        ProofError: malformed, of an unknown actor, or not signed by its key.

    """
    opened = read_event(leaf)
    try:
        key = registry.party(opened.event.actor).key
    except RegistryError as error:
        raise ProofError(
            error.what, party=opened.event.actor, remedy=error.remedy
        ) from error
    return _signed_by(key, opened)


def open_own_event(leaf: bytes, party: str, key: VerifyKey) -> OpenedEvent:
    """Decode a leaf of a party's own log and verify that this party signed it.

    Raises:
        ProofError: malformed, of another actor, or not signed by ``key``.

    """
    opened = read_event(leaf)
    if opened.event.actor != party:
        raise ProofError(
            f"an event of another party in the own log of {party}",
            party=opened.event.actor,
        )
    return _signed_by(key, opened)


def _signed_by(key: VerifyKey, opened: OpenedEvent) -> OpenedEvent:
    actor, signed = opened.event.actor, opened.signed
    if signed.key_id != key.key_id:
        raise ProofError(
            f"the event is signed with key {signed.key_id.hex()[:16]}, "
            f"its actor has {key.key_id.hex()}",
            party=actor,
        )
    try:
        key.verify(signed.signature, EVENT_DOMAIN, signed.body)
    except SignatureError as error:
        raise ProofError(error.what, party=actor, remedy=error.remedy) from error
    return opened


def _parse(data: bytes, message: Message) -> None:
    """Decode into ``message``, accepting only what we would encode ourselves."""
    try:
        message.ParseFromString(data)
    except DecodeError as error:
        raise ProofError("the event is not decodable") from error
    message.DiscardUnknownFields()
    if message.SerializeToString(deterministic=True) != data:
        raise ProofError("the event has unknown fields or a second spelling")
