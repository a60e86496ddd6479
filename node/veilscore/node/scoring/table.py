"""Partial scores of named entities, from this party's own columns and card.

Nothing leaves here: who may see a partial score, and masked by what, is decided by
``holder`` and ``requester``.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from veilscore.models.scorecard import Card, Column
from veilscore.node.columns import Columns, Feature, NumericColumn


class Table:
    """The party's columns, found by normalised id."""

    def __init__(self, columns: Columns) -> None:
        self._columns = columns
        self._index = columns.index()

    def known(self, entities: Sequence[str]) -> NDArray[np.bool_]:
        """Return whether each entity has a row here, shape (entities,)."""
        found: NDArray[np.bool_] = self._index.rows(entities) >= 0
        return found

    def partial_scores(
        self, card: Card, entities: Sequence[str]
    ) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
        """Return points and whether each entity is known, both of shape (entities,).

        An entity without a row falls into the missing bin of every feature. Raises
        DataError if the card names a column that is not here.
        """
        rows = self._index.rows(entities)
        known = rows >= 0
        points = np.full(len(rows), card.missing_points, np.int64)
        found = self._columns.take(rows[known])
        columns = {feature.name: _cells(feature) for feature in found.features}
        points[known] = card.partial(columns)
        return points, known


def _cells(feature: Feature) -> Column:
    if isinstance(feature, NumericColumn):
        return feature.values
    levels: list[str | None] = [*feature.levels, None]  # code -1, missing: the last
    return [levels[int(code)] for code in feature.codes]
