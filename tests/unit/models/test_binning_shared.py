"""Our bins and WoE rebuild the central models of the reference data sets."""

import csv
import gzip
import importlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.shared import require_shared
from veilscore.models import metrics
from veilscore.models.binning import (
    Bins,
    Codes,
    FloatArray,
    fit_categorical,
    fit_numeric,
)
from veilscore.models.scorecard import Card, Feature, Scale
from veilscore.models.woe import WOE_SCALE, WoeTable, woe_table

pytestmark = pytest.mark.long

# Loaded by name: scikit-learn carries no types.
linear: Any = importlib.import_module("sklearn.linear_model")

# Industry codes are names, not amounts; every other numeric column is a number.
TEXT_COLUMNS = {"NAICS2", "State", "BankState", "UrbanRural", "LowDoc", "RevLineCr"}


@dataclass(frozen=True)
class Case:
    name: str
    scheme: str
    all_columns: float
    bank_alone: float
    tolerance: float


CASES = [
    Case("uci_default", "three_A", 0.7757, 0.6840, 0.0008),
    Case("sba22k", "three", 0.7717, 0.7206, 0.0015),
    Case("polish_bankruptcy_5y", "three", 0.9090, 0.8595, 0.002),
]
BY_NAME = pytest.mark.parametrize("case", CASES, ids=[case.name for case in CASES])


class Table:
    """One data set in memory: texts by column, labels, test rows."""

    def __init__(self, folder: Path) -> None:
        self.columns = _read(folder / f"{folder.name}.csv.gz")
        split = _read(folder / "split.csv.gz")
        assert split["id"] == self.columns["id"]
        self.test = np.array(split["test"]) == "1"
        self.bad = np.array(self.columns["y"]) == "1"
        self.schemes: Any = json.loads((folder / "vertical.json").read_text())

    def holders(self, scheme: str) -> dict[str, list[str]]:
        parties: dict[str, list[str]] = self.schemes[scheme]["parties"]
        return parties

    def feature(self, name: str) -> tuple[Codes, WoeTable, Bins]:
        """Fit one column on the train rows; return codes of all rows, WoE, bins."""
        train = np.flatnonzero(~self.test)
        texts = self.columns[name]
        bins: Bins
        if name in TEXT_COLUMNS:
            levels = [text or None for text in texts]
            bins = fit_categorical([levels[i] for i in train], column=name)
            codes = bins.apply(levels)
        else:
            values: FloatArray = np.array([float(text or "nan") for text in texts])
            bins = fit_numeric(values[train], column=name)
            codes = bins.apply(values)
        good = np.bincount(codes[~self.test & ~self.bad], minlength=bins.count)
        bad = np.bincount(codes[~self.test & self.bad], minlength=bins.count)
        return codes, woe_table(good, bad), bins


def _read(path: Path) -> dict[str, list[str]]:
    with gzip.open(path, "rt", encoding="utf-8", newline="") as file:
        header, *rows = csv.reader(file)
    return {name: [row[i] for row in rows] for i, name in enumerate(header)}


def fit_weights(
    table: Table, columns: list[FloatArray]
) -> tuple[FloatArray, FloatArray]:
    """Return weights on WoE for P(bad) and the PDs of the test rows."""
    design = np.column_stack(columns)
    model = linear.LogisticRegression(C=1, tol=1e-8, max_iter=5000)
    model.fit(design[~table.test], table.bad[~table.test])
    pd: FloatArray = model.predict_proba(design[table.test])[:, 1]
    weights: FloatArray = model.coef_[0]
    return weights, pd


@BY_NAME
def test_pooled_woe_model_reaches_the_reference(case: Case) -> None:
    table = Table(require_shared(f"data/{case.name}"))
    holders = table.holders(case.scheme)
    names = [name for columns in holders.values() for name in columns]
    fitted = {name: table.feature(name) for name in names}
    bad = table.bad[table.test]

    woe = {name: found.woe[codes] for name, (codes, found, _) in fitted.items()}
    weights, pd = fit_weights(table, list(woe.values()))
    area = metrics.auc(bad, pd)
    assert area == pytest.approx(case.all_columns, abs=case.tolerance)

    _, alone = fit_weights(table, [woe[name] for name in holders["bank"]])
    assert metrics.auc(bad, alone) == pytest.approx(case.bank_alone, abs=case.tolerance)

    # Fixed-point WoE and integer points keep the ranking.
    rounded = [found.codes[codes] / WOE_SCALE for codes, found, _ in fitted.values()]
    coarse = (np.column_stack(rounded) @ weights)[table.test]
    assert metrics.auc(bad, coarse) == pytest.approx(area, abs=0.0002)
    card = Card(
        "reference",
        "all",
        Scale(),
        1,
        tuple(
            Feature.scaled(name, bins, -weight * found.woe, Scale())
            for weight, (name, (_, found, bins)) in zip(
                weights, fitted.items(), strict=True
            )
        ),
        {},
    )
    codes = np.column_stack([codes for codes, _, _ in fitted.values()])[table.test]
    points = card.partial_codes(codes).astype(np.float64)
    assert metrics.auc(bad, -points) == pytest.approx(area, abs=0.0005)

    # No honest column rings the alarm.
    assert not any(found.leak_alarm for _, found, _ in fitted.values())


def test_leak_alarm_rings_for_the_rewritten_loan_term() -> None:
    table = Table(require_shared("data/sba22k"))
    _, found, _ = table.feature("TermMonths_LEAKY")
    assert found.leak_alarm
    assert found.band == "suspicious"
