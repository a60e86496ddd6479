import hashlib
import json
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from veilscore.models.binning import CategoricalBins, NumericBins
from veilscore.models.card_file import decode, digest, encode
from veilscore.models.errors import CardFileError
from veilscore.models.scorecard import Card, Feature, Scale

finite = st.floats(allow_nan=False, allow_infinity=False)
texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)


@st.composite
def features(draw: st.DrawFn, name: str) -> Feature:
    bins: NumericBins | CategoricalBins
    if draw(st.booleans()):
        edges = sorted(draw(st.sets(finite, max_size=4)))
        sole = [draw(st.none() | finite) for _ in range(len(edges) + 1)]
        codes = draw(st.lists(finite, max_size=2))
        bins = NumericBins(tuple(edges), tuple(sole), tuple(codes))
    else:
        levels = sorted(draw(st.sets(texts, max_size=4)))
        bins = CategoricalBins(tuple(levels), pooled=draw(st.booleans()))
    points = [draw(st.integers(-999, 999)) for _ in range(bins.count)]
    log_odds = [draw(finite) for _ in range(bins.count)]
    return Feature(name, bins, tuple(points), tuple(log_odds))


@st.composite
def cards(draw: st.DrawFn) -> Card:
    names = sorted(draw(st.sets(texts, min_size=1, max_size=3)))
    return Card(
        run=draw(texts),
        holder=draw(texts),
        scale=Scale(draw(st.integers(-999, 999)), draw(st.floats(0.1, 1e6)), 40.0),
        granularity=draw(st.integers(1, 50)),
        features=tuple(draw(features(name)) for name in names),
        parameters=draw(
            st.dictionaries(texts, texts | finite | st.booleans() | st.integers())
        ),
    )


CARD = Card(
    run="0f",
    holder="税务局",
    scale=Scale(),
    granularity=5,
    features=(
        Feature(
            "age", NumericBins((25.5,), (None, 30.0)), (0, -4, 9), (0.0, -0.1, 0.2)
        ),
        Feature("省", CategoricalBins(("京",), pooled=False), (0, 3), (0.0, 0.05)),
    ),
    parameters={"ridge": 1.0, "min_count": 20, "exact": False, "rows": "union"},
)


def forged(change: Callable[[dict[str, Any]], object]) -> bytes:
    """Return a file whose content was changed by somebody who can hash."""
    document = json.loads(encode(CARD)[1:-32])
    change(document)
    return sealed(
        json.dumps(document, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    )


def sealed(text: str) -> bytes:
    body = b"\x01" + text.encode()
    return body + hashlib.sha256(body).digest()


def test_layout() -> None:
    data = encode(CARD)
    assert data[0] == 1
    assert data[-32:] == hashlib.sha256(data[:-32]).digest()
    assert digest(data) == hashlib.sha256(data).digest()
    document = json.loads(data[1:-32])
    assert document["odds"] == "good:bad"
    assert document["card"]["holder"] == "税务局"
    assert document["card"]["features"][0]["points"] == [0, -4, 9]
    assert forged(lambda _: None) == data


@settings(max_examples=60, deadline=None)
@given(cards())
def test_round_trip_is_exact_and_canonical(card: Card) -> None:
    data = encode(card)
    again = decode(data)
    assert again == card
    assert encode(again) == data


def test_whole_numbers_are_read_back() -> None:
    card = Card("r", "b", Scale(600, 20, 40), 1, CARD.features, {"n": 1, "x": 1.0})
    again = decode(encode(card))
    assert again == card
    assert type(again.parameters["n"]) is int
    assert type(again.parameters["x"]) is float


def test_every_changed_byte_is_noticed() -> None:
    data = encode(CARD)
    for place in range(len(data)):
        broken = bytearray(data)
        broken[place] ^= 1
        with pytest.raises(CardFileError) as caught:
            decode(bytes(broken))
        assert caught.value.remedy


def test_every_truncation_is_noticed() -> None:
    data = encode(CARD)
    for length in range(len(data)):
        with pytest.raises(CardFileError):
            decode(data[:length])


def test_another_version_is_named() -> None:
    with pytest.raises(CardFileError, match="version 2"):
        decode(b"\x02" + encode(CARD)[1:])


CHANGES: dict[str, Callable[[dict[str, Any]], object]] = {
    "unknown field": lambda d: d["card"].update(extra=1),
    "unknown field of a feature": lambda d: d["card"]["features"][0].update(extra=1),
    "unknown field of the file": lambda d: d.update(extra=1),
    "no holder": lambda d: d["card"].pop("holder"),
    "odds the other way": lambda d: d.update(odds="bad:good"),
    "number as text": lambda d: d["card"].update(granularity="5"),
    "fraction of a point": lambda d: d["card"]["features"][0].update(
        points=[0, 1.5, 2]
    ),
    "one point too few": lambda d: d["card"]["features"][0]["points"].pop(),
    "NaN": lambda d: d["card"]["features"][0]["log_odds"].__setitem__(0, float("nan")),
    "infinity": lambda d: d["card"]["scale"].update(pdo=float("inf")),
    "NaN parameter": lambda d: d["card"]["parameters"].update(ridge=float("nan")),
    "odds of zero": lambda d: d["card"]["scale"].update(base_odds=0.0),
    "edges out of order": lambda d: d["card"]["features"][0]["bins"].update(
        edges=[2.0, 1.0], sole=[None, None, None]
    ),
    "points that overflow": lambda d: d["card"]["features"][0].update(
        points=[0, 0, 10**40]
    ),
    "a whole number where a fraction is written": lambda d: d["card"]["scale"].update(
        base_odds=20
    ),
    "card is a list": lambda d: d.update(card=[]),
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES.keys())
def test_a_well_hashed_flaw_is_refused(
    change: Callable[[dict[str, Any]], object],
) -> None:
    with pytest.raises(CardFileError):
        decode(forged(change))


def test_other_spellings_of_the_same_card_are_refused() -> None:
    text = encode(CARD)[1:-32].decode()
    assert decode(sealed(text)) == CARD
    duplicate = text.replace('"granularity":5', '"granularity":5,"granularity":5')
    for other in (text + "\n", text.replace(",", ", ", 1), duplicate):
        with pytest.raises(CardFileError, match=r"canonical|no card"):
            decode(sealed(other))


def test_what_cannot_be_read_is_not_written() -> None:
    with pytest.raises(CardFileError, match="no text"):
        encode(Card("\ud800", "b", Scale(), 1, CARD.features, {}))
    with pytest.raises(CardFileError, match="not finite"):
        encode(Card("r", "b", Scale(), 1, CARD.features, {"ridge": float("nan")}))


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=80), st.booleans())
def test_garbage_is_a_card_file_error(garbage: bytes, hashed: bool) -> None:  # noqa: FBT001 - drawn by hypothesis
    data = b"\x01" + garbage
    if hashed:
        data += hashlib.sha256(data).digest()
    with pytest.raises(CardFileError):
        decode(data)


def test_deep_nesting_is_refused() -> None:
    with pytest.raises(CardFileError):
        decode(sealed("[" * 100_000))
