"""C1: noise that a label holder has seen before, or at another step, hides nothing.

It subtracts two vectors of a row: of two runs, of two steps, or of two holders. Noise
drawn once and used twice goes away. Here the noise of every vector is taken out of a
transcript, knowing what every holder hides, and no two may resemble each other.
"""

import itertools

import numpy as np
import pytest

from tests.attacks.transcript import joint_predictors, joint_scores
from tests.conftest import Tell
from tests.protocol.ring_training import DataSet, RingRun, begin
from veilscore.models.vertical.ports import Floats
from veilscore.models.vertical.run import RunColumns
from veilscore.models.vertical.solution import lookup

ROWS, BINS = 3000, 6
ALIKE = 0.1  # correlation; that of independent noise has a standard error of .018


def data() -> DataSet:
    """Return columns that all say something about who is bad."""
    drawn = np.random.default_rng(8)
    columns = {
        party: RunColumns(
            ("a", "b", "c"),
            drawn.integers(0, BINS, (ROWS, 3)).astype(np.uint16),
            (BINS,) * 3,
        )
        for party in ("bank", "bureau", "market")
    }
    risk = sum(each.codes.sum(axis=1) for each in columns.values()) / (9 * BINS)
    bad = drawn.random(ROWS) < risk
    return DataSet("bank", columns, np.zeros(ROWS, dtype=np.bool_), bad)


def hidden(run: RingRun, step: str) -> Floats:
    """Return the joint vector of a step as it is without noise, (rows,)."""
    joint = np.zeros(ROWS)
    for each in run.others.values():
        part, codes = each.solution(), each.columns.codes
        if step == "calibrate":
            joint += part.partial_scores(codes)
        else:
            joint -= lookup(codes, part.woe) @ part.weights
    return joint


def noise_of(run: RingRun) -> dict[str, Floats]:
    """Train; return the joint noise of every step that has some."""
    for step in ("counts", "moments", "cross", "solve"):
        run.play(step)
    found: dict[str, Floats] = {}
    for step in ("polish-1", "polish-2", "calibrate"):
        without = hidden(run, step)
        run.play(step)
        shown = (
            joint_scores(run, step)
            if step == "calibrate"
            else joint_predictors(run)[-1]
        )
        found[step] = shown - without
    return found


@pytest.fixture(scope="module")
def drawn() -> dict[str, Floats]:
    return {
        f"{step} of run {number}": noise
        for number in (1, 2)
        for step, noise in noise_of(begin(data(), polish=2, noise=0.25)).items()
    }


def test_no_run_and_no_step_repeats_another_ones_noise(
    drawn: dict[str, Floats], tell: Tell
) -> None:
    alike = {
        pair: float(np.corrcoef(drawn[pair[0]], drawn[pair[1]])[0, 1])
        for pair in itertools.combinations(drawn, 2)
    }
    most = max(alike, key=lambda pair: abs(alike[pair]))
    tell(
        "C1 noise of two steps or runs, largest correlation",
        f"{abs(alike[most]):.3f} ({most[0]}, {most[1]})",
        ALIKE,
    )
    assert abs(alike[most]) < ALIKE


def test_two_holders_never_share_their_noise(drawn: dict[str, Floats]) -> None:
    """Of two equal draws the sum would be twice as wide, not the root of two."""
    terms = begin(data()).bank.terms
    for run in (1, 2):
        noise = drawn[f"calibrate of run {run}"]
        expected = terms.calibration_noise * np.sqrt(len(terms.feature_holders))
        assert 0.93 < noise.std() / expected < 1.07
