"""C1: a label holder decodes columns from differences of rows, without any example.

A predictor is a sum over columns. Two rows that differ in one column differ by a
multiple of that column's weights over the steps, so the most frequent directions of
differences are the columns. The label holder takes the commonest vectors of its
transcript (one number a row from each step, decorrelated), all differences of them, and
names the most frequent directions. A column is found when of the differing pairs that
one of these names together most differ in that column and in no other.
"""

from dataclasses import dataclass

import numpy as np
import pytest
from numpy.typing import NDArray

from tests.attacks.transcript import joint_predictors, joint_scores
from tests.conftest import Tell
from tests.protocol.ring_training import RingRun, load, train
from veilscore.models.vertical.ports import Floats

pytestmark = pytest.mark.long

COMMON = 1000  # vectors, half a million differences
NAMED = 40  # directions, four for each foreign column
NEAR = 2  # cells of a grid between two directions
NOWHERE = 1e-6  # of the largest spread: what is left by rounding


@dataclass(frozen=True)
class Coarseness:
    """How much the attack takes for equal."""

    vectors: float  # in standard deviations
    directions: float  # of unit vectors


FINE = Coarseness(1e-4, 1e-2)
CHOICES = (FINE, *(Coarseness(v, d) for v in (0.3, 0.05) for d in (0.1, 0.02)))


def decorrelated(vectors: Floats) -> Floats:
    """Return the same (rows, steps) vectors along their principal axes, scaled to 1."""
    left, spread, _ = np.linalg.svd(vectors - vectors.mean(axis=0), full_matrices=False)
    return np.asarray(left[:, spread > NOWHERE * spread[0]] * np.sqrt(len(vectors)))


@dataclass(frozen=True)
class Cells:
    """Vectors in cells of a grid, the fullest cell first."""

    first: NDArray[np.intp]  # (cells,) a vector of each
    counts: NDArray[np.intp]  # (cells,)
    cell: NDArray[np.intp]  # (vectors,)
    grid: NDArray[np.int64]  # (cells, steps)

    @classmethod
    def of(cls, vectors: Floats, coarseness: float) -> "Cells":
        grid = np.rint(vectors / coarseness).astype(np.int64)
        drawn = np.random.default_rng(1)
        factors = np.array(drawn.integers(1, 1 << 62, grid.shape[1]), dtype=np.int64)
        # One number a cell, modulo 2^64: sorted ten times as fast.
        _, first, cell, counts = np.unique(
            grid @ factors,
            return_index=True,
            return_inverse=True,
            return_counts=True,
        )
        fullest = np.argsort(-counts, kind="stable")
        place = np.argsort(fullest)
        first = first[fullest]
        return cls(first, counts[fullest], place[cell], grid[first])


def common(vectors: Floats, coarseness: float) -> tuple[Floats, NDArray[np.intp]]:
    """Return the commonest vectors, each the mean of what it stands for, and a row."""
    cells = Cells.of(vectors, coarseness)
    sums = [np.bincount(cells.cell, axis)[:COMMON] for axis in vectors.T]
    means = np.column_stack(sums) / cells.counts[:COMMON, None]
    return means, cells.first[:COMMON]


def named(vectors: Floats, coarseness: float) -> list[NDArray[np.intp]]:
    """Return, for each of the most frequent directions, its pairs, (pairs, 2)."""
    pairs = np.column_stack(np.triu_indices(len(vectors), 1))
    apart = vectors[pairs[:, 0]] - vectors[pairs[:, 1]]
    apart /= np.linalg.norm(apart, axis=1, keepdims=True)
    longest = np.abs(apart).argmax(axis=1)[:, None]
    apart *= np.sign(np.take_along_axis(apart, longest, axis=1))
    cells = Cells.of(apart, coarseness)
    chosen: list[int] = []
    for index, cell in enumerate(cells.grid):
        if len(chosen) == NAMED:
            break
        if (np.abs(cells.grid[chosen] - cell).max(axis=1) > NEAR).all():
            chosen.append(index)
    return [pairs[cells.cell == index] for index in chosen]


def found(run: RingRun, vectors: Floats, coarseness: Coarseness) -> dict[int, float]:
    """Return the foreign columns found, and what share of their pairs is right."""
    foreign = np.column_stack([run.data.columns[party].codes for party in run.others])
    centres, rows = common(decorrelated(vectors), coarseness.vectors)
    best: dict[int, float] = {}
    for pairs in named(centres, coarseness.directions):
        differ = foreign[rows[pairs[:, 0]]] != foreign[rows[pairs[:, 1]]]
        number = differ.sum(axis=1)
        shares = differ[number == 1].sum(axis=0) / max(1, (number > 0).sum())
        column = int(shares.argmax())
        best[column] = max(best.get(column, 0.0), float(shares[column]))
    return {column: share for column, share in best.items() if share > 0.5}


def scores_of(run: RingRun) -> list[Floats]:
    return [joint_scores(run, step) for step in ("calibrate", "evaluate")]


def most_found(run: RingRun, views: list[list[Floats]]) -> int:
    """Return the columns that the luckiest choice of coarseness finds."""
    return max(
        len(found(run, np.column_stack(view), coarseness))
        for view in views
        for coarseness in CHOICES
    )


def test_default_training_shows_no_direction_of_a_column(tell: Tell) -> None:
    run = train(load("uci_default", "three_A"))
    got = most_found(run, [scores_of(run)])
    tell("C1 columns found by directions, default", f"{got} of 10", 0)
    assert got == 0


def test_noisy_steps_show_no_direction_of_a_column(tell: Tell) -> None:
    run = train(load("uci_default", "three_A"), polish=2, noise=0.25)
    shown = joint_predictors(run)
    got = most_found(run, [shown, [*shown, *scores_of(run)]])
    # None in 11 draws of the noise, one in a twelfth.
    tell("C1 columns found by directions, polish 2, .25", f"{got} of 10", 1)
    assert got <= 1


def test_exact_steps_show_the_directions_of_columns(tell: Tell) -> None:
    """The same attack without noise: a figure, and proof that it works."""
    run = train(load("uci_default", "three_A"), polish=6)
    columns = found(run, np.column_stack(joint_predictors(run)), FINE)
    right = ", ".join(f"{share:.2f}" for share in columns.values())
    tell(
        "C1 columns found by directions, exact with 6 steps",
        f"{len(columns)} of 10 (pairs right: {right})",
        "none",
    )
    assert len(columns) >= 7
