"""Training arithmetic on real credit data against pooled logistic regression.

The same scripts as in production over plain integers modulo n: minutes of encryption
are tested elsewhere, these are the figures a bank would judge. The pooled reference
is scikit-learn's logistic regression (C=1) on the same WoE columns.
"""

import csv
import gzip
import importlib
import json
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from tests.protocol.conduct import conduct
from tests.protocol.plain_ring import PlainRing, RingMasks
from tests.sample_contract import sample_contract
from tests.shared import require_shared
from veilscore.models.binning import fit_categorical, fit_numeric
from veilscore.models.metrics import auc, ks
from veilscore.models.vertical.feature_holder import FeatureHolder
from veilscore.models.vertical.label_holder import LabelHolder, Labels
from veilscore.models.vertical.run import RunColumns, Terms, steps
from veilscore.models.vertical.solution import lookup

pytestmark = pytest.mark.data

# Ships no types.
linear: Any = importlib.import_module("sklearn.linear_model")

CATEGORICAL = {
    *("SEX", "EDUCATION", "MARRIAGE"),
    *("State", "BankState", "UrbanRural", "LowDoc", "RevLineCr", "NAICS2"),
}
SCHEMES = {
    "uci_default": "three_A",
    "sba22k": "three",
    "polish_bankruptcy_5y": "three",
}


@dataclass(frozen=True)
class DataSet:
    label_holder: str
    columns: dict[str, RunColumns]
    test: NDArray[np.bool_]
    bad: NDArray[np.bool_]


def read(path: str) -> list[dict[str, str]]:
    with gzip.open(require_shared(path), "rt", encoding="utf-8") as file:
        return list(csv.DictReader(file))


@cache
def load(name: str, scheme: str) -> DataSet:
    rows = read(f"data/{name}/{name}.csv.gz")
    tested = {row["id"]: row["test"] for row in read(f"data/{name}/split.csv.gz")}
    vertical = json.loads(require_shared(f"data/{name}/vertical.json").read_text())
    found = vertical[scheme]
    return DataSet(
        label_holder=found["label_holder"],
        columns={
            party: binned([[row[c] for row in rows] for c in columns], columns)
            for party, columns in found["parties"].items()
        },
        test=np.array([tested[row["id"]] == "1" for row in rows]),
        bad=np.array([float(row["y"]) == 1 for row in rows]),
    )


def binned(cells: list[list[str]], names: list[str]) -> RunColumns:
    codes: list[NDArray[np.uint16]] = []
    counts: list[int] = []
    for name, column in zip(names, cells, strict=True):
        if name in CATEGORICAL:
            texts = [cell or None for cell in column]
            levels = fit_categorical(texts, column=name)
            codes.append(levels.apply(texts))
            counts.append(levels.count)
        else:
            numbers = np.array([float(cell) if cell else np.nan for cell in column])
            bins = fit_numeric(numbers, column=name)
            codes.append(bins.apply(numbers))
            counts.append(bins.count)
    return RunColumns(tuple(names), np.column_stack(codes), tuple(counts))


@dataclass(frozen=True)
class Trained:
    auc: float  # of the integer card
    unrounded_auc: float
    unrounded_ks: float
    pooled_auc: float
    pooled_ks: float
    largest_pd_difference: float
    rounding: float  # what it changes of the AUC on all rows


def train(data: DataSet, *, polish: int = 0, noise: float = 0.0) -> Trained:
    exact = polish > 0 and noise == 0
    contract = sample_contract(
        sorted(data.columns),
        label_holder=data.label_holder,
        min_count=3,
        polish_steps=polish,
        polish_noise=noise,
        exact=exact,
    )
    terms, ring = Terms(contract), PlainRing()
    labels = Labels(
        np.where(data.test, -1, data.bad).astype(np.int8),
        np.where(data.test, data.bad, -1).astype(np.int8),
    )
    bank = LabelHolder(
        data.label_holder, terms, data.columns[data.label_holder], labels, ring
    )
    others = {
        party: FeatureHolder(
            party,
            terms,
            data.columns[party],
            ring,
            dict.fromkeys(data.columns, ring),
            RingMasks(party, terms.feature_holders),
        )
        for party in terms.feature_holders
    }
    roles: dict[str, FeatureHolder | LabelHolder] = {data.label_holder: bank, **others}
    for step in steps(contract):
        if step in {"join", "rows", "register"}:
            continue
        conduct(
            {
                party: role.polish(step)
                if step.startswith("polish")
                else getattr(role, step)()
                for party, role in roles.items()
            }
        )
    return judge(data, roles, bank)


def judge(
    data: DataSet, roles: dict[str, FeatureHolder | LabelHolder], bank: LabelHolder
) -> Trained:
    evaluation = bank.evaluation
    assert evaluation is not None
    assert evaluation.on_holdout
    log_odds, points = np.zeros(len(data.bad)), np.zeros(len(data.bad))
    woe: list[NDArray[np.float64]] = []
    for party, role in roles.items():
        solution, codes = role.solution(), data.columns[party].codes
        woe.append(lookup(codes, solution.woe))
        log_odds += solution.intercept
        log_odds += lookup(codes, solution.contributions()).sum(axis=1)
        points += solution.partial_scores(codes)
    pd = 1 / (1 + np.exp(log_odds))
    columns = np.column_stack(woe)
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
        rounding=auc(data.bad, -points) - auc(data.bad, -log_odds),
        largest_pd_difference=float(np.abs(pd[data.test] - expected).max()),
    )


@pytest.mark.parametrize(
    ("name", "least"),
    [("uci_default", 0.774), ("sba22k", 0.765), ("polish_bankruptcy_5y", 0.900)],
)
def test_default_training_reveals_no_row_and_still_scores(
    name: str, least: float
) -> None:
    found = train(load(name, SCHEMES[name]))
    assert found.auc >= least
    # A linear probability model's ranking costs this much against the likelihood's.
    assert found.auc > found.pooled_auc - 0.006


@pytest.mark.parametrize(
    ("name", "least"),
    [("uci_default", 0.776), ("sba22k", 0.768), ("polish_bankruptcy_5y", 0.903)],
)
def test_two_noisy_newton_steps_close_most_of_the_gap(name: str, least: float) -> None:
    data = load(name, SCHEMES[name])
    drawn = [train(data, polish=2, noise=0.25).auc for _ in range(3)]
    assert sum(drawn) / len(drawn) >= least


@pytest.mark.parametrize("name", sorted(SCHEMES))
def test_exact_training_is_pooled_logistic_regression(name: str) -> None:
    found = train(load(name, SCHEMES[name]), polish=8)
    assert abs(found.auc - found.pooled_auc) <= 0.001
    assert abs(found.unrounded_ks - found.pooled_ks) <= 0.004
    assert found.largest_pd_difference <= 5e-3
    assert abs(found.rounding) <= 0.0003


@pytest.mark.parametrize("scheme", ["fate2", "three_B"])
def test_other_divisions_of_the_same_columns_train_too(scheme: str) -> None:
    data = load("uci_default", scheme)
    assert train(data).auc >= 0.774
