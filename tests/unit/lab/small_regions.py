"""A small horizontal federation in memory: regions' data in files, and their cards."""

import gzip
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from tests.protocol.plain_sums import together
from veilscore.lab.holdings import Holding, make_holdings
from veilscore.lab.lab_file import LabFile
from veilscore.lab.plain import PlainTable, read_table
from veilscore.models.horizontal.bins import ColumnTerms, JointBins, agree_bins
from veilscore.models.horizontal.joint_card import joint_card
from veilscore.models.horizontal.local_training import LocalLearner
from veilscore.models.horizontal.rounds import JointModel, train
from veilscore.models.horizontal.terms import Members, Terms
from veilscore.models.scorecard import Card, Column, Scale
from veilscore.runtime.settings import load

REGIONS = {"east": 1500, "north": 1200, "west": 900}
BEGUN = 120  # rows to learn from in the west, which has just begun
COLUMNS = ["income", "debt", "trade"]

LAB = f"""\
name = "regions"
[data]
file = "loans.csv.gz"
split = "split.csv.gz"
regions = "regions.csv.gz"
leave_out = ["leaky_term"]
most_rows = {{ west = {BEGUN} }}
categorical = ["trade"]
[[party]]
name = "bank-e"
holder = "east"
roles = ["data_holder", "requester"]
[[party]]
name = "bank-n"
holder = "north"
[[party]]
name = "bank-w"
holder = "west"
[[run]]
name = "joint"
[run.contract]
min_count = 4
max_rows = 900
horizontal = {{ rounds = 25, own = "nothing" }}
[[run]]
name = "private"
[run.contract]
max_rows = 900
horizontal = {{ privacy = {{ epsilon = 8.0, delta = 1e-5 }} }}
[score]
requester = "bank-e"
holder = "bank-w"
entities = 50
"""


@dataclass(frozen=True, slots=True)
class Regions:
    """A lab of three parties that have the same columns of their own borrowers."""

    lab: LabFile
    data: Path
    holdings: Mapping[str, Holding]
    tables: Mapping[str, PlainTable]


def make_regions(data: Path, out: Path) -> Regions:
    """Write the data set to ``data`` and the parties' files to ``out``."""
    rng = np.random.default_rng(11)
    rows = sum(REGIONS.values())
    region = np.repeat([*REGIONS], [*REGIONS.values()])[rng.permutation(rows)]
    income, debt = (np.round(rng.normal(size=rows), 3) for _ in range(2))
    trade = rng.choice(["farming", "retail", "transport"], rows)
    odds = -1.2 - 0.9 * income + 0.6 * debt + 0.8 * (trade == "retail")
    bad = rng.random(rows) < 1 / (1 + np.exp(-odds))
    _write(
        data / "loans.csv.gz",
        "id,y,income,leaky_term,debt,trade",
        (
            f"L{row},{bad[row]:d},{'' if row % 40 == 0 else income[row]},{bad[row]:d},"
            f"{debt[row]},{trade[row]}"
            for row in range(rows)
        ),
    )
    _write(
        data / "split.csv.gz",
        "id,test",
        (f"L{row},{row % 3 == 0:d}" for row in range(rows)),
    )
    _write(
        data / "regions.csv.gz",
        "id,region",
        (f"L{row},{region[row]}" for row in range(rows)),
    )
    (data / "lab.toml").write_text(LAB)
    lab = load(data / "lab.toml", LabFile)
    holdings = dict(make_holdings(lab, data, out))
    tables = {name: read_table(holding) for name, holding in holdings.items()}
    return Regions(lab, data, holdings, tables)


def _write(path: Path, heads: str, lines: Iterable[str]) -> None:
    with gzip.open(path, "wt", encoding="utf-8") as file:
        file.writelines(f"{line}\n" for line in (heads, *lines))


def learned(table: PlainTable) -> dict[str, Column]:
    """Return the columns of the rows that a member learns from."""
    rows = np.flatnonzero(~table.judging & (table.labels >= 0))
    return {
        name: values[rows]
        if isinstance(values, np.ndarray)
        else [values[row] for row in rows.tolist()]
        for name, values in table.columns.items()
    }


def make_joint_cards(
    tables: Mapping[str, PlainTable], rounds: int = 40
) -> dict[str, Card]:
    """Return the cards of a run over these tables, nothing fitted at home."""
    terms = Terms(
        run="5a" * 16,
        members=Members(most=len(tables), most_rows=1 << 15),
        rounds=rounds,
    )
    first = next(iter(tables.values()))
    columns = [
        ColumnTerms(name, "number" if isinstance(values, np.ndarray) else "text")
        for name, values in first.columns.items()
    ]
    rows = {name: learned(table) for name, table in tables.items()}
    agreed: dict[str, JointBins] = together(
        {name: agree_bins(columns, own, terms) for name, own in rows.items()}
    )
    bins = next(iter(agreed.values()))
    counts = [each.count for each in bins.bins]
    learners: dict[str, LocalLearner] = {}
    for name, table in tables.items():
        codes = np.column_stack(
            [
                each.apply(values)  # type: ignore[arg-type] # of the column's kind
                for each, values in zip(bins.bins, rows[name].values(), strict=True)
            ]
        )
        bad = table.labels[~table.judging & (table.labels >= 0)] == 1
        learners[name] = LocalLearner(codes, bad, counts, terms)
    models: dict[str, JointModel] = together(
        {
            name: train(learner, sum(counts) + 1, bins.rows, terms)
            for name, learner in learners.items()
        }
    )
    return {
        name: joint_card(
            model.vector,
            [column.name for column in columns],
            bins.bins,
            run=terms.run,
            holder=name,
            scale=Scale(pdo=160.0),
            parameters={"ridge": terms.ridge, "own": "nothing"},
        )
        for name, model in models.items()
    }
