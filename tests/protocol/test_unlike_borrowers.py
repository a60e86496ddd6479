"""Where borrowers differ from other entities, a run learns as well as from them alone.

Feature holders take their second moments over all rows of a run. Here most entities are
not registered, most borrowers are, and what a registry says of one column it nearly
says of the next: unweighted, the blocks of the moment matrix contradict each other.
"""

from collections.abc import Sequence

import numpy as np
import pytest
from numpy.typing import NDArray

from tests.protocol.ring_training import DataSet, RingRun, begin
from veilscore.models.metrics import auc
from veilscore.models.vertical import solve
from veilscore.models.vertical.ports import Codes
from veilscore.models.vertical.raking import HEAVIEST, Margin, RowWeights
from veilscore.models.vertical.run import RunColumns
from veilscore.models.vertical.solution import lookup

ROWS, BINS = 60_000, 8
PARTIES = ("bank", "agency", "registry")


def binned(values: NDArray[np.float64], known: NDArray[np.bool_]) -> RunColumns:
    """Cut every column into equal bins; bin 0 where the holder knows nothing."""
    codes = np.zeros(values.shape, np.uint16)
    for column, each in enumerate(values.T):
        edges = np.quantile(each, np.linspace(0, 1, BINS)[1:-1])
        codes[known, column] = 1 + np.searchsorted(edges, each[known])
    names = tuple(f"c{column}" for column in range(values.shape[1]))
    return RunColumns(names, codes, (BINS,) * values.shape[1])


def economy() -> tuple[DataSet, NDArray[np.bool_]]:
    """Return what each party has, unlabelled rows left out, and who may be judged."""
    rng = np.random.default_rng(3)
    hidden = rng.normal(size=(ROWS, 3))
    registered = hidden[:, 0] + rng.normal(size=ROWS) > 0.7
    borrower = rng.random(ROWS) < np.where(registered, 0.85, 0.08)
    noise = rng.normal(size=(ROWS, 12))
    tables = {
        "bank": (hidden[:, [2, 2, 1]] + noise[:, :3], np.ones(ROWS, np.bool_)),
        "agency": (hidden[:, [0, 1, 2, 1]] + noise[:, 3:7], rng.random(ROWS) < 0.9),
        "registry": (hidden[:, [0, 0, 1, 1, 0]] + 0.2 * noise[:, 7:], registered),
    }
    odds = -2 + hidden @ [0.9, 0.8, 0.7] - 0.8 * registered
    bad = rng.random(ROWS) < 1 / (1 + np.exp(-odds))
    judged = borrower & (rng.random(ROWS) < 0.3)
    columns = {party: binned(*table) for party, table in tables.items()}
    return DataSet("bank", columns, judged | ~borrower, bad), judged


def solved(data: DataSet) -> RingRun:
    run = begin(data)
    for step in ("counts", "moments", "cross", "solve"):
        run.play(step)
    return run


def found_by(run: RingRun, judged: NDArray[np.bool_]) -> float:
    """Return the AUC of the cards as they are after ``solve``."""
    scores = sum(
        role.solution().partial_scores(role.columns.codes)
        for role in run.roles.values()
    )
    return auc(run.data.bad[judged], -np.asarray(scores)[judged])


def found_from_borrowers(run: RingRun, judged: NDArray[np.bool_]) -> float:
    """Return the AUC of the same regression on the labelled rows, in plain sight."""
    woe = np.column_stack(
        [lookup(role.columns.codes, role.solution().woe) for role in run.roles.values()]
    )
    learned = ~run.data.test
    x, bad = woe[learned], run.data.bad[learned].astype(np.float64)
    p, n = bad.mean(), len(bad)
    with_label = (x - x.mean(axis=0)).T @ (bad - p) / n
    weights = solve.ridge(
        np.cov(x.T, bias=True), with_label, n, run.contract.ridge / (p * (1 - p))
    )
    return auc(run.data.bad[judged], woe[judged] @ weights)


def test_the_card_is_as_good_as_one_from_the_labelled_rows_alone(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    data, judged = economy()
    run = solved(data)
    best = found_from_borrowers(run, judged)
    assert found_by(run, judged) == pytest.approx(best, abs=0.002)

    def alike(codes: Codes, margins: Sequence[Margin]) -> RowWeights:
        del margins
        return RowWeights.of(np.full(len(codes), HEAVIEST, np.uint16))

    monkeypatch.setattr(RowWeights, "raked", alike)
    assert found_by(solved(data), judged) < best - 0.01
