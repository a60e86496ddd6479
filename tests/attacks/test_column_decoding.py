"""C1: a label holder that decodes the other holders' columns from what it is shown.

It follows the protocol and keeps everything it can decrypt for a row: joint scores, and
in polish and exact runs the joint predictor of every step. Two attacks on that:

- without any knowledge: rows that differ in one foreign column differ by a multiple of
  one direction, so the most frequent directions of differences are the columns;
- supervised: it knows a column for KNOWN customers and guesses it for all others with
  gradient boosting.
"""

import importlib
from collections import Counter
from functools import cache
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from tests.attacks.conftest import Tell
from tests.protocol.plain_ring import MODULUS, PlainRing
from tests.protocol.ring_training import SCHEMES, RingRun, load, train
from veilscore.models.vertical.layout import ScoreLayout
from veilscore.models.vertical.run import PREDICTOR_SCALE

pytestmark = pytest.mark.data

# Ships no types.
ensemble: Any = importlib.import_module("sklearn.ensemble")

Floats = NDArray[np.float64]
TARGETS = {"SEX": "regulator", "EDUCATION": "regulator", "PAY_0": "bureau"}
KNOWN, DRAWS = 2000, 5
COMMON = 400  # rows whose differences are looked at
MODES = {"default": (0, 0.0), "polish": (2, 0.25), "exact": (8, 0.0)}


@cache
def run_of(mode: str) -> RingRun:
    steps, noise = MODES[mode]
    return train(load("uci_default", SCHEMES["uci_default"]), polish=steps, noise=noise)


def shown(run: RingRun, step: str) -> Floats:
    """Return what the label holder can add up of a step, one number a row."""
    rows, bank = run.data.columns[run.bank.name].rows, run.bank.name
    sent = [what for _, to, what in run.transcript[step] if to == bank]
    if step.startswith("polish"):
        parts = [m.predictor.masked for m in sent if m.HasField("predictor")]
        words = sum(np.frombuffer(part, "<u8") for part in parts)
        return np.asarray(words, np.uint64).view(np.int64) / PREDICTOR_SCALE
    shares = [m.score_share.ciphertexts for m in sent if m.HasField("score_share")]
    residues = PlainRing().decrypt_sum(shares)
    scores = ScoreLayout.plan(MODULUS).unpack(residues, rows, MODULUS, "")
    return np.array(scores, np.float64)


def transcript(run: RingRun) -> Floats:
    """Return all per-row values, (rows, values): the later, the further left."""
    steps = [
        s for s in reversed(run.transcript) if s[:6] in {"calibr", "evalua", "polish"}
    ]
    return np.column_stack([shown(run, step) for step in steps])


def own_data(run: RingRun) -> Floats:
    codes = run.data.columns[run.bank.name].codes
    return np.column_stack([codes, run.data.bad]).astype(np.float64)


def foreign(run: RingRun, column: str) -> NDArray[np.uint16]:
    holder = run.data.columns[TARGETS[column]]
    return holder.codes[:, holder.names.index(column)]


def accuracy(features: Floats, target: NDArray[np.uint16]) -> float:
    """Return the share of unknown rows guessed right, mean of DRAWS."""
    right: list[float] = []
    for seed in range(DRAWS):
        order = np.random.default_rng(seed).permutation(len(target))
        known, rest = order[:KNOWN], order[KNOWN:]
        model = ensemble.HistGradientBoostingClassifier(
            max_iter=60, learning_rate=0.1, min_samples_leaf=10, random_state=seed
        )
        model.fit(features[known], target[known])
        right.append(float((model.predict(features[rest]) == target[rest]).mean()))
    return float(np.mean(right))


def directions(values: Floats) -> list[Floats]:
    """Return the most frequent directions between common rows, the first ones first."""
    rows, counts = np.unique(np.round(values, 6), axis=0, return_counts=True)
    common = rows[np.argsort(-counts)[:COMMON]]
    apart = (common[:, None] - common[None, :]).reshape(-1, values.shape[1])
    length = np.linalg.norm(apart, axis=1)
    units = apart[length > 1e-3] / length[length > 1e-3, None]
    first = np.take_along_axis(units, np.abs(units).argmax(1)[:, None], 1)
    keys = np.round(units * np.sign(first), 3)
    found = Counter(map(tuple, keys.tolist()))
    return [np.array(key) for key, _ in found.most_common(40)]


def columns_found(run: RingRun, values: Floats) -> tuple[int, int]:
    """Return how many foreign columns are among the directions, and how many exist."""
    holders = [run.data.columns[party] for party in run.others]
    blocks = [
        np.eye(size)[holder.codes[:, column]]
        for holder in holders
        for column, size in enumerate(holder.bin_counts)
    ]
    effects, *_ = np.linalg.lstsq(np.hstack(blocks), values, rcond=None)
    guesses, start, found = directions(values), 0, 0
    for block in blocks:
        often = np.argsort(-block.sum(axis=0))[:2]
        one, other = effects[start + often[0]], effects[start + often[1]]
        start += block.shape[1]
        true = (one - other) / np.linalg.norm(one - other)
        found += any(abs(float(true @ guess)) > 1 - 1e-4 for guess in guesses)
    return found, len(blocks)


@pytest.mark.parametrize(
    ("mode", "most"), [("default", 0), ("polish", 0), ("exact", None)]
)
def test_directions_of_differences(mode: str, most: int | None, tell: Tell) -> None:
    run = run_of(mode)
    found, columns = columns_found(run, transcript(run))
    tell(f"C1 columns found from {mode} training", f"{found} of {columns}", most)
    if most is None:
        assert found > columns // 2, "an attack that finds nothing anywhere is none"
    else:
        assert found <= most


@pytest.mark.parametrize("column", TARGETS)
@pytest.mark.parametrize("mode", MODES)
def test_supervised_decoding(mode: str, column: str, tell: Tell) -> None:
    run = run_of(mode)
    own, values, target = own_data(run), transcript(run), foreign(run, column)
    alone = accuracy(own, target)
    score = accuracy(np.column_stack([own, values[:, :1]]), target)
    everything = accuracy(np.column_stack([own, values]), target)
    tell(
        f"C1 {column} guessed from {mode} training",
        f"{everything:.3f}, own data {alone:.3f}",
        f"final scores {score:.3f}",
    )
