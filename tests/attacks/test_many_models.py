"""M3: every further model over the same columns is a new equation about each entity.

The requester knows one column of the bureau for some entities, and the joint scores of
all under several models, its own part taken off. It guesses the column of the others
by a linear discriminant: all other columns are noise to it. Nothing counts models; the
figures are in SECURITY.md.
"""

import importlib
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tests.attacks.test_repeated_runs import COLUMNS, DATA, HOLDERS, ROWS
from tests.conftest import Tell
from tests.protocol.ring_training import train

discriminant: Any = importlib.import_module("sklearn.discriminant_analysis")

MODELS, KNOWN = 8, 1500


def joint_scores() -> NDArray[np.int64]:
    """Return what others add to the requester's part, (entities, models).

    Each model predicts something else: other columns matter to it.
    """
    rng = np.random.default_rng(8)
    scores = np.zeros((ROWS, MODELS), dtype=np.int64)
    for model in range(MODELS):
        columns = np.hstack([DATA.columns[party].codes for party in DATA.columns])
        weights = rng.normal(0, 1, len(DATA.columns) * COLUMNS)
        risk = columns @ weights + rng.normal(0, 6, ROWS)
        run = train(replace(DATA, bad=risk > np.quantile(risk, 0.8)))
        for party in HOLDERS:
            codes = DATA.columns[party].codes
            scores[:, model] += run.others[party].solution().partial_scores(codes)
    return scores


def test_each_model_is_a_new_equation_about_every_entity(tell: Tell) -> None:
    scores, column = joint_scores(), DATA.columns[HOLDERS[0]].codes[:, 0]
    shares: list[float] = []
    for models in (1, 2, 4, MODELS):
        seen = scores[:, :models].astype(np.float64)
        rank = int(np.linalg.matrix_rank(seen - seen.mean(axis=0)))
        thief = discriminant.LinearDiscriminantAnalysis()
        thief.fit(seen[:KNOWN], column[:KNOWN])
        shares.append(float((thief.predict(seen[KNOWN:]) == column[KNOWN:]).mean()))
        told = f"{rank} equations, a foreign column right for {shares[-1]:.2f}"
        tell(f"M3 one entity under {models} models", told, "none")
        assert rank == models
    assert shares == sorted(shares)
    assert shares[-1] > 2 * shares[0]
