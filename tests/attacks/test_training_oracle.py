"""C7: a label holder trains on ids that are not its customers', to have them scored.

It adds entities of which it knows no more than the id, with labels it makes up. A run
gives it the joint score of each, outside any query's quota and consent. Not defended: a
row of a run costs nothing. What bounds it is the contract's ``max_rows`` and
granularity, and how many runs a day a node takes part in.
"""

import numpy as np
import pytest

from tests.attacks.transcript import joint_scores
from tests.conftest import Tell
from tests.protocol.ring_training import DataSet, RingRun, begin, finish
from tests.protocol.test_alignment import aligned, contract, people
from veilscore.coordinator.errors import RunError
from veilscore.node.columns import Columns, NumericColumn
from veilscore.node.entities import Entities
from veilscore.node.training.alignment import Alignment
from veilscore.node.training.binned import BinnedColumns
from veilscore.node.training.policy import TrainingSettings

CUSTOMERS, FOREIGN = people(0, 150), people(150, 400)
GRANULARITY = 10


def table(ids: list[str], seed: int) -> Columns:
    """Return two columns; the first says who is bad."""
    drawn = np.random.default_rng(seed)
    first = np.array([int(entity[-5:]) % 7 for entity in ids], dtype=np.float64)
    return Columns(
        ids=Entities.of(ids),
        features=(
            NumericColumn("a", first + drawn.normal(0, 2, len(ids))),
            NumericColumn("b", drawn.normal(0, 1, len(ids))),
        ),
        labels=np.full(len(ids), -1, np.int8),
        holdout=np.zeros(len(ids), np.bool_),
    )


SETS = {
    "agriculture": people(0, 450),
    "bank": CUSTOMERS + FOREIGN,
    "regulator": people(50, 500),
}


def run_of(found: dict[str, Alignment]) -> RingRun:
    """Begin a run over aligned rows, all of the bank's with a label."""
    columns = {
        party: BinnedColumns.of(table(ids, seed), found[party]).columns
        for seed, (party, ids) in enumerate(SETS.items())
    }
    rows, places = found["bank"].rows, found["bank"].positions
    bad, unlabelled = np.zeros(rows, np.bool_), np.ones(rows, np.bool_)
    unlabelled[places] = False
    bad[places] = [int(entity[-5:]) % 7 < 2 for entity in SETS["bank"]]
    made_up = places[len(CUSTOMERS) :]
    bad[made_up] = np.random.default_rng(5).random(len(made_up)) < 0.2
    data = DataSet("bank", columns, unlabelled, bad)
    return begin(data, granularity=GRANULARITY)


def test_every_foreign_id_of_a_run_is_scored(tell: Tell) -> None:
    found, _ = aligned(SETS, set(SETS["bank"]), contract())
    run = finish(run_of(found))
    scores = joint_scores(run, "evaluate")
    truth = np.sum(
        [
            role.solution().partial_scores(role.columns.codes)
            for role in run.others.values()
        ],
        axis=0,
    )
    foreign = found["bank"].positions[len(CUSTOMERS) :]
    right = scores[foreign] == truth[foreign]
    settings = TrainingSettings()
    tell(
        "C7 joint scores of ids that are no customers, in one run",
        f"{right.sum()} of {len(FOREIGN)}",
        f"max_rows, {settings.runs_a_day} runs a day, steps of {GRANULARITY} points",
    )
    assert right.all()
    assert not (scores % GRANULARITY).any()


def test_more_labelled_rows_than_the_contract_allows_are_refused() -> None:
    terms = contract(max_rows=len(SETS["bank"]) - 1)
    with pytest.raises(RunError, match="wants 400 rows learned from") as caught:
        aligned(SETS, set(SETS["bank"]), terms)
    assert caught.value.party == "bank"
    assert caught.value.remedy
