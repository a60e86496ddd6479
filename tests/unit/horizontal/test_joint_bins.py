"""Bins from sums of counts against those of the same rows in one place."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.protocol.plain_sums import together
from veilscore.models.binning import (
    MISSING,
    CategoricalBins,
    FloatArray,
    fit_categorical,
    fit_numeric,
)
from veilscore.models.errors import DataError, ModelsError, ProtocolError
from veilscore.models.horizontal.bins import ColumnTerms, JointBins, agree_bins
from veilscore.models.horizontal.ports import Words
from veilscore.models.horizontal.script import Contribution
from veilscore.models.horizontal.terms import Members, Privacy, Terms
from veilscore.models.scorecard import Column

TERMS = Terms(run="5f", members=Members(most=5, most_rows=100_000))
NUMBER, TEXT = ColumnTerms("c", "number"), ColumnTerms("c", "text")
RNG = np.random.default_rng(12)
MONEY = np.where(RNG.random(6000) < 0.4, 0, np.round(RNG.lognormal(8, 1, 6000)))
NUMBERS = {
    "money, mostly none": MONEY,
    "ages": RNG.integers(18, 80, 6000).astype(float),
    "few values": RNG.integers(0, 7, 6000) / 4,
    "few values, one of them rare": np.append(RNG.integers(0, 7, 5999) / 4, 9.0),
    "half missing": np.where(RNG.random(6000) < 0.5, np.nan, MONEY),
    "negative": -MONEY,
}


def agreed(
    parts: Sequence[Column], terms: Terms = TERMS, column: ColumnTerms = NUMBER
) -> JointBins:
    found = together(
        {
            str(name): agree_bins([column], {"c": part}, terms)
            for name, part in enumerate(parts)
        }
    )
    assert all(each == found["0"] for each in found.values())
    return found["0"]


def unequal(values: FloatArray) -> list[FloatArray]:
    """Divide sorted values among three members, so that none has all of them."""
    ordered = np.sort(values)
    return [ordered[:500], ordered[500:1200], ordered[1200:]]


@pytest.mark.parametrize("name", NUMBERS)
def test_bins_put_rows_where_pooled_bins_do(name: str) -> None:
    values = NUMBERS[name]
    found, pooled = agreed(unequal(values)).bins[0], fit_numeric(values, column="c")
    assert not isinstance(found, CategoricalBins)
    assert found.count == pooled.count
    np.testing.assert_array_equal(found.apply(values), pooled.apply(values))
    # Under a spike the edge lies anywhere between it and the next lower value.
    for one, other, sole in zip(
        found.edges, pooled.edges, pooled.sole[1:], strict=True
    ):
        assert sole is not None or one == pytest.approx(other, rel=2**-12)


def test_fine_numbers_move_few_rows_over_a_decile() -> None:
    values = RNG.normal(size=6000)
    found, pooled = agreed(unequal(values)).bins[0], fit_numeric(values, column="c")
    assert not isinstance(found, CategoricalBins)
    assert np.mean(found.apply(values) != pooled.apply(values)) < 0.001
    np.testing.assert_allclose(found.edges, pooled.edges, rtol=2**-12, atol=1e-3)


@settings(max_examples=20)
@given(st.lists(st.integers(-30, 30), min_size=60, max_size=200))
def test_bins_of_whole_numbers_are_pooled_bins(whole: list[int]) -> None:
    values = np.array(whole, dtype=float)
    parts: list[Column] = list(np.split(values, [20, 40]))
    try:
        pooled = fit_numeric(values, column="c")
    except DataError:
        with pytest.raises(DataError):
            together(
                {
                    str(name): agree_bins([NUMBER], {"c": part}, TERMS, least=1)
                    for name, part in enumerate(parts)
                }
            )
        return
    found = together(
        {
            str(name): agree_bins([NUMBER], {"c": part}, TERMS, least=1)
            for name, part in enumerate(parts)
        }
    )["0"].bins[0]
    assert not isinstance(found, CategoricalBins)
    np.testing.assert_array_equal(found.apply(values), pooled.apply(values))


def test_declared_missing_codes_are_no_values() -> None:
    values = np.where(RNG.random(6000) < 0.3, -999.0, MONEY)
    column = replace(NUMBER, missing=(-999.0,))
    found = agreed(unequal(values), column=column).bins[0]
    assert not isinstance(found, CategoricalBins)
    assert np.all((found.apply(values) == MISSING) == (values == -999))


def texts() -> list[str | None]:
    drawn = RNG.random(6000)
    return [None if each < 0.05 else f"Ä{int(60 * each**2)}" for each in drawn]


def test_common_texts_are_found_and_rare_and_unseen_ones_are_other() -> None:
    values = sorted(texts(), key=str)
    parts: list[Column] = [values[:900], values[900:2000], values[2000:]]
    found = agreed(parts, column=TEXT).bins[0]
    assert found == fit_categorical(values, column="c")
    assert isinstance(found, CategoricalBins)
    assert found.apply(["never seen"]).tolist() == [found.count - 1]
    assert found.apply([None]).tolist() == [MISSING]


def test_declared_levels_give_the_same_bins() -> None:
    values = texts()
    levels = sorted({value for value in values if value is not None})
    column = replace(TEXT, levels=(*levels, "declared and nowhere"))
    found = agreed([values[:900], values[900:], values[:9]], column=column)
    assert found.bins[0] == fit_categorical(values + values[:9], column="c")


def test_no_rare_text_is_in_any_sum() -> None:
    """A text on few rows is in no cell from which texts are read."""
    values = [*["common"] * 3000, *["rare person's name"] * 3]
    sums: list[Words] = []
    found = together(
        {
            str(name): agree_bins([TEXT], {"c": part}, TERMS)
            for name, part in enumerate(
                [values[:1000], values[1000:2000], values[2000:]]
            )
        },
        watch=lambda _, words: sums.append(words),
    )
    assert found["0"].bins[0].labels() == ("missing", "= common", "other")
    rows = sums[1][1:].reshape(3, 128, -1)[:, :, 0]
    assert sorted(rows[rows > 0].tolist()) == [3000] * 3


def test_buckets_under_the_least_count_are_not_divided() -> None:
    values = np.append(np.repeat([1.0, 2.0], 3000), [10.1, 10.2, 10.3])
    sums: list[Words] = []
    together(
        {
            str(name): agree_bins([NUMBER], {"c": part}, TERMS, least=4)
            for name, part in enumerate(np.array_split(values, 3))
        },
        watch=lambda _, words: sums.append(words),
    )
    divided = [words[1:] for words in sums[1:]]
    assert all(int(words.max()) == 3000 for words in divided)
    assert all(3 not in words for words in divided)


def test_noise_leaves_the_bins_of_common_values() -> None:
    privacy = Privacy(clip=1.0, noise=10.0, count_noise=20.0)
    values = RNG.integers(0, 5, 60_000).astype(float)
    terms = replace(TERMS, privacy=privacy)
    found = agreed(list(np.array_split(values, 3)), terms)
    codes = found.bins[0].apply(np.arange(5.0))  # type: ignore[arg-type] # numbers
    assert len(set(codes.tolist())) == 5
    assert abs(found.rows - 60_000) < 2000


def test_texts_under_noise_have_to_be_declared() -> None:
    terms = replace(TERMS, privacy=Privacy(1.0, 10.0, 20.0))
    with pytest.raises(DataError, match="levels declared"):
        agreed([["a", "b"]] * 3, terms, TEXT)


def tampered(change: Mapping[int, int], number: int) -> ModelsError:
    def tamper(party: str, given: Contribution) -> Words:
        words = given.words.copy()
        if party == "1" and given.label.endswith(f"bins {number}"):
            for place, by in change.items():
                words[place] += np.uint64(by % (1 << 64))
        return words

    with pytest.raises(ProtocolError) as caught:
        together(
            {
                str(name): agree_bins([NUMBER], {"c": part}, TERMS)
                for name, part in enumerate(unequal(MONEY))
            },
            tamper=tamper,
        )
    return caught.value


def test_counts_that_contradict_themselves_are_refused() -> None:
    assert "negative" in str(tampered({2: -10_000}, 0))
    assert "contradict" in str(tampered({2: 1}, 1))
    assert "of 4 members" not in str(tampered({0: 3}, 0))
    assert "of 6 members" in str(tampered({0: 3}, 0))


def test_a_column_that_does_not_vary_or_is_absent_is_named() -> None:
    with pytest.raises(DataError, match="'c' fall into one bin"):
        agreed([np.ones(100)] * 3)
    with pytest.raises(DataError, match="does not hold texts"):
        agreed([np.ones(100)] * 3, column=TEXT)
    with pytest.raises(DataError, match="one bin"):
        agreed([["a"] * 9] * 3, column=TEXT)
    with pytest.raises(DataError, match="0 rows"):
        agreed([np.ones(0)] * 3)


def test_rows_beyond_what_all_members_may_have_are_refused() -> None:
    """No bucket has too many, but all of them together."""
    honest = replace(TERMS, members=Members(most=3, most_rows=400))
    loose = replace(TERMS, members=Members(most=3, most_rows=1000))
    claims = {"one": (300, honest), "other": (300, honest), "third": (1000, loose)}
    scripts = {
        name: agree_bins([NUMBER], {"c": RNG.normal(size=rows)}, terms)
        for name, (rows, terms) in claims.items()
    }
    with pytest.raises(ProtocolError, match="claim 1600 rows"):
        together(scripts)
