"""What contracts of both kinds have: a scale, and parties that hold data."""

import math
from collections.abc import Iterable, Iterator
from typing import Annotated

from pydantic import Field

from veilscore.keys.registry import Registry, Role
from veilscore.models.vertical.run import LEAST_DOUBLING
from veilscore.runtime.settings import Settings
from veilscore.v1.training_pb2 import RosterEntry

Problem = tuple[str, str]
"""What contradicts itself or the registry, and its remedy."""

Positive = Annotated[float, Field(gt=0, lt=math.inf)]
NotNegative = Annotated[float, Field(ge=0, lt=math.inf)]
Points = Annotated[int, Field(ge=1, le=100_000)]
Count = Annotated[int, Field(ge=1, le=1_000_000)]
_Doubling = Annotated[float, Field(ge=LEAST_DOUBLING, lt=math.inf)]


class ScaleSettings(Settings):
    """``[scale]``: how odds become points."""

    base_points: Points = 600
    base_odds: Positive = 20.0
    points_to_double_odds: _Doubling = 40.0


def strangers(key: str, names: Iterable[str], registry: Registry) -> Iterator[Problem]:
    """Yield whom a key names that is no registered data holder."""
    holders = {
        record.name for record in registry.records if Role.DATA_HOLDER in record.roles
    }
    known = ", ".join(sorted(holders)) or "nobody is registered"
    for name in sorted(set(names) - holders):
        yield (
            f"`{key}` names {name[:40]!r}, which is no registered data holder",
            f"Name some of: {known}.",
        )


def roster(names: Iterable[str], registry: Registry) -> list[RosterEntry]:
    """Return these registered parties as a contract lists them."""
    fingerprints = registry.fingerprints()
    return [
        RosterEntry(party=name, fingerprint=fingerprints[name])
        for name in sorted(names)
    ]
