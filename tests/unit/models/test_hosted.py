"""Hosted cards: encrypted scores equal plain ones, and slots hold all of them."""

import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from veilscore.keys.paillier.private import PrivateKey
from veilscore.keys.paillier.workers import PaillierWorkers
from veilscore.models.binning import CategoricalBins, NumericBins
from veilscore.models.errors import BoundError, DataError
from veilscore.models.hosted import (
    INTEGER_LIMIT,
    MOST_INPUTS,
    WIDEST_SLOT,
    Feature,
    FixedPoint,
    Form,
    HostedCard,
    OneHot,
    Value,
)
from veilscore.models.padded_batch import PADDING_BITS, Batch

N = (1 << 2047) + 1_234_567  # for what needs no key
INCOME = OneHot("income", NumericBins((10.0, 50.0), (None,) * 3, (-1.0,)))
KIND = OneHot("kind", CategoricalBins(("farm", "shop"), pooled=True, missing=("?",)))
AGE = FixedPoint("age", 10, 18.0, 100.0)


def form(*features: Feature, bits: int = WIDEST_SLOT) -> Form:
    return Form("bureau", "a card", features, bits)


@pytest.fixture(scope="module")
def private() -> PrivateKey:
    return PrivateKey.generate(2048)


Case = tuple[HostedCard, list[list[int]]]


def inputs_of(feature: Feature) -> st.SearchStrategy[list[int]]:
    """Draw the inputs of one applicant, often those at the ends of a range."""
    if isinstance(feature, OneHot):
        at = st.integers(0, feature.width - 1)
        return at.map(lambda code: [int(code == bin_) for bin_ in range(feature.width)])
    low, high = round(feature.low * feature.scale), round(feature.high * feature.scale)
    return st.one_of(st.sampled_from([low, high]), st.integers(low, high)).map(
        lambda number: [number]
    )


@st.composite
def cases(draw: st.DrawFn, most: int = 120) -> Case:
    """Draw a card and rows of inputs for it."""
    features: list[Feature] = []
    weights: list[list[int]] = []
    size = draw(st.sampled_from([3, 200, 1 << 16, INTEGER_LIMIT - 1]))
    weight = st.integers(-size, size)
    for number in range(draw(st.integers(1, 6))):
        name = f"f{number}"
        if draw(st.booleans()):
            edges = tuple(float(edge) for edge in range(draw(st.integers(0, 5))))
            bins = NumericBins(edges, (None,) * (len(edges) + 1))
            features.append(OneHot(name, bins))
        else:
            low = draw(st.integers(-1000, 1000))
            high = draw(st.integers(low, 1001))
            scale = draw(st.sampled_from([1, 7, 1000]))
            features.append(FixedPoint(name, scale, low, high))
        weights.append([draw(weight) for _ in range(features[-1].width)])
    card = HostedCard.of(form(*features), weights, draw(weight))
    return card, [
        [number for feature in features for number in draw(inputs_of(feature))]
        for _ in range(draw(st.integers(1, most)))
    ]


def plain(card: HostedCard, row: Sequence[int]) -> int:
    products = (w * x for w, x in zip(card.exponents, row, strict=True))
    return card.intercept + sum(products)


@given(case=cases())
def test_sums_of_packed_inputs_unpack_to_the_plain_scores(case: Case) -> None:
    """Modulo n only: what encryption carries, without encrypting."""
    card, rows = case
    batch = Batch(N, card.form.bits, len(rows))
    packed = batch.pack(rows)
    inputs = card.form.inputs
    sums = [
        sum(
            weight * residue
            for weight, residue in zip(
                card.exponents, packed[start : start + inputs], strict=True
            )
        )
        for start in range(0, len(packed), inputs)
    ]
    padded = [
        (total + padding) % N
        for total, padding in zip(sums, batch.paddings(card.intercept), strict=True)
    ]
    assert batch.unpack(padded) == [plain(card, row) for row in rows]


@settings(max_examples=12, deadline=None)
@given(case=cases(most=70))
def test_encrypted_scores_equal_plain_ones(private: PrivateKey, case: Case) -> None:
    card, rows = case
    public, workers = private.public, PaillierWorkers(0)
    batch = Batch(public.n, card.form.bits, len(rows))
    encrypted = workers.encrypt_own(private, batch.pack(rows))
    inputs = card.form.inputs
    sums = workers.weighted_sums(
        public,
        [encrypted[at : at + inputs] for at in range(0, len(encrypted), inputs)],
        card.exponents,
    )
    padded = public.add_plain(sums, batch.paddings(card.intercept))
    residues = private.decrypt(workers.rerandomise(public, padded))
    assert batch.unpack(residues) == [plain(card, row) for row in rows]


@given(case=cases(most=1))
def test_no_narrower_slot_holds_every_score(case: Case) -> None:
    card, _ = case
    ends = [
        feature.extremes(weights)
        for feature, weights in zip(card.form.features, card.weights, strict=True)
    ]
    lowest = card.intercept + sum(min(pair) for pair in ends)
    highest = card.intercept + sum(max(pair) for pair in ends)
    half = 1 << card.form.bits - 1
    assert -half <= lowest
    assert highest < half
    assert card.form.bits == 1 or not (-half // 2 <= lowest and highest < half // 2)


def test_a_card_that_could_leave_its_slots_is_refused() -> None:
    card = HostedCard.of(form(AGE), [[1000]])
    assert card.form.bits == 21  # 1000 sums of 1000 = 10^6 < 2^20, and a sign
    narrower = replace(card.form, bits=20)
    with pytest.raises(BoundError, match="do not fit slots of 20 bits"):
        HostedCard(narrower, card.weights)
    with pytest.raises(BoundError, match="do not fit"):
        HostedCard(card.form, card.weights, intercept=1 << 20)


@pytest.mark.parametrize(
    ("weights", "intercept"),
    [([[INTEGER_LIMIT]], 0), ([[-INTEGER_LIMIT]], 0), ([[1]], INTEGER_LIMIT)],
)
def test_weights_that_no_sum_is_proven_for_are_refused(
    weights: list[list[int]], intercept: int
) -> None:
    with pytest.raises(BoundError, match="53 bits"):
        HostedCard.of(form(AGE), weights, intercept)


@pytest.mark.parametrize("weights", [[], [[1, 2]], [[1], [2]], [[]]])
def test_a_card_needs_one_weight_an_input(weights: list[list[int]]) -> None:
    with pytest.raises(DataError, match="one weight an input"):
        HostedCard.of(form(AGE), weights)


def test_the_largest_form_fits_the_widest_slot() -> None:
    largest = FixedPoint("", 1, -(INTEGER_LIMIT - 1.0), INTEGER_LIMIT - 1.0)
    features = [replace(largest, name=str(at)) for at in range(MOST_INPUTS)]
    heaviest = [[INTEGER_LIMIT - 1]] * MOST_INPUTS
    card = HostedCard.of(form(*features), heaviest, INTEGER_LIMIT - 1)
    assert card.form.bits <= WIDEST_SLOT


def test_a_form_is_filled_in_by_bin_level_and_range() -> None:
    found = form(INCOME, KIND, AGE)
    assert found.inputs == 4 + 4 + 1
    filled = found.fill_in({"income": 10.0, "kind": "shop", "age": 20.04, "more": 1.0})
    assert (filled[:4], filled[4:]) == ([0, 1, 0, 0], [0, 0, 1, 0, 200])
    filled = found.fill_in({"income": -1.0, "kind": "boat", "age": 100.0})
    assert (filled[:4], filled[4:]) == ([1, 0, 0, 0], [0, 0, 0, 1, 1000])
    filled = found.fill_in({"income": None, "kind": "?", "age": 18})
    assert (filled[:4], filled[4:]) == ([1, 0, 0, 0], [1, 0, 0, 0, 180])
    with pytest.raises(DataError, match="not even as missing") as caught:
        found.fill_in({"income": 1.0, "kine": "shop", "age": 18.0})
    assert caught.value.place == "kind"


@pytest.mark.parametrize(
    ("feature", "value", "what"),
    [
        (AGE, None, "a value is missing"),
        (AGE, 17.9, "not from 18 to 100"),
        (AGE, 100.1, "not from 18 to 100"),
        (AGE, math.nan, "not from 18 to 100"),
        (AGE, "20", "a number is expected"),
        (INCOME, "20", "a number is expected"),
        (INCOME, math.inf, "a number is expected"),
        (INCOME, math.nan, "a number is expected"),
        (KIND, 4.0, "a text is expected"),
    ],
)
def test_a_value_that_the_form_has_no_input_for_is_named_by_its_feature(
    feature: Feature, value: Value, what: str
) -> None:
    with pytest.raises(DataError, match=what) as caught:
        form(feature).fill_in({feature.name: value})
    assert caught.value.place == feature.name


@pytest.mark.parametrize(
    ("make", "what"),
    [
        (form, "at least one feature"),
        (lambda: form(AGE, AGE), "no feature twice"),
        (lambda: form(AGE, bits=0), "a slot of 0 bits"),
        (lambda: form(AGE, bits=WIDEST_SLOT + 1), "a slot of"),
        (lambda: replace(form(AGE), denominator=0), "denominator"),
        (
            lambda: form(*(replace(AGE, name=str(at)) for at in range(1001))),
            "1000 are allowed",
        ),
        (lambda: FixedPoint("x", 1, 2.0, 1.0), "range without numbers"),
        (lambda: FixedPoint("x", 1, math.nan, 1.0), "range without numbers"),
        (lambda: FixedPoint("x", 0, 0.0, 1.0), "53 bits"),
        (lambda: FixedPoint("x", 1, 0.0, math.inf), "53 bits"),
        (lambda: FixedPoint("x", 1 << 30, 0.0, 1e9), "53 bits"),
    ],
)
def test_a_form_that_cannot_be_filled_in_is_refused(make: object, what: str) -> None:
    assert callable(make)
    with pytest.raises(DataError, match=what):
        make()


def test_a_batch_fills_plaintexts_and_leaves_room_for_padding() -> None:
    batch = Batch(N, 40, 101)
    assert batch.slots == (2047 - PADDING_BITS) // 40 == 50
    assert batch.sizes == [50, 50, 1]
    assert batch.charge == 101 * 40 + 3
    assert Batch(N, 40, 100).sizes == [50, 50]
    for padding, size in zip(batch.paddings(0), batch.sizes, strict=True):
        assert padding < N
        assert (padding >> size * 40).bit_length() > 2047 - size * 40 - 64


def test_paddings_are_fresh_and_uniform_above_the_slots() -> None:
    """Chi-square of the leading four bits of 2,000 paddings, 15 degrees of freedom."""
    batch, low = Batch(N, 40, 10), 400
    drawn = [batch.paddings(0)[0] >> low for _ in range(2000)]
    assert len(set(drawn)) == len(drawn)
    counts = np.bincount([16 * rho // (N >> low) for rho in drawn], minlength=16)
    assert ((counts - 125) ** 2 / 125).sum() < 44.3  # p = 1e-4


def test_a_score_is_whole_unless_the_form_divides_it() -> None:
    assert form(AGE).score(-7) == -7
    assert isinstance(form(AGE).score(-7), int)
    assert replace(form(AGE), denominator=1000).score(-7) == -0.007


def test_entropy_counts_the_digits_of_every_weight() -> None:
    card = HostedCard.of(form(INCOME, AGE), [[0, -1, 2, 255], [-256]], 3)
    assert card.entropy_bits == (0 + 1 + 2 + 8 + 9 + 2) + 6


def test_nothing_prints_the_weights() -> None:
    card = HostedCard.of(form(AGE), [[987_654]], 123_456)
    assert "987" not in repr(card)
    assert "123" not in repr(card)
