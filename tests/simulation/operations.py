"""What can happen to a federation, and lists of it that follow from a seed."""

from dataclasses import dataclass
from enum import StrEnum
from random import Random
from typing import Final

LENGTH: Final = 60


class Kind(StrEnum):
    """One thing that happens; README.md says what follows from each."""

    ASK = "ask"  # the bank asks for scores
    DELIVER = "deliver"  # messages under way arrive, not always the oldest: reorder
    DROP = "drop"  # a message under way, request or response, is lost
    DUPLICATE = "duplicate"  # a message under way is doubled
    REPLAY = "replay"  # an old envelope, recorded at any time, is sent again
    RESEND = "resend"  # the requester sends an old query in a new envelope
    WAIT = "wait"  # time passes: a second to four hours, when receiving keys rotate
    CLOCK = "clock"  # a party's clock is set
    STOP = "stop"  # a node is stopped and started
    CRASH = "crash"  # a node dies at its next append or message, before or after it
    HUB = "hub"  # the coordinator is stopped and started
    LOSE_APPEND = "lose-append"  # a party's next call of the log is lost on the way
    LOSE_RECEIPT = "lose-receipt"  # the log's next answer to a party is lost
    REGISTRY = "registry"  # every party is admitted again: a newer registry


_WEIGHTS: Final = {
    Kind.ASK: 16,
    Kind.DELIVER: 50,
    Kind.DROP: 3,
    Kind.DUPLICATE: 6,
    Kind.REPLAY: 5,
    Kind.RESEND: 3,
    Kind.WAIT: 5,
    Kind.CLOCK: 3,
    Kind.STOP: 2,
    Kind.CRASH: 2,
    Kind.HUB: 1,
    Kind.LOSE_APPEND: 2,
    Kind.LOSE_RECEIPT: 2,
    Kind.REGISTRY: 1,
}


@dataclass(frozen=True, slots=True)
class Operation:
    """One operation; the numbers choose among what there is then."""

    kind: Kind
    which: int = 0
    how: int = 0


def operations(seed: int) -> list[Operation]:
    """Return the list that follows from a seed."""
    random = Random(seed)
    kinds = random.choices(list(_WEIGHTS), list(_WEIGHTS.values()), k=LENGTH)
    return [
        Operation(kind, random.randrange(100), random.randrange(100)) for kind in kinds
    ]
