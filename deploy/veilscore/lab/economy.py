"""The demo economy: who defaults, and what each holder's table shows of it.

The log odds of default add up what every holder records (weighted), the region's
risk, what nobody records (governance and cash in themselves), and luck. Default
and its probability are known for every entity here, so that scores of entities
nobody has lent to can be judged; a table shows them only for past borrowers.

Chunk ``k`` is a pure function of (seed, k). Different numpy versions may draw other
numbers; one version draws the same on every platform, up to rounding.
"""

from collections.abc import Collection, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from veilscore.lab.holders import HOLDERS, Holder
from veilscore.lab.identities import Identities
from veilscore.lab.population import (
    CHUNK,
    OF_HOLDER,
    OF_TRUTH,
    Floats,
    Population,
    draw_population,
    draw_regions,
    stream,
)
from veilscore.lab.records import Records, logistic

_INTERCEPT = -3.27
_BY_TYPE = (0.0, 0.1, -0.1, -0.1, 0.15, 0.25)  # in the order of TYPES
_UNRECORDED_GOVERNANCE, _UNRECORDED_CASH, _LUCK = -0.105, -0.12, 0.75


@dataclass(frozen=True, slots=True)
class Table:
    """What one holder has: one row for each entity it knows.

    ``columns`` are float32 with NaN for missing; a category is the number of its
    level. ``labels`` (at the label holder only) is 1 bad, 0 good, -1 never borrowed.
    """

    who: Population
    columns: dict[str, NDArray[np.float32]]
    labels: NDArray[np.int8] | None

    def first(self, entities: int) -> "Table":
        """Return the rows of the economy's first so many entities."""
        return self._at(np.flatnonzero(self.who.serials < entities))

    def within(self, places: Collection[int]) -> "Table":
        """Return the rows of entities in these of the economy's places, from 0."""
        return self._at(np.flatnonzero(np.isin(self.who.regions, [*places])))

    def _at(self, rows: NDArray[np.intp]) -> "Table":
        return Table(
            who=self.who.at(rows),
            columns={name: values[rows] for name, values in self.columns.items()},
            labels=None if self.labels is None else self.labels[rows],
        )


@dataclass(frozen=True, slots=True)
class Chunk:
    """Some entities, every holder's table of them, and the truth about them."""

    who: Population
    tables: dict[str, Table]
    default_probability: Floats
    bad: NDArray[np.int8]


class Economy:
    """All entities and holders that follow from one seed."""

    def __init__(self, seed: int) -> None:
        self.seed = seed
        self._places = draw_regions(seed)
        self._identities = Identities(seed)

    def chunk(self, number: int) -> Chunk:
        """Draw the entities ``number * CHUNK`` and up, with all there is of them."""
        who = draw_population(self.seed, number, self._places)
        streams = {
            holder.name: stream(self.seed, OF_HOLDER, place, number)
            for place, holder in enumerate(HOLDERS.values())
        }
        records = {
            name: HOLDERS[name].draw(who, self._places, rng)
            for name, rng in streams.items()
        }
        luck = stream(self.seed, OF_TRUTH, number)
        odds = (
            _INTERCEPT
            + np.take(_BY_TYPE, who.kinds)
            + self._places.risk[who.regions]
            + sum(HOLDERS[name].weight * each.effect for name, each in records.items())
            + _UNRECORDED_GOVERNANCE * who.governance
            + _UNRECORDED_CASH * who.cash
            + luck.normal(0, _LUCK, CHUNK)
        )
        chance = logistic(odds)
        bad = (luck.random(CHUNK) < chance).astype(np.int8)
        tables = {
            name: _table(HOLDERS[name], who, each, bad, streams[name])
            for name, each in records.items()
        }
        return Chunk(who, tables, chance, bad)

    def tables(self, holder: str, entities: int) -> Iterator[Table]:
        """Yield a holder's rows of the first ``entities``, chunk by chunk."""
        for number in range(-(-entities // CHUNK)):
            yield self.chunk(number).tables[holder].first(entities)

    def holder(self, holder: str, entities: int) -> Table:
        """Return a holder's rows of the first ``entities`` in one table."""
        parts = list(self.tables(holder, entities))
        labels = [part.labels for part in parts if part.labels is not None]
        return Table(
            who=Population.joined([part.who for part in parts]),
            columns={
                name: np.concatenate([part.columns[name] for part in parts])
                for name in parts[0].columns
            },
            labels=np.concatenate(labels) if labels else None,
        )

    def ids(self, who: Population) -> tuple[list[str], list[str]]:
        """Return the ids of these entities, and their types."""
        return self._identities.of(who)


def _table(
    holder: Holder,
    who: Population,
    records: Records,
    bad: NDArray[np.int8],
    rng: np.random.Generator,
) -> Table:
    rows = np.flatnonzero(records.known)
    columns: dict[str, NDArray[np.float32]] = {}
    for column in holder.columns:
        values = np.round(records.values[column.name][rows], column.decimals)
        values[rng.random(len(rows)) < column.lost] = np.nan
        columns[column.name] = values.astype(np.float32)
    labels = np.where(who.history, bad, np.int8(-1))[rows] if holder.label else None
    return Table(who.at(rows), columns, labels)
