"""What a label holder makes of the transcript of a run: numbers a row, and guesses."""

import importlib
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tests.protocol.plain_ring import MODULUS, PlainRing
from tests.protocol.ring_training import RingRun
from veilscore.models.vertical.layout import ScoreLayout
from veilscore.models.vertical.ports import Floats
from veilscore.models.vertical.run import PREDICTOR_SCALE

# Ship no types.
ensemble: Any = importlib.import_module("sklearn.ensemble")
threadpoolctl: Any = importlib.import_module("threadpoolctl")

KNOWN = 2000  # customers of whom the label holder knows a foreign column


def joint_scores(run: RingRun, step: str) -> Floats:
    """Decode the feature holders' joint scores of a step from the transcript."""
    shares = [m.score_share.ciphertexts for m in run.shown[step]]
    residues = PlainRing().decrypt_sum(shares)
    rows = len(run.data.bad)
    layout = ScoreLayout.plan(MODULUS)
    return np.array(layout.unpack(residues, rows, MODULUS, "peers"), dtype=np.float64)


def joint_predictors(run: RingRun) -> list[Floats]:
    """Decode the joint predictors of all polish or exact steps."""
    found: list[Floats] = []
    for step, messages in run.shown.items():
        masked = [m.predictor.masked for m in messages if m.HasField("predictor")]
        if step.startswith("polish"):
            words = sum(np.frombuffer(each, dtype="<u8") for each in masked)
            whole = np.asarray(words, dtype=np.uint64).view(np.int64)
            found.append(whole / PREDICTOR_SCALE)
    return found


@dataclass(frozen=True)
class Thief:
    """What the label holder has of a run, row by row."""

    run: RingRun

    @property
    def own(self) -> list[NDArray[Any]]:
        return list(self.run.data.columns[self.run.data.label_holder].codes.T)

    @property
    def final(self) -> list[NDArray[Any]]:
        return [*self.own, joint_scores(self.run, "evaluate")]

    @property
    def everything(self) -> list[NDArray[Any]]:
        provisional = joint_scores(self.run, "calibrate")
        # What is left of the provisional score once the final one is known.
        final = joint_scores(self.run, "evaluate")
        slope = float(np.cov(provisional, final)[0, 1] / final.var())
        rest = provisional - slope * final
        shown = joint_predictors(self.run)
        # The weights hardly change: the mean bears less noise than any step's.
        mean = [np.mean(shown, axis=0)] if shown else []
        return [*self.final, provisional, rest, *shown, *mean]

    def guesses_right(
        self, view: list[NDArray[Any]], holder: str, column: str
    ) -> float:
        """Return the share of the other customers whose bin is guessed right."""
        columns = self.run.data.columns[holder]
        truth = columns.codes[:, columns.names.index(column)]
        customers = np.random.default_rng(7).permutation(
            np.nonzero(~self.run.data.test)[0]
        )
        known, others = customers[:KNOWN], customers[KNOWN:]
        seen = np.column_stack(view)
        model = ensemble.HistGradientBoostingClassifier(max_iter=60, random_state=1)
        with threadpoolctl.threadpool_limits(1):  # beside another test, two would spin
            model.fit(seen[known], truth[known])
            right = model.predict(seen[others]) == truth[others]
        return float(right.mean())
