"""What one member can move the joint model by, on real data and the real code path.

The west of five regions sends what it likes in every round: a change of the greatest
length that the contract allows, towards calling bad what is good, for the most rows
that it may claim. With the bound it moves the model by what its weight is worth, which
is what false labels would do, too; without it, one member alone decides.
"""

from dataclasses import replace

import numpy as np
import pytest

from tests.conftest import Tell
from tests.protocol.plain_sums import together
from tests.protocol.region_data import TERMS, Regions, Trained, central, load
from veilscore.models.errors import ProtocolError
from veilscore.models.horizontal.local_training import LocalLearner
from veilscore.models.horizontal.own_model import judge
from veilscore.models.horizontal.ports import Floats, Lesson, Words
from veilscore.models.horizontal.rounds import change_format, train
from veilscore.models.horizontal.script import Contribution
from veilscore.models.horizontal.terms import Terms
from veilscore.models.scorecard import Scale

pytestmark = pytest.mark.long

ATTACKER = "R5_west"
# As close as a round number is to the rows of the largest region.
BOUND = replace(
    TERMS,
    members=replace(TERMS.members, most_rows=5_000),
    rounds=20,
    batch=512,
    local_rate=0.2,
)


class Poisoner(LocalLearner):
    """Claims the most rows, and a change of any length against a direction."""

    direction: Floats
    length: float
    claimed: int

    @property
    def rows(self) -> int:
        return self.claimed

    def learn(self, model: Floats, number: int, all_rows: float) -> Lesson:
        del model, number, all_rows
        scaled = -self.direction * (self.length / np.linalg.norm(self.direction))
        return Lesson(scaled, 0.0)


def prepared(data: Regions) -> Trained:
    return central(data, ~data.test)


def trained(
    data: Regions, pooled: Trained, terms: Terms, length: float, claimed: int
) -> Floats:
    """Train with an attacker whose change has ``length``; 0 for an honest member."""
    codes, counts = pooled.codes, pooled.bin_counts
    learners: dict[str, LocalLearner] = {}
    for name in data.names:
        own = data.training(name)
        kind = Poisoner if length and name == ATTACKER else LocalLearner
        learners[name] = kind(codes[own], data.bad[own], counts, terms)
        if isinstance(each := learners[name], Poisoner):
            each.direction, each.length, each.claimed = pooled.model, length, claimed
    rows = int((~data.test).sum())
    found = together(
        {
            name: train(learner, sum(counts) + 1, rows, terms)
            for name, learner in learners.items()
        }
    )
    return found["R1_northeast"].vector


def points(one: Floats, other: Floats) -> float:
    """Return the largest difference of a bin's points, 40 to double the odds."""
    return float(np.abs(one - other)[:-1].max()) * Scale().factor


@pytest.mark.parametrize("optimizer", ["average", "adam"])
def test_what_a_member_moves_within_the_bound_and_without(
    optimizer: str, tell: Tell
) -> None:
    data = load("sba22k")
    pooled, test = prepared(data), data.test
    terms = replace(BOUND, longest_change=0.1)
    if optimizer == "average":
        terms = replace(terms, optimizer="average", server_rate=1.0, decay=False)

    def auc_of(model: Floats) -> float:
        return judge(model, pooled.codes[test], data.bad[test], pooled.bin_counts).auc

    honest = trained(data, pooled, terms, 0.0, 0)
    bound = trained(data, pooled, terms, 1e9, terms.members.most_rows)
    # The same attacker where the contract bounds nothing that matters.
    loose = replace(
        terms, longest_change=1e3, members=replace(terms.members, most_rows=1 << 24)
    )
    free = trained(data, pooled, loose, 1e3, 1 << 24)
    figures = {
        name: (round(auc_of(model), 4), round(points(model, honest)))
        for name, model in (("honest", honest), ("bound", bound), ("free", free))
    }
    tell(f"poisoned update, {optimizer}: AUC and points", figures, "the asserts")
    assert auc_of(free) < 0.5  # the attack works where nothing bounds it
    if optimizer == "average":
        assert auc_of(bound) > auc_of(honest) - 0.08
        assert points(bound, honest) < 40
        assert points(free, honest) > 1000
        # Of the rows that are claimed the attacker has its bound of rows.
        weight = terms.members.most_rows / (terms.members.most_rows + 11_244)
        length = np.linalg.norm(bound - honest)
        assert length <= 2 * weight * terms.rounds * terms.longest_change
    else:
        # FedAdam has steps of one size, however short the changes: no bound on them
        # bounds the model (models/README.md). Only the number of rounds does.
        steps = sum(terms.server_rate * (1 - n / terms.rounds) for n in range(20))
        assert points(bound, honest) < 4 * steps * Scale().factor


def test_who_sends_more_than_the_bound_stops_the_round() -> None:
    """Sixteen times what the whole sum may be; under it, see above."""
    data = load("sba22k")
    pooled = prepared(data)
    counts = pooled.bin_counts
    own = {name: data.training(name) for name in data.names}
    scripts = {
        name: train(
            LocalLearner(pooled.codes[rows], data.bad[rows], counts, BOUND),
            sum(counts) + 1,
            int((~data.test).sum()),
            BOUND,
        )
        for name, rows in own.items()
    }
    coded = change_format(BOUND)

    def tamper(party: str, given: Contribution) -> Words:
        words = given.words.copy()
        if party == ATTACKER:
            words[4:5] += np.uint64(int(coded.largest * 16 / coded.unit))
        return words

    with pytest.raises(ProtocolError, match="bound on change"):
        together(scripts, tamper=tamper)
