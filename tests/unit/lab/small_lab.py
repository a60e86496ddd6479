"""A small federation in memory: data in files, cards as training would make them."""

import gzip
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from veilscore.lab.holdings import Holding, make_holdings
from veilscore.lab.lab_file import LabFile
from veilscore.lab.plain import PlainTable, read_table
from veilscore.models.binning import Bins, fit_categorical, fit_numeric
from veilscore.models.scorecard import Card, Feature, Scale
from veilscore.models.vertical.solve import logistic
from veilscore.models.woe import woe_table
from veilscore.runtime.settings import load

ROWS = 4_000

LAB = """\
name = "small"
[data]
file = "loans.csv.gz"
split = "split.csv.gz"
vertical = "vertical.json"
scheme = "two"
categorical = ["region"]
[[party]]
name = "bank-a"
holder = "bank"
roles = ["data_holder", "requester"]
[[party]]
name = "registry-b"
holder = "registry"
[[run]]
name = "exact"
contract = { exact = true }
[score]
requester = "bank-a"
entities = 50
"""


@dataclass(frozen=True, slots=True)
class Small:
    """A lab of two parties on a table with two features each."""

    lab: LabFile
    data: Path
    holdings: Mapping[str, Holding]
    tables: Mapping[str, PlainTable]


def _write_gz(path: Path, lines: list[list[object]]) -> None:
    with gzip.open(path, "wt", encoding="utf-8") as file:
        file.writelines(",".join(map(str, line)) + "\n" for line in lines)


def make_small(data: Path, out: Path) -> Small:
    """Write the data sets to ``data`` and the parties' files to ``out``."""
    rng = np.random.default_rng(3)
    income, debt, age = (np.round(rng.normal(size=ROWS), 3) for _ in range(3))
    region = rng.choice(["north", "south", "west"], ROWS)
    odds = -1.5 - 0.8 * income + 0.7 * debt - 0.5 * age + (region == "west")
    bad = rng.random(ROWS) < 1 / (1 + np.exp(-odds))
    lines: list[list[object]] = [["id", "y", "income", "debt", "age", "region"]]
    for row in range(ROWS):
        cell = "" if row % 50 == 0 else age[row]
        lines.append(
            [f"L{row}", int(bad[row]), income[row], debt[row], cell, region[row]]
        )
    _write_gz(data / "loans.csv.gz", lines)
    split: list[list[object]] = [[f"L{row}", int(row % 3 == 0)] for row in range(ROWS)]
    _write_gz(data / "split.csv.gz", [["id", "test"], *split])
    parties = {"bank": ["income", "debt"], "registry": ["age", "region"]}
    scheme = {"label_holder": "bank", "parties": parties}
    (data / "vertical.json").write_text(json.dumps({"two": scheme}))
    (data / "lab.toml").write_text(LAB)
    lab = load(data / "lab.toml", LabFile)
    holdings = dict(make_holdings(lab, data, out))
    tables = {name: read_table(holding) for name, holding in holdings.items()}
    return Small(lab, data, holdings, tables)


def make_cards(small: Small) -> dict[str, Card]:
    """Return what exact training comes to: a logistic regression of all columns."""
    bank = small.tables["bank-a"]
    entities = list(bank.rows)
    training = ~bank.judging
    bad = bank.labels[training] == 1
    fitted: list[tuple[str, str, Bins]] = []
    columns: list[np.ndarray[tuple[int], np.dtype[np.float64]]] = []
    tables: list[np.ndarray[tuple[int], np.dtype[np.float64]]] = []
    for party, table in small.tables.items():
        at = table.find(entities)
        for feature in small.holdings[party].features:
            values = table.columns[feature.column]
            bins: Bins
            if isinstance(values, np.ndarray):
                bins = fit_numeric(values, column=feature.column)
                codes = bins.apply(values)[at]
            else:
                bins = fit_categorical(values, column=feature.column)
                codes = bins.apply(values)[at]
            known = codes[training]
            woe = woe_table(
                np.bincount(known[~bad], minlength=bins.count),
                np.bincount(known[bad], minlength=bins.count),
            ).woe
            fitted.append((party, feature.column, bins))
            columns.append(woe[codes])
            tables.append(woe)
    matrix = np.column_stack(columns)[training]
    intercept, weights = logistic(matrix, bad.astype(np.float64))
    scale = Scale()
    return {
        party: Card(
            run="00" * 16,
            holder=party,
            scale=scale,
            granularity=1,
            features=tuple(
                Feature.scaled(name, bins, -weight * woe, scale)
                for (owner, name, bins), weight, woe in zip(
                    fitted, weights, tables, strict=True
                )
                if owner == party
            ),
            parameters={"min_count": 0},
            intercept_points=(
                scale.intercept_points(-intercept) if party == "bank-a" else 0
            ),
            intercept=-intercept if party == "bank-a" else 0.0,
        )
        for party in small.tables
    }
