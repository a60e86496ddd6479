"""A party's part of one training step, as a generator without I/O.

A script yields :class:`Send` for every message it wants sent, :class:`Await` when it
cannot go on without messages of others, and :class:`Progress` when there is something
to show; :func:`drive` runs it to its end. What carries the messages, how long to wait
and who is lost is the caller's business.
"""

from collections.abc import Callable, Generator, Mapping
from dataclasses import dataclass
from typing import TypeAlias, TypeVar

from veilscore.models.errors import ProtocolError
from veilscore.v1.training_pb2 import TrainingMessage

Result = TypeVar("Result")


@dataclass(frozen=True, slots=True)
class Send:
    """One message to one party."""

    to: str
    message: TrainingMessage


@dataclass(frozen=True, slots=True)
class Await:
    """One message of this kind from each of these senders.

    Before they send it, the senders may exchange ``parts`` parts of rows with others:
    whoever limits the wait for a message allows so many times more.
    """

    kind: str
    senders: tuple[str, ...]
    parts: int = 0


@dataclass(frozen=True, slots=True)
class Progress:
    """How much of the step is done, in rows."""

    done: int
    total: int


Action: TypeAlias = Send | Await | Progress
Arrived: TypeAlias = Mapping[str, TrainingMessage]
Script: TypeAlias = Generator[Action, Arrived, None]


def drive(
    script: Generator[Action, Arrived, Result],
    *,
    send: Callable[[Send], object],
    wait: Callable[[Await], Arrived],
    show: Callable[[Progress], object],
) -> Result:
    """Run a script to its end and return its result; raises what it or they raise."""
    arrived: Arrived | None = None  # which starts a script
    while True:
        try:
            action = next(script) if arrived is None else script.send(arrived)
        except StopIteration as stop:
            result: Result = stop.value
            return result
        arrived = {}
        match action:
            case Send():
                send(action)
            case Await():
                arrived = wait(action)
            case Progress():
                show(action)


def receive(
    kind: str, senders: tuple[str, ...], *, parts: int = 0
) -> Generator[Action, Arrived, Arrived]:
    """Wait for one message of ``kind`` (a field of TrainingMessage) per sender."""
    if not senders:
        return {}
    arrived = yield Await(kind, senders, parts)
    for sender, message in arrived.items():
        if message.WhichOneof("body") != kind:
            raise ProtocolError(
                f"sent {message.WhichOneof('body')} where {kind} was due", party=sender
            )
    return arrived


def receive_one(kind: str, sender: str) -> Generator[Action, Arrived, TrainingMessage]:
    """Wait for one message of ``kind`` from one sender."""
    arrived = yield from receive(kind, (sender,))
    return arrived[sender]
