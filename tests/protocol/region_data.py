"""Real credit data by region, and whole runs of horizontal training over them."""

import csv
import gzip
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from tests.protocol.plain_sums import together
from tests.shared import require_shared
from veilscore.models.binning import Bins, Codes, fit_categorical, fit_numeric
from veilscore.models.horizontal.bins import ColumnTerms, JointBins, agree_bins
from veilscore.models.horizontal.local_training import LocalLearner
from veilscore.models.horizontal.own_model import fit_own
from veilscore.models.horizontal.ports import Booleans, Floats
from veilscore.models.horizontal.rounds import JointModel, cut, train
from veilscore.models.horizontal.server_step import ServerStep
from veilscore.models.horizontal.terms import NOISY, Members, Terms
from veilscore.models.scorecard import Column

SETS = ("sba22k", "uci_default", "polish_bankruptcy_5y")
TEXTS = {"NAICS2", "State", "BankState", "UrbanRural", "LowDoc", "RevLineCr"}
# A loan's term was rewritten after its default, and two columns say others' again.
LEFT_OUT = {"id", "y", "TermMonths_LEAKY", "Zip3", "SBA_Appv"}
MEMBERS = Members(most=10, least=3, most_rows=1 << 16)
TERMS = Terms(run="5f" * 16, members=MEMBERS)
ADAM = replace(
    TERMS,
    optimizer="adam",
    local_rate=0.05,
    server_rate=0.3,
    momentum=0.8,
    longest_change=2.0,
)
PRIVATE = replace(TERMS, **NOISY)  # type: ignore[arg-type]  # fields by name


@dataclass(frozen=True, eq=False)
class Regions:
    """One data set: columns of all rows, labels, test rows, and whose rows they are."""

    columns: Mapping[str, Column]
    bad: Booleans
    test: Booleans
    region: NDArray[np.str_]

    @property
    def names(self) -> list[str]:
        return sorted(set(self.region.tolist()))

    def terms(self, *, declared: bool = False) -> list[ColumnTerms]:
        return [
            ColumnTerms(name, "number")
            if isinstance(values, np.ndarray)
            else ColumnTerms(name, "text", levels=_levels(values) if declared else None)
            for name, values in self.columns.items()
        ]

    def training(self, name: str) -> Booleans:
        """Return which rows a region learns from."""
        own: Booleans = ~self.test & (self.region == name)
        return own

    def take(self, rows: Booleans) -> dict[str, Column]:
        return {
            name: values[rows]
            if isinstance(values, np.ndarray)
            else [value for value, taken in zip(values, rows, strict=True) if taken]
            for name, values in self.columns.items()
        }

    def codes(self, bins: Sequence[Bins]) -> Codes:
        return np.column_stack(
            [
                each.apply(values)  # type: ignore[arg-type] # of the column's kind
                for each, values in zip(bins, self.columns.values(), strict=True)
            ]
        )

    def bins_of(self, rows: Booleans) -> list[Bins]:
        """Return the bins of rows that lie in one place."""
        return [
            fit_numeric(values, column=name)
            if isinstance(values, np.ndarray)
            else fit_categorical(values, column=name)
            for name, values in self.take(rows).items()
        ]


class Traced(LocalLearner):
    """Keeps the model that each round begins with."""

    seen: list[Floats]

    def learn(self, model: Floats, number: int, all_rows: float) -> Floats:
        self.seen = [*self.seen, model] if number > 1 else [model]
        return super().learn(model, number, all_rows)


def load(name: str) -> Regions:
    rows = _read(f"data/{name}/{name}.csv.gz")
    test = {row["id"]: row["test"] for row in _read(f"data/{name}/split.csv.gz")}
    region = {
        row["id"]: row["region"] for row in _read(f"data/{name}/horizontal.csv.gz")
    }
    columns: dict[str, Column] = {}
    for column in rows[0]:
        cells = [row[column] for row in rows]
        if column in TEXTS:
            columns[column] = [cell or None for cell in cells]
        elif column not in LEFT_OUT:
            columns[column] = np.array([float(cell or "nan") for cell in cells])
    return Regions(
        columns,
        np.array([float(row["y"]) == 1 for row in rows]),
        np.array([test[row["id"]] == "1" for row in rows]),
        np.array([region[row["id"]] for row in rows]),
    )


@dataclass(frozen=True, eq=False)
class Trained:
    """A model over bins, the codes of all rows, and what members know of its rounds."""

    bins: tuple[Bins, ...]
    codes: Codes
    model: Floats
    joint: JointModel | None = None

    @property
    def bin_counts(self) -> list[int]:
        return [each.count for each in self.bins]


def federated(
    data: Regions,
    terms: Terms = TERMS,
    path: list[Floats] | None = None,
    *,
    rows: Mapping[str, Booleans] | None = None,
) -> Trained:
    """Agree on bins and train, each region on its training rows or on ``rows``.

    ``path`` is filled with the model after every round.
    """
    own = rows or {name: data.training(name) for name in data.names}
    columns = data.terms(declared=terms.privacy is not None)
    agreed: dict[str, JointBins] = together(
        {
            name: agree_bins(columns, data.take(rows), terms)
            for name, rows in own.items()
        }
    )
    bins = next(iter(agreed.values()))
    assert all(each == bins for each in agreed.values())
    codes = data.codes(bins.bins)
    counts = [each.count for each in bins.bins]
    learners = {
        name: Traced(codes[rows], data.bad[rows], counts, terms)
        for name, rows in own.items()
    }
    models = together(
        {
            name: train(learner, sum(counts) + 1, bins.rows, terms)
            for name, learner in learners.items()
        }
    )
    assert len({each.digest for each in models.values()}) == 1
    joint = next(iter(models.values()))
    if path is not None:
        path += [*next(iter(learners.values())).seen[1:], joint.vector]
    return Trained(bins.bins, codes, joint.vector, joint)


def in_floats(data: Regions, joint: Trained) -> Trained:
    """Train the same model as somebody would who sees every change as floats."""
    learners = [
        LocalLearner(joint.codes[own], data.bad[own], joint.bin_counts, TERMS)
        for own in map(data.training, data.names)
    ]
    rows = sum(each.rows for each in learners)
    server = ServerStep(joint.model.size, TERMS)
    for number in range(1, TERMS.rounds + 1):
        changes: list[Floats] = []
        for each in learners:
            change = each.learn(server.model, number, rows)
            changes.append(each.rows * cut(change, TERMS.longest_change))
        server.take(np.sum(changes, axis=0) / rows)
    return replace(joint, model=server.model)


def central(data: Regions, rows: Booleans, ridge: float = TERMS.ridge) -> Trained:
    """Train the same model, to the optimum, on rows that lie in one place."""
    bins = tuple(data.bins_of(rows))
    codes, counts = data.codes(bins), [each.count for each in bins]
    start = np.zeros(sum(counts) + 1)
    model = fit_own(
        start, codes[rows], data.bad[rows], counts, what="tables", pull=ridge
    )
    return Trained(bins, codes, model)


def _levels(values: Sequence[str | None]) -> tuple[str, ...]:
    return tuple(sorted({value for value in values if value is not None}))


def _read(rel: str) -> list[dict[str, str]]:
    with gzip.open(require_shared(rel), "rt", encoding="utf-8") as file:
        return list(csv.DictReader(file))
