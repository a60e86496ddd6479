"""Made-up tables of a county's farms, each with its outcome."""

import numpy as np

from veilscore.node.columns import CategoryColumn, Columns, NumericColumn
from veilscore.node.entities import Entities

LEVELS = ("rice", "tea", "wheat")


def farms(number: int, rows: int = 240) -> Columns:
    """Return a county's table; a quarter of its rows judge a model."""
    draw = np.random.default_rng(number)
    area = np.round(draw.lognormal(1, 0.8, rows), 1)
    debt = draw.integers(0, 9, rows).astype(np.float64)
    debt[draw.random(rows) < 0.1] = np.nan
    crop = draw.integers(-1, len(LEVELS), rows, dtype=np.int32)
    risk = 0.4 * np.nan_to_num(debt, nan=4.0) - 0.3 * area + 0.5 * (crop == 1)
    bad = risk + draw.logistic(0, 1, rows) > 1.5
    return Columns(
        Entities.of(f"X:farm-{number}-{row:04}" for row in range(rows)),
        (
            NumericColumn("area", area),
            NumericColumn("debt", debt),
            CategoryColumn("crop", crop, LEVELS),
        ),
        bad.astype(np.int8),
        np.arange(rows) % 4 == 0,
    )
