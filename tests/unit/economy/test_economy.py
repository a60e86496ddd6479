"""The demo economy is reproducible, and sharing is worth what its design says."""

from importlib import import_module

import numpy as np
import pytest
from numpy.typing import NDArray

from veilscore.lab.economy import Chunk, Economy, Table
from veilscore.lab.holders import HOLDERS
from veilscore.lab.population import CHUNK, HOUSEHOLD, SME

Floats = NDArray[np.float64]


@pytest.fixture(scope="module")
def chunk() -> Chunk:
    return Economy(seed=1).chunk(0)


def same(one: Table, other: Table) -> bool:
    return (
        np.array_equal(one.who.serials, other.who.serials)
        and one.columns.keys() == other.columns.keys()
        and all(
            np.array_equal(one.columns[name], other.columns[name], equal_nan=True)
            for name in one.columns
        )
    )


def test_a_chunk_follows_from_seed_and_number(chunk: Chunk) -> None:
    again = Economy(seed=1).chunk(0)
    assert np.array_equal(again.bad, chunk.bad)
    assert all(same(again.tables[name], chunk.tables[name]) for name in HOLDERS)
    other = Economy(seed=2).chunk(0)
    later = Economy(seed=1).chunk(1)
    assert not np.array_equal(other.bad, chunk.bad)
    assert not np.array_equal(later.bad, chunk.bad)


def test_a_larger_economy_begins_with_the_smaller() -> None:
    economy = Economy(seed=3)
    small = economy.holder("bank", entities=500)
    large = economy.holder("bank", entities=CHUNK + 500)
    assert large.who.serials[-1] >= CHUNK
    assert np.all(np.diff(large.who.serials) > 0)
    assert same(large.first(500), small)
    assert small.labels is not None
    assert large.labels is not None
    assert np.array_equal(large.labels[: len(small.labels)], small.labels)


def test_holders_know_whom_they_should(chunk: Chunk) -> None:
    kinds = {name: table.who.kinds for name, table in chunk.tables.items()}
    assert not (kinds["agriculture"] == SME).any()
    assert (kinds["regulator"] == HOUSEHOLD).sum() == pytest.approx(
        0.06 * (chunk.who.kinds == HOUSEHOLD).sum(), rel=0.05
    )
    assert (kinds["regulator"] == SME).sum() == (chunk.who.kinds == SME).sum()
    assert len(kinds["chain"]) / CHUNK == pytest.approx(0.90, abs=0.01)
    bank = chunk.tables["bank"].who
    assert bank.history.sum() == chunk.who.history.sum()
    assert chunk.who.history.mean() == pytest.approx(0.42, abs=0.01)


def test_cells_are_missing_as_declared(chunk: Chunk) -> None:
    for name, holder in HOLDERS.items():
        table = chunk.tables[name]
        assert list(table.columns) == [column.name for column in holder.columns]
        for column in holder.columns:
            values = table.columns[column.name]
            assert values.dtype == np.float32
            known = values[table.who.history] if name == "bank" else values
            assert np.isnan(known).mean() == pytest.approx(column.lost, abs=0.01)


def test_only_past_borrowers_have_loans_and_labels(chunk: Chunk) -> None:
    bank = chunk.tables["bank"]
    history = bank.who.history
    assert bank.labels is not None
    assert np.array_equal(bank.labels >= 0, history)
    assert np.array_equal(bank.labels[history], chunk.bad[bank.who.serials[history]])
    assert np.array_equal(np.isnan(bank.columns["max_dpd_12m"]), ~history)
    assert chunk.tables["regulator"].labels is None


def test_defaults_are_rare_and_follow_their_probability(chunk: Chunk) -> None:
    history = chunk.who.history
    assert chunk.bad[history].mean() == pytest.approx(0.075, abs=0.01)
    assert chunk.bad[~history].mean() == pytest.approx(0.06, abs=0.01)
    likely = chunk.default_probability > np.median(chunk.default_probability)
    for part in (likely, ~likely):
        assert chunk.bad[part].mean() == pytest.approx(
            chunk.default_probability[part].mean(), rel=0.05
        )
    best = area(chunk.default_probability[history], chunk.bad[history])
    assert best == pytest.approx(0.82, abs=0.02)


def area(scores: Floats, bad: NDArray[np.int8]) -> float:
    """Return the AUC as the share of (bad, good) pairs in the right order."""
    good = np.sort(scores[bad == 0])
    below = np.searchsorted(good, scores[bad == 1], side="left")
    return float(below.mean() / len(good))


def design(chunk: Chunk, holder: str, rows: NDArray[np.intp]) -> Floats:
    """Put a holder's columns side by side, standardised, for these entities.

    Clipped at the 1 % and 99 % quantiles, median for missing, and one indicator.
    """
    table = chunk.tables[holder]
    parts: list[Floats] = []
    for column in HOLDERS[holder].columns:
        values = np.full(CHUNK, np.nan)
        values[table.who.serials] = table.columns[column.name]
        values = values[rows]
        missing = np.isnan(values)
        if column.levels:
            parts += [values == level for level in range(1, len(column.levels))]
        else:
            low, middle, high = np.nanquantile(values, (0.01, 0.5, 0.99))
            parts.append(np.where(missing, middle, np.clip(values, low, high)))
        parts.append(missing.astype(float))
    whole: Floats = np.column_stack(parts)
    scaled: Floats = (whole - whole.mean(axis=0)) / np.maximum(whole.std(axis=0), 1e-9)
    return scaled


def logistic_regression(x: Floats, bad: NDArray[np.int8]) -> Floats:
    """Fit by Newton's method with a ridge of 1 (scikit-learn's C = 1)."""
    weights = np.zeros(x.shape[1])
    weights[0] = np.log(bad.mean() / (1 - bad.mean()))  # of the constant column
    for _ in range(6):
        chance = 1 / (1 + np.exp(-x @ weights))
        curvature = (x * (chance * (1 - chance))[:, None]).T @ x
        slope = x.T @ (bad - chance) - weights
        weights += np.linalg.solve(curvature + np.eye(x.shape[1]), slope)
    return weights


def test_every_holder_adds_to_what_the_bank_knows(chunk: Chunk) -> None:
    rows = np.flatnonzero(chunk.who.history)[:45_000]
    train, test = slice(20_000), slice(20_000, None)
    blocks = {name: design(chunk, name, rows) for name in HOLDERS}
    bad = chunk.bad[rows]

    def auc(*holders: str) -> float:
        x = np.hstack([np.ones((len(rows), 1)), *[blocks[name] for name in holders]])
        return area(x[test] @ logistic_regression(x[train], bad[train]), bad[test])

    # Threads of a busy machine wait for each other longer than one takes alone.
    with import_module("threadpoolctl").threadpool_limits(1):
        alone = auc("bank")
        with_regulator = auc("bank", "regulator")
        with_agriculture = auc("bank", "agriculture")
        three = auc("bank", "regulator", "agriculture")
        four = auc("bank", "regulator", "agriculture", "chain")
    assert alone == pytest.approx(0.70, abs=0.015)
    assert with_regulator > alone + 0.015
    assert with_agriculture > alone + 0.015
    assert three > max(with_regulator, with_agriculture) + 0.01
    assert four > three
    assert four == pytest.approx(0.76, abs=0.015)
