"""A joint model is told from the pooled one, and a member's gain from chance."""

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray

from tests.unit.lab.small_regions import BEGUN, Regions
from veilscore.lab.bars import POOLED_BAR, ROUNDING_BAR
from veilscore.lab.errors import LabError
from veilscore.lab.joint_outcome import JointOutcome, MemberOutcome
from veilscore.lab.joint_parity import compare_members, gain_error
from veilscore.models.metrics import auc
from veilscore.models.scorecard import Card, Feature


def compared(
    regions: Regions, cards: Mapping[str, Card]
) -> tuple[dict[str, MemberOutcome], JointOutcome]:
    return compare_members(cards, regions.tables, dict.fromkeys(cards, 0.5))


def moved(card: Card, factor: float) -> Card:
    """Return a card whose first table is so many times as steep."""
    first = card.features[0]
    steeper = Feature.scaled(
        first.name, first.bins, factor * np.array(first.log_odds), card.scale
    )
    return replace(card, features=(steeper, *card.features[1:]))


def test_a_joint_model_ranks_as_the_pooled_one(
    regions: Regions, joint_cards: dict[str, Card]
) -> None:
    members, joint = compared(regions, joint_cards)
    assert joint.own == "nothing"
    assert joint.tables_apart == 0
    assert abs(joint.auc_apart) <= POOLED_BAR
    assert 0 < abs(joint.judged_card_auc_apart) <= ROUNDING_BAR
    assert joint.has_enough_rows
    assert joint.card_holds
    assert joint.rows == sum(member.rows for member in members.values())
    assert joint.bad == sum(member.bad for member in members.values())
    for party, member in members.items():
        table = regions.tables[party]
        assert (member.learned, member.rows) == (
            int((~table.judging).sum()),
            int(table.judging.sum()),
        )
        odds = joint_cards[party].partial(table.columns).astype(float)
        judged = table.judging
        of_points = auc(table.labels[judged] == 1, -odds[judged])
        assert member.here.auc == pytest.approx(of_points, abs=1e-3)
        assert abs(member.here.auc - member.pooled.auc) < 0.01
        assert 0 < member.here.brier < 0.25
        assert 0 < member.here.ks < 1


def test_a_region_that_has_begun_gains(
    regions: Regions, joint_cards: dict[str, Card]
) -> None:
    members, _ = compared(regions, joint_cards)
    west = members["bank-w"]
    assert west.learned == BEGUN
    assert west.gain > 0.02
    assert west.gain_error is not None
    assert west.gain_error > 0.01
    assert west.differs == (west.gain > 2 * west.gain_error)


def test_intercepts_of_ones_own_do_not_change_what_is_joint(
    regions: Regions, joint_cards: dict[str, Card]
) -> None:
    _, joint = compared(regions, joint_cards)
    shifted = {
        party: replace(
            card,
            intercept=card.intercept + shift,
            parameters={**card.parameters, "own": "intercept"},
        )
        for shift, (party, card) in enumerate(joint_cards.items())
    }
    members, again = compared(regions, shifted)
    assert again.own == "intercept"
    assert again.auc == pytest.approx(joint.auc, abs=1e-9)
    assert again.tables_apart == 0
    assert members["bank-w"].here.brier > 0.25  # two units of log odds off


def test_a_member_with_other_tables_is_noticed(
    regions: Regions, joint_cards: dict[str, Card]
) -> None:
    other = {**joint_cards, "bank-n": moved(joint_cards["bank-n"], 1.1)}
    _, joint = compared(regions, other)
    first = np.abs(joint_cards["bank-n"].features[0].log_odds).max()
    assert joint.tables_apart == pytest.approx(0.1 * first)


def test_a_model_that_has_not_converged_is_noticed(
    regions: Regions, joint_cards: dict[str, Card]
) -> None:
    weaker = {party: moved(card, 0.3) for party, card in joint_cards.items()}
    _, joint = compared(regions, weaker)
    assert joint.auc_apart < -POOLED_BAR


def test_cards_of_different_models_are_not_compared(
    regions: Regions, joint_cards: dict[str, Card]
) -> None:
    card = joint_cards["bank-w"]
    fewer = replace(card, features=card.features[1:])
    with pytest.raises(LabError, match="other bins") as caught:
        compared(regions, {**joint_cards, "bank-w": fewer})
    assert caught.value.party == "bank-w"


def test_points_that_lost_their_digits_are_noticed(
    regions: Regions, joint_cards: dict[str, Card]
) -> None:
    coarse = {
        party: replace(
            card,
            features=tuple(
                replace(each, points=tuple(60 * round(p / 60) for p in each.points))
                for each in card.features
            ),
        )
        for party, card in joint_cards.items()
    }
    _, joint = compared(regions, coarse)
    assert not joint.card_holds
    assert abs(joint.auc_apart) <= POOLED_BAR  # only the points are wrong


def test_the_error_of_a_gain_is_that_of_many_draws() -> None:
    rng = np.random.default_rng(4)
    rows = 400

    def draw() -> tuple[NDArray[np.bool_], NDArray[np.float64], NDArray[np.float64]]:
        bad = rng.random(rows) < 0.2
        known = bad + rng.normal(size=rows)
        return bad, known + rng.normal(size=rows), known + rng.normal(size=rows)

    def gain(
        bad: NDArray[np.bool_], one: NDArray[np.float64], two: NDArray[np.float64]
    ) -> float:
        return auc(bad, one) - auc(bad, two)

    draws = [draw() for _ in range(400)]
    errors = [gain_error(*each) for each in draws]
    known = [error for error in errors if error is not None]
    assert len(known) == len(draws)
    spread = float(np.std([gain(*each) for each in draws]))
    assert np.mean(known) == pytest.approx(spread, rel=0.1)


def test_a_model_differs_from_itself_by_nothing() -> None:
    rng = np.random.default_rng(5)
    bad, risk = rng.random(50) < 0.5, rng.normal(size=50)
    assert gain_error(bad, risk, risk) == 0
    only_one = np.arange(50) == 7
    assert gain_error(only_one, risk, -risk) is None
    assert gain_error(~only_one, risk, -risk) is None
