"""The plain sums are the node's own, and a wrong answer does not go unnoticed."""

from pathlib import Path

import numpy as np
import pytest

from tests.unit.lab.small_lab import Small
from tests.unit.lab.test_holdings import as_a_node_loads
from veilscore.lab.comparison import Answer, compare
from veilscore.lab.plain import plain_scores
from veilscore.models.scorecard import Card
from veilscore.node.scoring.table import Table

STRANGER = "X:nobody knows it"


def answers_of(small: Small, cards: dict[str, Card], ids: list[str]) -> list[Answer]:
    total = np.sum([*plain_scores(cards, small.tables, ids).values()], axis=0)
    pds = cards["bank-a"].scale.default_probability(total.astype(np.float64))
    return [
        Answer(int(points), float(pd)) for points, pd in zip(total, pds, strict=True)
    ]


@pytest.mark.parametrize("party", ["bank-a", "registry-b"])
def test_partial_scores_are_those_of_the_node(
    tmp_path: Path, small: Small, cards: dict[str, Card], party: str
) -> None:
    ids = [STRANGER, *list(small.tables[party].rows)[::7]]
    node = Table(as_a_node_loads(small.holdings[party], tmp_path))
    points, known = node.partial_scores(cards[party], ids)
    assert not known[0]
    np.testing.assert_array_equal(plain_scores(cards, small.tables, ids)[party], points)


def test_right_answers_match(small: Small, cards: dict[str, Card]) -> None:
    ids = [STRANGER, *list(small.tables["bank-a"].rows)[:200]]
    answers = answers_of(small, cards, ids)
    mismatches, example = compare(ids, answers, cards, small.tables)
    assert mismatches == 0
    assert sum(example.partials.values()) == example.total == example.decrypted
    known = sorted(answer.score for answer in answers[1:])
    assert example.total == known[100]  # the stranger is not shown


@pytest.mark.parametrize(("points", "pd"), [(1, 0.0), (-1, 0.0), (0, 1e-6)])
def test_a_wrong_answer_is_a_mismatch(
    small: Small, cards: dict[str, Card], points: int, pd: float
) -> None:
    ids = list(small.tables["bank-a"].rows)[:200]
    answers = answers_of(small, cards, ids)
    right = answers[17]
    answers[17] = Answer(right.score + points, right.probability_of_default + pd)
    mismatches, _ = compare(ids, answers, cards, small.tables)
    assert mismatches == 1
