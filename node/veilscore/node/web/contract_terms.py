"""What a page says of a run's contract to who decides about it, and of its steps."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Final

from google.protobuf.message import Message

from veilscore.keys.aggregation.terms import fewest_of
from veilscore.v1.training_pb2 import RunContract

_ELSEWHERE: Final = {"run", "roster", "label_holder"}  # on the page
_OF_HORIZONTAL: Final = (
    "min_count",
    "max_rows",
    "base_points",
    "base_odds",
    "points_to_double_odds",
    "granularity",
)

_MOST_LISTED: Final = 4  # steps of one kind, each by itself

Clause = tuple[str, float | str | bool]


@dataclass(frozen=True, slots=True)
class Stage:
    """A step, or ``of`` steps of which ``name`` is under way or the last."""

    name: str
    of: int
    done: bool
    under_way: bool


def clauses(contract: RunContract) -> list[Clause]:
    """Return the clauses that count in a run of its kind, by name."""
    if contract.HasField("horizontal"):
        terms = contract.horizontal
        shared = [(name, getattr(contract, name)) for name in _OF_HORIZONTAL]
        noise = _plain(terms.privacy) if terms.HasField("privacy") else ()
        return [*shared, *_plain(terms), *noise]
    return [clause for clause in _plain(contract) if clause[0] not in _ELSEWHERE]


def fewest_added(contract: RunContract) -> int:
    """Return how many members every sum of a horizontal run has at least."""
    return fewest_of(contract)


def stages(steps: Sequence[str], current: str) -> Iterator[Stage]:
    """Yield what a page lists of a run's steps: many numbered ones of a kind as one."""
    at = steps.index(current) if current in steps else 0
    first = 0
    for _, group in groupby(steps, lambda step: step.partition("-")[0]):
        names = list(group)
        parts = [names] if len(names) > _MOST_LISTED else [[name] for name in names]
        for part in parts:
            now = part[at - first] if first <= at < first + len(part) else part[-1]
            yield Stage(
                name=now,
                of=len(part),
                done=first + len(part) <= at,
                under_way=now == current,
            )
            first += len(part)


def _plain(message: Message) -> Iterator[Clause]:
    """Yield the fields that hold one value."""
    for field in message.DESCRIPTOR.fields:
        if field.message_type is None and not field.is_repeated:
            yield field.name, getattr(message, field.name)
