"""The entities of the demo economy and what drives them, seen by no holder.

Everything is a pure function of (seed, chunk), so that any number of processes
makes the same economy and its first entities do not change with its size. The
people and firms are invented; no real data went in.
"""

from collections.abc import Sequence
from dataclasses import dataclass, fields

import numpy as np
from numpy.typing import NDArray

CHUNK = 131_072
REGIONS = 43

TYPES = (
    "farm_household",
    "large_grower",
    "family_farm",
    "cooperative",
    "agri_enterprise",
    "sme",
)
HOUSEHOLD, AGRI_ENTERPRISE, SME = 0, 4, 5
_TYPE_SHARES = (0.90, 0.035, 0.012, 0.010, 0.013, 0.030)
_REGISTERED_HOUSEHOLDS = 0.06
# Of unregistered and registered entities; 42 % of all have a credit history.
_HISTORY = (0.38, 0.64)

# First part of the key of a random stream.
OF_REGIONS, OF_POPULATION, OF_IDS, OF_TRUTH, OF_HOLDER, OF_CLERK = range(6)

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Regions:
    """What the entities of a region share; arrays of length ``REGIONS``."""

    sizes: Floats
    risk: Floats
    land: Floats
    disaster: Floats
    reporting: Floats


@dataclass(frozen=True, slots=True)
class Population:
    """Some entities; arrays of one length."""

    serials: NDArray[np.int64]
    kinds: NDArray[np.int64]  # positions in TYPES
    regions: NDArray[np.int64]
    governance: Floats
    cash: Floats
    scale: Floats
    disaster: Floats  # 0 to 1
    registered: NDArray[np.bool_]  # known to the market regulator
    history: NDArray[np.bool_]  # has had a loan

    def at(self, rows: NDArray[np.intp]) -> "Population":
        """Return the entities at these rows."""
        return Population(
            **{field.name: getattr(self, field.name)[rows] for field in fields(self)}
        )

    @classmethod
    def joined(cls, parts: Sequence["Population"]) -> "Population":
        """Return the entities of all parts, one part after the other."""
        return cls(
            **{
                field.name: np.concatenate(
                    [getattr(part, field.name) for part in parts]
                )
                for field in fields(cls)
            }
        )


def stream(seed: int, *key: int) -> np.random.Generator:
    """Return the random numbers of one part of an economy."""
    return np.random.Generator(
        np.random.PCG64(np.random.SeedSequence(seed, spawn_key=key))
    )


def draw_regions(seed: int) -> Regions:
    """Draw the regions of an economy."""
    rng = stream(seed, OF_REGIONS)
    return Regions(
        sizes=rng.dirichlet(np.full(REGIONS, 3.0)),
        risk=rng.normal(0, 0.35, REGIONS),
        land=rng.normal(0, 0.35, REGIONS),
        disaster=rng.beta(2, 5, REGIONS),
        reporting=rng.normal(0, 0.2, REGIONS),
    )


def draw_population(seed: int, chunk: int, places: Regions) -> Population:
    """Draw the entities of a chunk."""
    rng = stream(seed, OF_POPULATION, chunk)
    kinds = rng.choice(len(TYPES), CHUNK, p=_TYPE_SHARES)
    where = rng.choice(REGIONS, CHUNK, p=places.sizes)
    governance = rng.normal(size=CHUNK)
    local = rng.normal(0, 0.08, CHUNK)
    registered = (kinds != HOUSEHOLD) | (rng.random(CHUNK) < _REGISTERED_HOUSEHOLDS)
    return Population(
        serials=np.arange(chunk * CHUNK, (chunk + 1) * CHUNK),
        kinds=kinds,
        regions=where,
        governance=governance,
        cash=0.35 * governance + 0.937 * rng.normal(size=CHUNK),
        scale=rng.normal(size=CHUNK),
        disaster=np.clip(places.disaster[where] + local, 0, 1),
        registered=registered,
        history=rng.random(CHUNK) < np.take(_HISTORY, registered),
    )
