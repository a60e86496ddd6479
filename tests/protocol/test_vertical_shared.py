"""Training arithmetic on real credit data against pooled logistic regression.

The figures a bank would judge, over plain integers modulo n (``ring_training``). The
pooled reference is scikit-learn's logistic regression (C=1) on the same WoE columns.
"""

import importlib
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from tests.protocol.ring_training import SCHEMES, RingRun, load, train
from veilscore.models.metrics import auc, ks
from veilscore.models.vertical.solution import lookup

pytestmark = pytest.mark.long

FINE = 160  # points that double the odds, as in the labs with these data

# Ships no types.
linear: Any = importlib.import_module("sklearn.linear_model")


@dataclass(frozen=True)
class Trained:
    auc: float  # of the integer card
    unrounded_auc: float
    unrounded_ks: float
    pooled_auc: float
    pooled_ks: float
    largest_pd_difference: float
    rounding: float  # what it changes of the AUC on all rows
    test_rounding: float  # and on the test rows

    @property
    def rounds_finely(self) -> bool:
        return max(abs(self.rounding), abs(self.test_rounding)) <= 0.0003


def judge(run: RingRun) -> Trained:
    data, evaluation = run.data, run.bank.evaluation
    assert evaluation is not None
    assert evaluation.on_holdout
    log_odds, points = np.zeros(len(data.bad)), np.zeros(len(data.bad))
    solved = [(r.solution(), data.columns[p].codes) for p, r in run.roles.items()]
    columns = np.column_stack([lookup(codes, each.woe) for each, codes in solved])
    for solution, codes in solved:
        log_odds += solution.intercept
        log_odds += lookup(codes, solution.contributions()).sum(axis=1)
        points += solution.partial_scores(codes)
    pd = 1 / (1 + np.exp(log_odds))

    def rounding(rows: NDArray[np.bool_]) -> float:
        of = data.bad[rows]
        return auc(of, -points[rows]) - auc(of, -log_odds[rows])

    pooled = linear.LogisticRegression(C=1, tol=1e-8, max_iter=2000)
    pooled.fit(columns[~data.test], data.bad[~data.test])
    expected = pooled.predict_proba(columns[data.test])[:, 1]
    bad = data.bad[data.test]
    return Trained(
        auc=evaluation.auc,
        unrounded_auc=auc(bad, pd[data.test]),
        unrounded_ks=ks(bad, pd[data.test]),
        pooled_auc=auc(bad, expected),
        pooled_ks=ks(bad, expected),
        rounding=rounding(np.ones_like(data.test)),
        test_rounding=rounding(data.test),
        largest_pd_difference=float(np.abs(pd[data.test] - expected).max()),
    )


@pytest.mark.parametrize(
    ("name", "least"),
    [("uci_default", 0.774), ("sba22k", 0.765), ("polish_bankruptcy_5y", 0.900)],
)
def test_default_training_reveals_no_row_and_still_scores(
    name: str, least: float
) -> None:
    found = judge(train(load(name, SCHEMES[name]), pdo=FINE))
    assert found.auc >= least
    assert found.rounds_finely
    # A linear probability model's ranking costs this much against the likelihood's.
    assert found.auc > found.pooled_auc - 0.006


@pytest.mark.parametrize(
    ("name", "least"),
    [("uci_default", 0.776), ("sba22k", 0.768), ("polish_bankruptcy_5y", 0.903)],
)
def test_two_noisy_newton_steps_close_most_of_the_gap(name: str, least: float) -> None:
    data = load(name, SCHEMES[name])
    drawn = [judge(train(data, polish=2, noise=0.25, pdo=FINE)) for _ in range(3)]
    assert sum(each.auc for each in drawn) / len(drawn) >= least
    assert all(each.rounds_finely for each in drawn)


@pytest.mark.parametrize(
    ("name", "scheme"),
    [*SCHEMES.items(), ("uci_default", "fate2"), ("uci_default", "three_B")],
)
def test_exact_training_is_pooled_logistic_regression(name: str, scheme: str) -> None:
    found = judge(train(load(name, scheme), polish=8, pdo=FINE))
    assert abs(found.auc - found.pooled_auc) <= 0.001
    assert abs(found.unrounded_ks - found.pooled_ks) <= 0.004
    assert found.largest_pd_difference <= 5e-3
    assert found.rounds_finely


@pytest.mark.parametrize("scheme", ["fate2", "three_B"])
def test_other_divisions_of_the_same_columns_train_too(scheme: str) -> None:
    data = load("uci_default", scheme)
    assert judge(train(data)).auc >= 0.774
