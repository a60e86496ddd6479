"""Training on real credit data over plain integers modulo n, all in one process.

The same scripts as in production; minutes of encryption are tested elsewhere.
"""

import csv
import gzip
import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import NDArray

from tests.protocol.conduct import conduct
from tests.protocol.plain_ring import PlainRing, RingMasks
from tests.sample_contract import sample_contract
from tests.shared import require_shared
from veilscore.models.binning import fit_categorical, fit_numeric
from veilscore.models.script import Script
from veilscore.models.vertical.feature_holder import FeatureHolder
from veilscore.models.vertical.label_holder import LabelHolder, Labels
from veilscore.models.vertical.run import RunColumns, Terms, steps
from veilscore.v1.training_pb2 import RunContract, TrainingMessage

CATEGORICAL = {
    *("SEX", "EDUCATION", "MARRIAGE"),
    *("State", "BankState", "UrbanRural", "LowDoc", "RevLineCr", "NAICS2"),
}
_OTHERS = {"join", "rows", "register"}
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


def trained(contract: RunContract) -> list[str]:
    """Return the steps in which roles do something, in their order."""
    return [step for step in steps(contract) if step not in _OTHERS]


def scripts(
    roles: Mapping[str, FeatureHolder | LabelHolder], step: str
) -> dict[str, Script]:
    """Return everybody's script of a step."""
    return {
        party: role.polish(step) if step.startswith("polish") else getattr(role, step)()
        for party, role in roles.items()
    }


@dataclass(frozen=True)
class RingRun:
    """What a run leaves: everybody's role, and what the label holder was sent."""

    data: DataSet
    contract: RunContract
    bank: LabelHolder
    others: dict[str, FeatureHolder]
    shown: dict[str, list[TrainingMessage]]  # by step

    @property
    def roles(self) -> dict[str, FeatureHolder | LabelHolder]:
        return {self.data.label_holder: self.bank, **self.others}

    def play(self, step: str) -> None:
        """Let everybody do a step; the steps go in their order."""
        said = conduct(scripts(self.roles, step))
        self.shown[step] = [m for _, to, m in said if to == self.data.label_holder]


def begin(
    data: DataSet,
    *,
    polish: int = 0,
    noise: float = 0.0,
    holder: type[FeatureHolder] = FeatureHolder,
    bank: type[LabelHolder] = LabelHolder,
    granularity: int = 1,
    pdo: float = 40,
) -> RingRun:
    """Make a run in which nothing has happened yet."""
    contract = sample_contract(
        sorted(data.columns),
        label_holder=data.label_holder,
        min_count=3,
        polish_steps=polish,
        polish_noise=noise,
        exact=polish > 0 and noise == 0,
        granularity=granularity,
        points_to_double_odds=pdo,
    )
    terms, ring = Terms(contract), PlainRing()
    labels = Labels(
        np.where(data.test, -1, data.bad).astype(np.int8),
        np.where(data.test, data.bad, -1).astype(np.int8),
    )
    learner = bank(
        data.label_holder, terms, data.columns[data.label_holder], labels, ring
    )
    others = {
        party: holder(
            party,
            terms,
            data.columns[party],
            ring,
            dict.fromkeys(data.columns, ring),
            RingMasks(party, terms.feature_holders),
        )
        for party in terms.feature_holders
    }
    return RingRun(data, contract, learner, others, {})


def finish(run: RingRun) -> RingRun:
    """Play all steps of a run that has just begun."""
    for step in trained(run.contract):
        run.play(step)
    return run


def train(
    data: DataSet, *, polish: int = 0, noise: float = 0.0, pdo: float = 40
) -> RingRun:
    """Train; ``exact`` if there are polish steps without noise."""
    return finish(begin(data, polish=polish, noise=noise, pdo=pdo))
