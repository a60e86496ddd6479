"""Points are whole numbers whose sums over the rows stay near the exact ones."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from veilscore.models.scorecard import Scale
from veilscore.models.vertical.solution import Solution, lookup

SCALE = Scale(600, 20, 40)


def solution(points: list[list[float]]) -> Solution:
    """Return a solution whose exact points are these."""
    woe = tuple(np.array(column) / SCALE.factor for column in points)
    return Solution(SCALE, 1, woe, np.ones(len(woe)))


def codes(rows: int, bins: list[int], seed: int) -> NDArray[np.uint16]:
    """Columns that mostly follow one another, as ratios of one balance sheet do."""
    random = np.random.default_rng(seed)
    common = random.random(rows)
    columns = [
        np.where(random.random(rows) < 0.8, common, random.random(rows)) * size
        for size in bins
    ]
    return np.column_stack(columns).astype(np.uint16)


@given(st.lists(st.lists(st.integers(-90, 90), min_size=1), min_size=1, max_size=4))
def test_whole_numbers_stay_as_they_are(points: list[list[int]]) -> None:
    drawn = codes(50, [len(column) for column in points], 1)
    found = solution([[float(p) for p in column] for column in points]).points(drawn)
    assert [column.tolist() for column in found] == points


@given(st.lists(st.floats(-90, 90), min_size=1, max_size=9))
def test_one_column_is_rounded_number_by_number(points: list[float]) -> None:
    drawn = codes(200, [len(points)], 2)
    (found,) = solution([points]).points(drawn)
    assert np.abs(found - np.array(points)).max() <= 0.5 + 1e-9


@pytest.mark.parametrize("seed", range(5))
def test_errors_of_correlated_columns_do_not_add_up(seed: int) -> None:
    random = np.random.default_rng(seed)
    bins = [8] * 12
    made = solution([list(random.normal(0, 9, size)) for size in bins])
    drawn = codes(3000, bins, seed)
    exact = [SCALE.factor * column for column in made.contributions()]
    alone = lookup(drawn, [np.rint(column) for column in exact]).sum(axis=1)
    found = made.points(drawn)
    wanted = lookup(drawn, exact).sum(axis=1)
    together = lookup(drawn, found).sum(axis=1)
    assert (together - wanted).std() < 0.85 * (alone - wanted).std()
    for column, nearest in zip(found, exact, strict=True):
        assert np.abs(column - nearest).max() < 3


def test_a_bin_without_rows_gets_the_nearest_number() -> None:
    made = solution([[0.4, 7.6, -3.4], [0.3, 0.6, 0.0]])
    first, second = made.points(codes(90, [2, 2], 3))
    assert first[2] == -3
    assert second[2] == 0
