"""Print what horizontal training reaches on real data, beside pooled and local models.

All regions run in one process; vectors are added in the open, as secure aggregation
does without showing them. Every figure is on the fixed test rows, and of the same kind
of model with the same penalty: joint bins and federated rounds; the bins and the
optimum of pooled rows; of a region's own rows.

python -m tests.bench.horizontal python -m tests.bench.horizontal --only regions --set
sba22k

Tables: ``rounds`` (AUC by round, and other optimisers), ``fixed`` (sums of integers
against sums of floats), ``regions``, ``cold`` (one region after the other with 200
rows), ``private``, ``poisoned`` (one member claims the rows of the largest and sends
what it likes; points of 40 to double the odds). Deterministic but for noise.
"""

import argparse
import sys
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from typing import Final, TypeAlias

import numpy as np

from tests.protocol.poisoning import ATTACKERS, Poisoning, bounded, points
from tests.protocol.region_data import (
    ADAM,
    PRIVATE,
    SETS,
    TERMS,
    Regions,
    Trained,
    central,
    federated,
    in_floats,
    load,
)
from veilscore.models.horizontal.accounting import privacy_for
from veilscore.models.horizontal.own_model import Fit, fit_own, judge
from veilscore.models.horizontal.ports import Booleans, Floats

Rows: TypeAlias = Iterator[tuple[str, ...]]

SHOWN: Final = (5, 10, 20, 30, 40)
FEDAVG: Final = replace(
    TERMS,
    momentum=0.0,
    decay=False,
    local_epochs=2,
    local_rate=0.3,
    longest_change=100.0,
)
OTHERS: Final = {
    "FedAvgM (default)": TERMS,
    "FedAvg, unbounded": FEDAVG,
    "FedProx .01, unbounded": replace(FEDAVG, proximal=0.01),
    "FedAdam": ADAM,
}
COLD_ROWS: Final = 200
COLD_DRAWS: Final = 3
PENALTIES: Final = (1.0, 10.0, 100.0)
DELTA: Final = 1e-5
EPSILONS: Final = (1.0, 3.0, 8.0)
NOISE_DRAWS: Final = 5
# Of the largest length that a row's gradient can have.
CLIPPED: Final = 0.5


def on(data: Regions, trained: Trained, rows: Booleans) -> Fit:
    """Judge a model on some test rows."""
    return judge(trained.model, trained.codes[rows], data.bad[rows], trained.bin_counts)


def rounds(name: str) -> Rows:
    """AUC after so many rounds, of every optimiser."""
    data = load(name)
    pooled = on(data, central(data, ~data.test), data.test).auc
    for other, terms in OTHERS.items():
        path: list[Floats] = []
        found = federated(data, terms, path)
        by_round = [
            on(data, replace(found, model=path[number - 1]), data.test).auc
            for number in SHOWN
        ]
        yield (name, other, *map(figure, by_round), figure(pooled))


def fixed(name: str) -> Rows:
    """What rounding to fixed point changes, in AUC and in the largest parameter."""
    data = load(name)
    joint = federated(data)
    floats = in_floats(data, joint)
    change = abs(on(data, joint, data.test).auc - on(data, floats, data.test).auc)
    most = float(np.abs(joint.model - floats.model).max())
    yield (name, f"{joint.model.size}", f"{change:.1e}", f"{most:.1e}")


def poisoned(name: str) -> Rows:
    """AUC and points that an attacker moves, by what it aims at and by optimiser."""
    attack = Poisoning(load(name), ATTACKERS[name])
    claimed = attack.most_rows
    share = claimed / (claimed + attack.others)
    averaged, adam = bounded(TERMS, claimed), bounded(ADAM, claimed)
    loose = replace(averaged, longest_change=1e3)
    for said, terms in (
        (f"FedAvgM, {TERMS.longest_change:g} (default)", averaged),
        ("FedAvgM, no bound", loose),
        (f"FedAdam, {ADAM.longest_change:g}", adam),
        ("FedAdam, .1", replace(adam, longest_change=0.1)),
    ):
        honest = attack.trained(terms)
        cells: list[str] = []
        for direction in (attack.against(), attack.one_entry()):
            found = attack.trained(terms, direction)
            cells += [figure(attack.auc(found)), f"{points(found, honest):.0f}"]
        yield (name, f"{share:.0%}", said, figure(attack.auc(honest)), *cells)


def regions(name: str) -> Rows:
    """AUC and Brier score by region of local, joint, pooled and own models."""
    data = load(name)
    joint, pooled = federated(data), central(data, ~data.test)
    for region in ("all", *data.names):
        rows = data.test & ((data.region == region) | (region == "all"))
        cells = [on(data, joint, rows), on(data, pooled, rows)]
        if region != "all":
            own = data.training(region)
            cells.insert(0, on(data, central(data, own), rows))
            cells += [on(data, each, rows) for each in adapted(data, joint, own)]
        texts = [f"{figure(cell.auc)} / {figure(cell.brier)}" for cell in cells]
        yield (name, region, *([""] if region == "all" else []), *texts)


def adapted(data: Regions, joint: Trained, own: Booleans) -> Iterator[Trained]:
    """Yield the joint model with the region's intercept, and with its own points."""
    codes, bad = joint.codes[own], data.bad[own]
    counts = joint.bin_counts
    yield replace(
        joint, model=fit_own(joint.model, codes, bad, counts, what="intercept")
    )
    yield replace(joint, model=fit_own(joint.model, codes, bad, counts, what="tables"))


def cold(name: str) -> Rows:
    """Gains of a region that has 200 rows to learn from."""
    data = load(name)
    for region in data.names:
        drawn = [cold_draw(data, region, seed) for seed in range(COLD_DRAWS)]
        table = np.array(drawn)  # draws, (own, best own, joint, tables)
        gains = table[:, 2] - table[:, 0]
        yield (
            name,
            region,
            *map(figure, table.mean(axis=0).tolist()),
            f"{gains.mean():+.4f} ({gains.min():+.3f} to {gains.max():+.3f})",
            f"{(table[:, 2] - table[:, 1]).mean():+.4f}",
        )


def cold_draw(data: Regions, region: str, seed: int) -> list[float]:
    """Return AUCs: own model, with the penalty best on test rows, joint, adapted."""
    places = np.flatnonzero(data.training(region))
    few = np.zeros_like(data.test)
    few[np.random.default_rng(seed).choice(places, COLD_ROWS, replace=False)] = True
    whose = {name: data.training(name) for name in data.names} | {region: few}
    test = data.test & (data.region == region)
    own = {each: on(data, central(data, few, each), test).auc for each in PENALTIES}
    joint = federated(data, TERMS, rows=whose)
    *_, tables = adapted(data, joint, few)
    return [
        own[TERMS.ridge],
        max(own.values()),
        on(data, joint, test).auc,
        on(data, tables, test).auc,
    ]


def private(name: str) -> Rows:
    """AUC and Brier score with differential privacy, means of several draws."""
    data = load(name)
    clip = CLIPPED * (len(data.columns) + 1) ** 0.5
    without = on(data, federated(data), data.test)
    yield (name, "none", figure(without.auc), "", figure(without.brier), "", "")
    for epsilon in EPSILONS:
        privacy = privacy_for(epsilon, DELTA, PRIVATE.rounds, clip)
        terms = replace(PRIVATE, privacy=privacy)
        fits = [on(data, federated(data, terms), data.test) for _ in range(NOISE_DRAWS)]
        aucs = [fit.auc for fit in fits]
        yield (
            name,
            f"{epsilon:g}",
            figure(float(np.mean(aucs))),
            f"{figure(min(aucs))} to {figure(max(aucs))}",
            figure(float(np.mean([fit.brier for fit in fits]))),
            f"{privacy.noise:.1f}",
            f"{privacy.count_noise:.1f}",
        )


TABLES: Final[dict[str, tuple[Callable[[str], Rows], tuple[str, ...]]]] = {
    "rounds": (
        rounds,
        ("set", "optimiser", *map(str, SHOWN), "pooled optimum"),
    ),
    "fixed": (fixed, ("set", "parameters", "AUC", "largest parameter")),
    "poisoned": (
        poisoned,
        (
            *(
                "set",
                "weight",
                "optimiser, bound",
                "honest",
                "against ranking",
                "points",
            ),
            *("one entry", "points"),
        ),
    ),
    "regions": (
        regions,
        ("set", "region", "local", "joint", "pooled", "own intercept", "own points"),
    ),
    "cold": (
        cold,
        ("set", "region", "own 200", "best", "joint", "own points", "gain", "to best"),
    ),
    "private": (
        private,
        ("set", "epsilon", "AUC", "from, to", "Brier", "noise", "on counts"),
    ),
}


def figure(number: float) -> str:
    """Return four digits behind the point."""
    return f"{number:.4f}".replace("0.", ".", 1)


def show(heads: Iterable[str], rows: Rows) -> None:
    """Print a table as it grows, in Markdown."""
    heads = tuple(heads)
    for cells in (heads, ["---"] * len(heads)):
        line(cells)
    for row in rows:
        line(row)


def line(cells: Iterable[str]) -> None:
    """Print one row of a table."""
    sys.stdout.write(f"| {' | '.join(cells)} |\n")
    sys.stdout.flush()


def main() -> None:
    """Print the tables that were asked for."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.horizontal")
    parser.add_argument("--only", choices=TABLES, action="append")
    parser.add_argument("--set", choices=SETS, action="append", dest="sets")
    options = parser.parse_args()
    for name in options.only or TABLES:
        fill, heads = TABLES[name]
        each = (row for one in options.sets or SETS for row in fill(one))
        show(heads, each)
        sys.stdout.write("\n")


if __name__ == "__main__":
    main()
