"""Three holders' tables and cards of one model, and the scores computed by hand."""

import math
from collections.abc import Mapping

import numpy as np

from veilscore.models.binning import CategoricalBins, NumericBins
from veilscore.models.card_file import digest, encode
from veilscore.models.scorecard import Card, Feature, Scale
from veilscore.node.columns import CategoryColumn, Columns, NumericColumn
from veilscore.node.entities import Entities
from veilscore.v1.score_pb2 import CardEntry, ModelManifest

HOLDERS = ("bank", "bureau", "market")
GRANULARITY = 5

Row = tuple[float, str | None]


def entity(number: int) -> str:
    return f"X:firm {number:04}"


def rows(party: str, count: int) -> dict[str, Row]:
    """Return the party's table: two thirds of the entities, with gaps."""
    rng = np.random.default_rng(HOLDERS.index(party))
    table: dict[str, Row] = {}
    for number in range(count):
        if (number + HOLDERS.index(party)) % 3:
            amount = float("nan") if rng.random() < 0.1 else float(rng.normal(0, 30))
            level = str(rng.choice(["A", "B", "C", ""])) or None
            table[entity(number)] = (amount, level)
    return table


def columns(table: Mapping[str, Row]) -> Columns:
    levels = ("A", "B", "C")
    codes = [levels.index(level) if level else -1 for _, level in table.values()]
    return Columns(
        ids=Entities.of(table),
        features=(
            NumericColumn("amount", np.array([amount for amount, _ in table.values()])),
            CategoryColumn("kind", np.array(codes, np.int32), levels),
        ),
        labels=np.full(len(table), -1, np.int8),
        holdout=np.zeros(len(table), np.bool_),
    )


def card(party: str, run: str = "run-1") -> Card:
    rng = np.random.default_rng(HOLDERS.index(party) + len(run) * 10)
    bins = NumericBins((-40.0, -10.0, 0.0, 10.0, 40.0), (None,) * 6)
    points = [tuple(rng.integers(-80, 120, size).tolist()) for size in (7, 4)]
    return Card(
        run=run,
        holder=party,
        scale=Scale(),
        granularity=GRANULARITY,
        features=(
            Feature("amount", bins, points[0], (0.0,) * 7),
            Feature(
                "kind",
                CategoricalBins(("A", "B", "C"), pooled=False),
                points[1],
                (0.0,) * 4,
            ),
        ),
        parameters={},
    )


def manifest(*cards: Card) -> bytes:
    return ModelManifest(
        run=cards[0].run,
        contract=bytes(32),
        cards=[
            CardEntry(
                party=each.holder,
                card=digest(encode(each)),
                max_abs_points=each.max_abs_points,
            )
            for each in cards
        ],
        base_points=600,
        base_odds=20.0,
        points_to_double_odds=40.0,
        granularity=GRANULARITY,
    ).SerializeToString(deterministic=True)


def plain_partial(of: Card, row: Row | None) -> int:
    """Return one partial score, computed from the card by hand."""
    amount, level = row or (float("nan"), None)
    numbers, kinds = of.features
    assert isinstance(numbers.bins, NumericBins)
    at = 1 + sum(edge < amount for edge in numbers.bins.edges)
    if math.isnan(amount):
        at = 0
    total = numbers.points[at] + kinds.points["ABC".index(level) + 1 if level else 0]
    steps, rest = divmod(abs(total), GRANULARITY)
    rounded = (steps + (2 * rest >= GRANULARITY)) * GRANULARITY
    return rounded if total > 0 else -rounded


CARDS = {party: card(party) for party in HOLDERS}
ENTITIES = 300
ROWS = {party: rows(party, ENTITIES) for party in HOLDERS}


def plain_score(name: str, cards: Mapping[str, Card] = CARDS) -> int:
    return sum(plain_partial(of, ROWS[party].get(name)) for party, of in cards.items())
