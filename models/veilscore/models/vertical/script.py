"""A party's part of one training step, as a generator without I/O.

A script yields :class:`Send` for every message it wants sent and :class:`Await`
when it cannot go on without messages of others; the caller resumes it with a
mapping from sender to message. What carries the messages, how long to wait and
who is lost is the caller's business.
"""

from collections.abc import Generator, Mapping
from dataclasses import dataclass
from typing import TypeAlias

from veilscore.models.errors import ProtocolError
from veilscore.v1.training_pb2 import TrainingMessage


@dataclass(frozen=True, slots=True)
class Send:
    """One message to one party."""

    to: str
    message: TrainingMessage


@dataclass(frozen=True, slots=True)
class Await:
    """One message of this kind from each of these senders."""

    kind: str
    senders: tuple[str, ...]


Arrived: TypeAlias = Mapping[str, TrainingMessage]
Script: TypeAlias = Generator[Send | Await, Arrived, None]


def receive(
    kind: str, senders: tuple[str, ...]
) -> Generator[Send | Await, Arrived, Arrived]:
    """Wait for one message of ``kind`` (a field of TrainingMessage) per sender."""
    if not senders:
        return {}
    arrived = yield Await(kind, senders)
    for sender, message in arrived.items():
        if message.WhichOneof("body") != kind:
            raise ProtocolError(
                f"sent {message.WhichOneof('body')} where {kind} was due", party=sender
            )
    return arrived


def receive_one(
    kind: str, sender: str
) -> Generator[Send | Await, Arrived, TrainingMessage]:
    """Wait for one message of ``kind`` from one sender."""
    arrived = yield from receive(kind, (sender,))
    return arrived[sender]
