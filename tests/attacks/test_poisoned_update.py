"""What one member can move the joint model by, on real data and the real code path.

The west of five regions, with a third of all rows, sends what it likes in every round
(``tests/protocol/poisoning.py``). With the bound and averaging it moves the model by
what its weight is worth; without the bound it alone decides, and under FedAdam the
bound does not help. ``python -m tests.bench.horizontal --only poisoned`` prints more.
"""

from dataclasses import replace

import numpy as np
import pytest

from tests.conftest import Tell
from tests.protocol.plain_sums import together
from tests.protocol.poisoning import ATTACKERS, Poisoning, bounded, points
from tests.protocol.region_data import ADAM, TERMS, load
from veilscore.models.errors import ProtocolError
from veilscore.models.horizontal.local_training import LocalLearner
from veilscore.models.horizontal.ports import Words
from veilscore.models.horizontal.rounds import SPREAD, change_format, train
from veilscore.models.horizontal.script import Contribution

pytestmark = pytest.mark.long

ATTACKER = ATTACKERS["sba22k"]
# As close as a round number is to the rows of the largest region.
MOST_ROWS = 5_000


@pytest.fixture(scope="module", name="attack")
def _attack() -> Poisoning:
    return Poisoning(load("sba22k"), ATTACKER)


def test_averaging_under_the_bound_gives_a_member_no_more_than_its_weight(
    attack: Poisoning, tell: Tell
) -> None:
    terms = bounded(TERMS, MOST_ROWS)
    honest = attack.trained(terms)
    ranked = attack.trained(terms, attack.against())
    entry = attack.trained(terms, attack.one_entry())
    # The same attacker where the contract bounds nothing that matters.
    loose = bounded(replace(terms, longest_change=1e3), 1 << 24)
    free = attack.trained(loose, attack.against())
    figures = {
        name: (round(attack.auc(model), 4), round(points(model, honest)))
        for name, model in (("ranking", ranked), ("one entry", entry), ("free", free))
    }
    tell("poisoned update, average: AUC and points", figures, "the asserts")
    assert attack.auc(free) < 0.5  # the attack works where nothing bounds it
    assert points(free, honest) > 1000
    assert attack.auc(ranked) > attack.auc(honest) - 0.13
    assert points(ranked, honest) < 120
    assert attack.auc(entry) > attack.auc(honest) - 0.02
    assert points(entry, honest) < 120
    # Of the rows that are claimed the attacker has its bound of rows.
    weight = MOST_ROWS / (MOST_ROWS + attack.others)
    rates = terms.server_rate * (terms.rounds + 1) / 2 / (1 - terms.momentum)
    most = weight * rates * terms.longest_change
    for moved in (ranked, entry):
        assert np.linalg.norm(moved - honest) <= 2 * most
        assert np.abs(moved - honest).max() <= 2 * most / SPREAD**0.5


def test_under_fedadam_the_bound_does_not_help(attack: Poisoning, tell: Tell) -> None:
    """Its steps are of one size, however short changes are (models/README.md)."""
    terms = bounded(replace(ADAM, longest_change=0.1), MOST_ROWS)
    honest = attack.trained(terms)
    ranked = attack.trained(terms, attack.against())
    moved = round(attack.auc(ranked), 4), round(points(ranked, honest))
    tell("poisoned update, adam: AUC and points", moved, "the asserts")
    assert attack.auc(ranked) < attack.auc(honest) - 0.15
    assert points(ranked, honest) > 200


def test_who_sends_more_than_the_bound_stops_the_round(attack: Poisoning) -> None:
    """Under the bound see above; what is beyond it in one entry alone is refused."""
    terms = bounded(TERMS, MOST_ROWS)
    pooled, data, rows = attack.pooled, attack.data, int((~attack.data.test).sum())
    scripts = {
        name: train(
            LocalLearner(pooled.codes[own], data.bad[own], pooled.bin_counts, terms),
            pooled.model.size,
            rows,
            terms,
        )
        for name in data.names
        for own in (data.training(name),)
    }
    # Twice what all rows together may put into an entry, a quarter of the longest.
    beyond = 2 * rows * terms.longest_change / SPREAD**0.5
    units = int(beyond / change_format(terms).unit)

    def tamper(party: str, given: Contribution) -> Words:
        words = given.words.copy()
        if party == ATTACKER:
            words[4:5] += np.uint64(units)
        return words

    with pytest.raises(ProtocolError, match="bound on change"):
        together(scripts, tamper=tamper)
