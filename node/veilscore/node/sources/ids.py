"""Normalise the id column: every row gets a valid id, or is rejected with a reason.

A check digit is never repaired. The reasons come from ``keys.entity_ids`` and
repeat no id.
"""

import sys
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from veilscore.keys.entity_ids import EntityKind, normalise
from veilscore.keys.errors import EntityIdError
from veilscore.node.columns import RejectedRow
from veilscore.node.entities import Entities, EntityIndex
from veilscore.node.errors import RejectedIdsError
from veilscore.node.sources.cells import text_of
from veilscore.node.sources.origin import Chunk, Origin
from veilscore.node.sources.settings import IdSettings


class Ids:
    """Normalised ids, which rows they stand in, and the rows without one."""

    def __init__(self, settings: IdSettings, origin: Origin) -> None:
        self._settings = settings
        self._origin = origin
        self._ids: list[Entities] = []
        self._kept: list[NDArray[np.bool_]] = []
        self._rejected: list[RejectedRow] = []

    def add(self, chunk: Chunk, first: int) -> None:
        """Check and normalise the ids of a chunk that starts at row ``first``."""
        cells = chunk[self._settings.column]
        kept = np.ones(len(cells), dtype=np.bool_)
        ids: list[str] = []
        for at, (cell, kind) in enumerate(zip(cells, self._kinds(chunk), strict=True)):
            if isinstance(cell, float):
                raise self._origin.error(
                    "the ids are floating-point numbers, which lose digits",
                    "Store the ids as text",
                    column=self._settings.column,
                    row=first + at,
                )
            try:
                ids.append(normalise(_kind(kind), text_of(cell)))
            except EntityIdError as error:
                kept[at] = False
                reason = sys.intern(error.what)  # one text for all rows it concerns
                self._rejected.append(
                    RejectedRow(first + at, self._settings.column, reason)
                )
        self._ids.append(Entities.of(ids))
        self._kept.append(kept)

    def _kinds(self, chunk: Chunk) -> Sequence[object]:
        if self._settings.type_column is not None:
            return chunk[self._settings.type_column]
        return [self._settings.type] * len(chunk[self._settings.column])

    def finish(self) -> tuple[Entities, NDArray[np.bool_], list[RejectedRow]]:
        """Return ids, the rows kept and the rows rejected.

        Raises RejectedIdsError if those are too many, SourceError on duplicates.
        """
        kept = np.concatenate(self._kept)
        share = self._settings.max_rejected_share
        if len(self._rejected) / len(kept) > share:
            raise self._too_many(
                f"{len(self._rejected)} of {len(kept)} rows have no valid id, more "
                f"than the allowed share of {share:g}"
            )
        ids = Entities.joined(self._ids)
        self._ids.clear()
        if not ids:
            raise self._too_many("no row has a valid id")
        self._refuse_duplicates(ids, kept)
        return ids, kept, self._rejected

    def _too_many(self, what: str) -> RejectedIdsError:
        first = self._rejected[0]
        column = self._settings.column
        error = RejectedIdsError(
            f"{what}; the first is row {first.row}: {first.reason}",
            party=self._origin.party,
            place=self._origin.place(column),
            remedy="Check the declared id type and column, or clean the ids",
        )
        error.rejected = tuple(self._rejected)
        return error

    def _refuse_duplicates(self, ids: Entities, kept: NDArray[np.bool_]) -> None:
        repeated, (before, at) = EntityIndex(ids).repeats()
        if repeated:
            rows = np.flatnonzero(kept) + 1
            raise self._origin.error(
                f"{repeated} ids are there already once normalised; the first "
                f"in data rows {rows[before]} and {rows[at]}",
                "Keep one row per entity",
                column=self._settings.column,
            )


def _kind(cell: object) -> EntityKind:
    try:
        return EntityKind(text_of(cell))
    except ValueError:
        raise EntityIdError("the id's type is not uscc, resident or opaque") from None
