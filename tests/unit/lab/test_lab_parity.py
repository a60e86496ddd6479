"""A federated model is told from a central one by how far they are apart."""

import sys
from dataclasses import replace

import numpy as np
import pytest

from tests.unit.lab.small_lab import ROWS, Small
from veilscore.lab.bars import PD_BAR, ROUNDING_BAR
from veilscore.lab.errors import NotComparedError
from veilscore.lab.parity import compare_with_pooled
from veilscore.models.scorecard import Card, Feature


def test_the_central_model_is_as_good_as_itself(
    small: Small, cards: dict[str, Card]
) -> None:
    pytest.importorskip("sklearn")
    parity = compare_with_pooled(cards, small.tables, "bank-a")
    assert parity.rows == -(-ROWS // 3)
    assert parity.worst_pd < 1e-6
    assert parity.central_auc > 0.7
    assert parity.alone_auc < parity.central_auc - 0.01
    assert 0 < abs(parity.card_auc_apart) < 1e-3
    assert 0 < abs(parity.judged_card_auc_apart) < 1e-3
    assert parity.judged_card_auc_apart != parity.card_auc_apart
    assert parity.holds


def test_a_model_that_has_not_converged_is_noticed(
    small: Small, cards: dict[str, Card]
) -> None:
    pytest.importorskip("sklearn")
    card = cards["registry-b"]
    first = card.features[0]
    weaker = Feature.scaled(
        first.name, first.bins, 0.9 * np.array(first.log_odds), card.scale
    )
    changed = replace(card, features=(weaker, *card.features[1:]))
    parity = compare_with_pooled(
        {**cards, "registry-b": changed}, small.tables, "bank-a"
    )
    assert parity.worst_pd > PD_BAR
    assert not parity.holds


def test_points_that_lost_their_digits_are_noticed(
    small: Small, cards: dict[str, Card]
) -> None:
    pytest.importorskip("sklearn")
    coarse = {
        party: replace(
            card,
            features=tuple(
                replace(each, points=tuple(30 * round(p / 30) for p in each.points))
                for each in card.features
            ),
        )
        for party, card in cards.items()
    }
    parity = compare_with_pooled(coarse, small.tables, "bank-a")
    assert parity.worst_pd < 1e-6  # only the points are wrong
    assert parity.judged_card_auc_apart < -ROUNDING_BAR
    assert parity.card_auc_apart < -ROUNDING_BAR
    assert parity.holds
    assert not parity.card_holds


def test_without_scikit_learn_nothing_is_compared(
    small: Small, cards: dict[str, Card], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "sklearn.linear_model", None)
    with pytest.raises(NotComparedError, match="scikit-learn is not installed"):
        compare_with_pooled(cards, small.tables, "bank-a")
