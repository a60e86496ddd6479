"""The joint model as a scorecard: every member ends with the whole of it.

Afterwards it is a card like any other: the same file, the same points, the same scores,
also under encryption. A card that a member keeps to itself may have an intercept of its
own, or tables that were fitted further to its rows (``own_model``).
"""

from collections.abc import Mapping, Sequence

import numpy as np

from veilscore.models.binning import Bins
from veilscore.models.errors import DataError
from veilscore.models.horizontal.ports import Codes, Floats
from veilscore.models.rounding import points_near
from veilscore.models.scorecard import Card, Feature, Parameter, Scale


def joint_card(
    model: Floats,
    names: Sequence[str],
    bins: Sequence[Bins],
    *,
    run: str,
    holder: str,
    scale: Scale,
    granularity: int = 1,
    parameters: Mapping[str, Parameter],
    codes: Codes | None = None,
) -> Card:
    """Return the card of a model of shape (bins of all features + 1,).

    Points are rounded with the member's rows in view, if ``codes``, their bins, are
    given: each to the nearest they depend on no row.
    Raises ``DataError`` if the model has other bins, ``BoundError`` if points do not
    fit.
    """
    counts = [each.count for each in bins]
    if model.shape != (sum(counts) + 1,):
        raise DataError(
            f"a model of {model.size} parameters has not the {sum(counts)} bins",
            party=holder,
            remedy="Train with the bins that all members agreed on",
        )
    tables = np.split(model[:-1], np.cumsum(counts)[:-1])
    points = [scale.points(table) for table in tables]
    if codes is not None:
        points = points_near([scale.factor * table for table in tables], codes)
    intercept = float(model[-1])
    return Card(
        run=run,
        holder=holder,
        scale=scale,
        granularity=granularity,
        features=tuple(
            Feature(name, each, tuple(rounded.tolist()), tuple(table.tolist()))
            for name, each, table, rounded in zip(
                names, bins, tables, points, strict=True
            )
        ),
        parameters=dict(parameters),
        intercept_points=scale.intercept_points(intercept),
        intercept=intercept,
    )
