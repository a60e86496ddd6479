import numpy as np
import pytest

from veilscore.models import card_file
from veilscore.models.binning import CategoricalBins, Codes, NumericBins
from veilscore.models.errors import DataError
from veilscore.models.horizontal.joint_card import joint_card
from veilscore.models.horizontal.own_model import fit_own, judge, log_odds
from veilscore.models.horizontal.ports import Booleans, Floats
from veilscore.models.scorecard import Card, Column, Scale

BINS = (
    NumericBins((25.0, 40.0), (None, None, None)),
    CategoricalBins(("CA", "NY"), pooled=True),
)
COUNTS = [4, 4]
MODEL: Floats = np.array([0.1, -0.4, 0.0, 0.3, 0.0, 0.2, -0.2, 0.05, 1.4])
RNG = np.random.default_rng(3)
CODES: Codes = RNG.integers(0, 4, (600, 2)).astype(np.uint16)
BAD: Booleans = RNG.random(600) < 1 / (1 + np.exp(log_odds(MODEL, CODES, COUNTS)))


def card(model: Floats = MODEL, codes: Codes | None = None) -> Card:
    return joint_card(
        model,
        ["age", "state"],
        BINS,
        run="r",
        holder="north",
        scale=Scale(pdo=160.0),
        parameters={"rounds": 40},
        codes=codes,
    )


def test_with_rows_in_view_their_scores_are_nearer_than_by_single_points() -> None:
    """Of a second column that repeats the first, one makes up for the other."""
    bins = BINS[0]
    tables = np.array([0.1003, -0.4002, 0.0021, 0.3033])
    model: Floats = np.array([*tables, *tables, 0.0])
    codes: Codes = np.repeat(RNG.integers(0, 4, (600, 1)), 2, axis=1).astype(np.uint16)
    off: list[float] = []
    for rows in (None, codes):
        made = joint_card(
            model,
            ["age", "same"],
            [bins, bins],
            run="r",
            holder="north",
            scale=Scale(),
            parameters={},
            codes=rows,
        )
        exact = made.scale.factor * log_odds(model, codes, [4, 4])
        points = made.partial_codes(codes) - made.intercept_points
        off.append(float(np.abs(points - exact).mean()))
        assert [each.log_odds for each in made.features] == [tuple(tables)] * 2
    assert off[1] < 0.7 * off[0]


def test_points_are_the_models_log_odds_on_the_scale() -> None:
    made = card()
    scores = made.partial_codes(CODES)
    exact = made.scale.score(log_odds(MODEL, CODES, COUNTS))
    assert np.abs(scores - exact).max() <= 1.5  # half a point of three roundings
    assert made.intercept == 1.4


def test_the_card_is_a_card_like_any_other() -> None:
    columns: dict[str, Column] = {
        "age": np.array([30.0, np.nan]),
        "state": ["TX", None],
    }
    assert card_file.decode(card_file.encode(card())) == card()
    assert card().codes(columns).tolist() == [[2, 3], [0, 0]]


def test_other_bins_are_refused() -> None:
    with pytest.raises(DataError, match="not the 8 bins"):
        card(MODEL[1:])


def test_the_own_intercept_makes_mean_pd_and_bad_rate_agree() -> None:
    found = fit_own(MODEL + 0.7, CODES, BAD, COUNTS, what="intercept")
    np.testing.assert_array_equal(found[:-1], MODEL[:-1] + 0.7)
    pd = 1 / (1 + np.exp(log_odds(found, CODES, COUNTS)))
    assert pd.mean() == pytest.approx(BAD.mean(), abs=1e-5)


@pytest.mark.parametrize("pull", [3.0, 300.0])
def test_own_points_are_the_optimum_under_the_pull(pull: float) -> None:
    found = fit_own(MODEL, CODES, BAD, COUNTS, what="tables", pull=pull)
    starts = [0, 4]
    left = ~BAD - 1 / (1 + np.exp(-log_odds(found, CODES, COUNTS)))
    slope = np.zeros(9)
    for column, start in zip(CODES.T, starts, strict=True):
        np.add.at(slope, column + start, left)
    slope[-1] = left.sum()
    slope[:-1] -= pull * (found - MODEL)[:-1]
    np.testing.assert_allclose(slope, 0, atol=1e-3)


def test_a_region_of_one_class_keeps_the_joint_model() -> None:
    with pytest.raises(DataError, match="no goods or no bads"):
        fit_own(MODEL, CODES, np.zeros(600, np.bool_), COUNTS, what="intercept")


def test_a_better_model_is_judged_better() -> None:
    good, flat = (judge(each, CODES, BAD, COUNTS) for each in (MODEL, MODEL * 0.01))
    assert good.auc > 0.5
    assert good.brier < flat.brier
