"""What members agree on before a run: who takes part, and how the model is trained.

Everything that bounds a sum stands here, so that it can be shown before anything is
sent that no sum wraps around 2^64.
"""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from math import isfinite
from typing import Final, Literal

from veilscore.models.errors import DataError

LEAST_MEMBERS = 3  # of two each can tell the other's part of a sum
MOST_MEMBERS = 1 << 10
MOST_ROWS = 1 << 24
MOST_ROUNDS = 1 << 10
# Of 64-bit signed words one bit is the sign; another is kept free for rounding.
SUM_BITS = 62


@dataclass(frozen=True, slots=True)
class Members:
    """How many members a sum has, and how many rows one of them.

    ``colluding``: how many of them may put together what they know. Noise is shared
    out so that the others' suffices, and so that a sum of ``least`` has enough.
    """

    most: int
    least: int = 3
    most_rows: int = 1 << 20
    colluding: int = 1

    def __post_init__(self) -> None:
        """Refuse numbers under which a sum would hide nothing or could wrap."""
        if not LEAST_MEMBERS <= self.least <= self.most <= MOST_MEMBERS:
            raise _refused(
                "least_members",
                f"{LEAST_MEMBERS} to most_members, {MOST_MEMBERS} at most",
            )
        if not 1 <= self.most_rows <= MOST_ROWS:
            raise _refused("most_rows", f"1 to {MOST_ROWS}")
        if not 1 <= self.colluding <= self.least - 2:
            raise _refused("colluding", "1 to two fewer than least_members")

    @property
    def all_rows(self) -> int:
        """Most rows of all members together."""
        return self.most * self.most_rows


@dataclass(frozen=True, slots=True)
class Privacy:
    """Differential privacy of single rows (adding or removing one).

    ``clip``: most length of one row's gradient. ``noise``: standard deviation of the
    noise on a sum of gradients, in units of ``clip``; ``count_noise``: on counts of
    bins, in units of what one row can change them by.
    """

    clip: float
    noise: float
    count_noise: float

    def __post_init__(self) -> None:
        """Refuse what would be no noise."""
        _positive(self)


@dataclass(frozen=True, slots=True)
class Terms:
    """How the joint model is trained.

    ``average``: the members' mean change, times ``server_rate`` (FedAvg, McMahan et al.
    2017), and ``momentum`` of the earlier ones (FedAvgM, Hsu et al. 2019); with
    ``proximal`` > 0 local training is held near the joint model by that weight
    (FedProx, Li et al. 2020). ``adam``: FedAdam (Reddi et al. 2021). ``server_rate``
    falls linearly to nothing where ``decay``. ``ridge`` is the penalty of half the
    squared points against the sum of all rows' losses. ``longest_change``: the L2 norm
    that a member's change is cut to, and eight times what each of its entries is cut
    to. With ``average`` it bounds what a member can move, with ``adam`` it does not.
    """

    run: str
    members: Members
    optimizer: Literal["average", "adam"] = "average"
    rounds: int = 40
    local_epochs: int = 1
    batch: int = 128
    local_rate: float = 0.5
    proximal: float = 0.0
    server_rate: float = 1.0
    decay: bool = True
    momentum: float = 0.9
    second_momentum: float = 0.95
    adaptivity: float = 1e-4
    ridge: float = 10.0
    longest_change: float = 0.4
    privacy: Privacy | None = None

    def __post_init__(self) -> None:
        """Refuse numbers with which nothing can be trained."""
        for name in ("local_epochs", "batch", "rounds"):
            if not 1 <= getattr(self, name) <= MOST_ROWS:
                raise _refused(name, "at least 1")
        if self.rounds > MOST_ROUNDS:
            raise _refused("rounds", f"{MOST_ROUNDS} at most")
        for name in ("local_rate", "server_rate", "adaptivity", "longest_change"):
            if not (isfinite(getattr(self, name)) and getattr(self, name) > 0):
                raise _refused(name, "above 0")
        for name in ("proximal", "ridge"):
            if not (isfinite(getattr(self, name)) and getattr(self, name) >= 0):
                raise _refused(name, "at least 0")
        for name in ("momentum", "second_momentum"):
            if not 0 <= getattr(self, name) < 1:
                raise _refused(name, "from 0 to under 1")


NOISY: Final[Mapping[str, str | float]] = {
    "optimizer": "adam",
    "server_rate": 0.15,
    "momentum": 0.8,
    "adaptivity": 1e-3,
}
"""Terms with which a model learns more than with the defaults where sums are noisy.

Against noise steps of one size help, and nothing is lost by them: where sums are noisy
no bound holds a member's part down with any optimizer (models/README.md).
"""


def _positive(terms: Privacy) -> None:
    for field in fields(terms):
        value = getattr(terms, field.name)
        if not (isfinite(value) and value > 0):
            raise _refused(field.name, "above 0")


def _refused(name: str, allowed: str) -> DataError:
    return DataError(
        f"{name} must be {allowed}",
        place="contract",
        remedy=f"Correct {name} in the contract",
    )
