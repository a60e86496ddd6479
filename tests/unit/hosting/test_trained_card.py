"""The file of a hosted card made of a trained one says what the card says."""

from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.protocol.whole_cards import WHOLE, whole_card
from veilscore.models.binning import CategoricalBins, NumericBins
from veilscore.models.hosted import OneHot
from veilscore.models.scorecard import Card, Feature, Scale
from veilscore.node.hosting.card_file import decode
from veilscore.node.hosting.trained_card import encode
from veilscore.runtime.errors import ConfigError

CARD = WHOLE["bureau"]


def test_a_card_that_rounds_its_scores_is_not_hosted() -> None:
    with pytest.raises(ConfigError, match="rounded to 5 points") as caught:
        encode(whole_card("bureau", granularity=5), "joint model")
    assert caught.value.party == "bureau"


def test_a_card_of_too_many_bins_is_refused_as_every_hosted_card_is() -> None:
    levels = CategoricalBins(tuple(f"level {n}." for n in range(1000)), pooled=False)
    feature = Feature("kind", levels, (0,) * 1001, (0.0,) * 1001)
    data = encode(replace(CARD, features=(feature,)), "wide")
    with pytest.raises(ConfigError, match="1001 inputs, 1000 are allowed"):
        decode(data, Path("card.toml"), "bureau")


def test_a_column_of_as_many_edges_as_there_can_be_is_read() -> None:
    edges = tuple(number + 0.5 for number in range(101))
    bins = NumericBins(edges, (None,) * 102)
    feature = Feature("amount", bins, tuple(range(103)), (0.0,) * 103)
    card = decode(
        encode(replace(CARD, features=(feature,)), "long"), Path("card.toml"), "bureau"
    )
    assert card.weights == (tuple(range(103)),)


texts = st.text(st.characters(codec="utf-8"), min_size=1, max_size=20).filter(
    lambda text: text.count(".") < 50
)
points = st.integers(-(2**20), 2**20)
numbers = st.floats(-1e300, 1e300, allow_nan=False)


@st.composite
def numeric(draw: st.DrawFn) -> NumericBins:
    edges = tuple(sorted(draw(st.sets(numbers, max_size=6))))
    missing = tuple(draw(st.sets(numbers, max_size=2)))
    return NumericBins(edges, (None,) * (len(edges) + 1), missing)


@st.composite
def categorical(draw: st.DrawFn) -> CategoricalBins:
    named = draw(st.lists(texts, unique=True, max_size=6))
    at = draw(st.integers(0, len(named)))
    return CategoricalBins(tuple(named[:at]), draw(st.booleans()), tuple(named[at:]))


@st.composite
def cards(draw: st.DrawFn) -> Card:
    names = draw(st.lists(texts, unique=True, min_size=1, max_size=4))
    features: list[Feature] = []
    for name in names:
        bins = draw(st.one_of(numeric(), categorical()))
        table = draw(st.lists(points, min_size=bins.count, max_size=bins.count))
        features.append(Feature(name, bins, tuple(table), (0.0,) * bins.count))
    return Card(
        run=draw(texts),
        holder="bureau",
        scale=Scale(),
        granularity=1,
        features=tuple(features),
        parameters={},
        intercept_points=draw(points),
    )


@given(cards(), texts)
def test_whatever_a_card_holds_its_file_says_the_same(card: Card, name: str) -> None:
    read = decode(encode(card, name), Path("card.toml"), "bureau")
    assert (read.form.card, read.intercept) == (name, card.intercept_points)
    assert list(read.weights) == [feature.points for feature in card.features]
    for found, feature in zip(read.form.features, card.features, strict=True):
        assert found == OneHot(feature.name, feature.bins)
