import math
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from veilscore.models.binning import CategoricalBins, Codes, NumericBins
from veilscore.models.errors import BoundError, DataError
from veilscore.models.scorecard import Card, Column, Feature, Scale, round_half_away

AGE = Feature(
    "age",
    NumericBins((25.0, 40.0), (None, None, None)),
    points=(-3, -20, 4, 15),
    log_odds=(-0.05, -0.35, 0.07, 0.26),
)
STATE = Feature(
    "state",
    CategoricalBins(("CA", "NY"), pooled=True),
    points=(0, 11, -7, -40),
    log_odds=(0.0, 0.19, -0.12, -0.69),
)
ROWS: dict[str, Column] = {
    "age": np.array([30.0, 22.0, np.nan]),
    "state": ["NY", "TX", None],
    "not in the card": np.array([1.0, 2.0, 3.0]),
}


def card(granularity: int = 1, *features: Feature) -> Card:
    return Card("r1", "bank", Scale(), granularity, features or (AGE, STATE), {})


def codes(*rows: tuple[int, ...]) -> Codes:
    return np.array(rows, dtype=np.uint16)


def test_the_anchor_and_the_doubling() -> None:
    odds = np.array([20.0, 40.0, 10.0, 1.0])
    score = Scale().score(np.log(odds))
    assert score[:3] == pytest.approx([600, 640, 560], abs=1e-9)
    assert score[3] == pytest.approx(Scale().offset)
    pd = Scale().default_probability(score)
    assert pd == pytest.approx([1 / 21, 1 / 41, 1 / 11, 1 / 2])


def test_scale_of_another_school() -> None:
    scale = Scale(base_points=720, base_odds=99.0, pdo=20.0)
    assert scale.score(np.log(np.array([99.0, 198.0]))) == pytest.approx([720, 740])
    assert scale.intercept_points(math.log(99)) == 720


def test_more_points_mean_less_risk_and_extremes_do_not_overflow() -> None:
    pd = Scale().default_probability(np.array([-1e6, 0.0, 600.0, 1e6]))
    assert np.all(np.diff(pd) < 0)
    assert pd[0] == 1
    assert pd[-1] == 0


@given(st.floats(1e-9, 1 - 1e-9))
def test_probability_and_score_are_inverse(probability: float) -> None:
    pd = np.array([probability])
    scale = Scale()
    again = scale.default_probability(scale.score_of_probability(pd))
    assert again == pytest.approx(pd, rel=1e-9)


@pytest.mark.parametrize(
    ("odds", "pdo"),
    [(0.0, 40.0), (-1.0, 40.0), (20.0, 0.0), (20.0, math.nan), (math.inf, 40.0)],
)
def test_impossible_scales_are_refused(odds: float, pdo: float) -> None:
    with pytest.raises(DataError, match="positive"):
        Scale(base_odds=odds, pdo=pdo)


def test_points_are_the_rounded_contributions() -> None:
    feature = Feature.scaled(
        "age", AGE.bins, np.array([0.0, -1.0, 0.5, math.log(2)]), Scale()
    )
    assert feature.points == (0, -58, 29, 40)
    assert feature.log_odds == (0.0, -1.0, 0.5, math.log(2))


@pytest.mark.parametrize("bad", [math.nan, math.inf, -1e12])
def test_absurd_contributions_are_refused(bad: float) -> None:
    with pytest.raises(BoundError, match="not finite"):
        Scale().points(np.array([0.0, bad]))


def test_partial_sums_the_points_of_each_row() -> None:
    assert card().codes(ROWS).tolist() == [[2, 2], [1, 3], [0, 0]]
    got = card().partial(ROWS)
    assert got.tolist() == [4 - 7, -20 - 40, -3 + 0]
    assert got.dtype == np.int32
    assert card().missing_points == -3


def test_partial_is_rounded_to_the_granularity() -> None:
    assert card(10).partial(ROWS).tolist() == [0, -60, 0]
    assert card(5).partial(ROWS).tolist() == [-5, -60, -5]
    assert card(5).missing_points == -5


def test_halves_go_away_from_zero() -> None:
    points = np.array([-15, -14, -5, -4, 0, 4, 5, 14, 15, 25])
    assert round_half_away(points, 10).tolist() == [
        -20, -10, -10, 0, 0, 0, 10, 10, 20, 30,
    ]  # fmt: skip
    odd = round_half_away(np.array([-5, -4, 1, 2, 3, 4]), 3)
    assert odd.tolist() == [-6, -3, 0, 3, 3, 3]


@given(st.integers(-(2**40), 2**40), st.integers(1, 2**20))
def test_rounding_moves_by_half_a_step_at_most(points: int, step: int) -> None:
    rounded = int(round_half_away(np.array([points]), step)[0])
    assert rounded % step == 0
    assert 2 * abs(rounded - points) <= step
    assert rounded == -int(round_half_away(np.array([-points]), step)[0])


@given(st.integers(1, 50), st.integers(-2000, 2000))
def test_bound_is_reached_and_never_passed(granularity: int, start: int) -> None:
    every = codes(*((age, state) for age in range(4) for state in range(4)))
    made = replace(card(granularity), intercept_points=start)
    assert np.max(np.abs(made.partial_codes(every))) == made.max_abs_points


def test_reasons_are_points_lost_against_the_best_bin() -> None:
    features, lost = card().reasons(codes((1, 1), (3, 3), (2, 2)), top=2)
    assert lost.tolist() == [[35, 0], [51, 0], [18, 11]]
    assert features.tolist() == [[0, 1], [1, 0], [1, 0]]
    one, _ = card().reasons(codes((2, 2)), top=1)
    assert one.tolist() == [[1]]
    assert card().reasons(codes((2, 2)), top=9)[0].shape == (1, 2)


def test_equal_losses_keep_the_order_of_the_card() -> None:
    twin = Feature("twin", AGE.bins, AGE.points, AGE.log_odds)
    features, _ = card(1, AGE, twin).reasons(codes((1, 1)), top=2)
    assert features.tolist() == [[0, 1]]


@pytest.mark.parametrize(
    ("name", "values"),
    [("age", ["30", "22", None]), ("state", np.array([1.0, 2.0])), ("age", None)],
)
def test_wrong_columns_are_named(name: str, values: Column | None) -> None:
    rows = dict(ROWS)
    if values is None:
        del rows[name]
    else:
        rows[name] = values
    with pytest.raises(DataError, match=name) as caught:
        card().partial(rows)
    assert caught.value.party == "bank"


def test_impossible_cards_are_refused() -> None:
    with pytest.raises(DataError, match="no feature twice"):
        card(1, AGE, AGE)
    with pytest.raises(DataError, match="at least one feature"):
        Card("r1", "bank", Scale(), 1, (), {})
    with pytest.raises(DataError, match="granularity of 0"):
        card(0)
    with pytest.raises(DataError, match="one entry a bin"):
        Feature("age", AGE.bins, (1, 2, 3), (0.1, 0.2, 0.3))
    huge = Feature("age", AGE.bins, (2**30, 0, 0, 0), AGE.log_odds)
    again = Feature("again", AGE.bins, (-(2**30), 0, 0, 0), AGE.log_odds)
    with pytest.raises(BoundError, match="32 bits"):
        card(1, huge, again)


def test_nothing_but_the_additive_module_loads_torch() -> None:
    # A vertical run must never pay for torch (seconds and hundreds of MB).
    script = """
import importlib, sys
for name in "binning woe scorecard card_file metrics".split():
    importlib.import_module("veilscore.models." + name)
sys.exit("torch" in sys.modules)
"""
    done = subprocess.run([sys.executable, "-c", script], check=False)
    assert done.returncode == 0
