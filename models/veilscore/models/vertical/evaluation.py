"""How good the joint card is, beside what the label holder could do alone.

Runs at the label holder, on scores and labels it already has; the figures stay
there unless its operator shows them.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Final, Self

import numpy as np
from numpy.typing import NDArray

from veilscore.models.errors import DataError
from veilscore.models.metrics import auc, brier, calibration, gini, ks
from veilscore.models.scorecard import Scale
from veilscore.models.vertical import solve
from veilscore.models.vertical.ports import Floats

_ALWAYS: Final = ("auc", "ks", "brier", "alone_auc", "alone_ks")
_CALIBRATION: Final = ("calibration_intercept", "calibration_slope")


@dataclass(frozen=True, slots=True)
class Evaluation:
    """Figures of the joint card, and of the label holder's own columns alone.

    ``aligned`` rows are in the run, ``learned`` of them taught it, ``rows`` judge it.
    """

    aligned: int
    learned: int
    rows: int
    on_holdout: bool  # False: no holdout rows were declared, judged on training rows
    auc: float
    ks: float
    brier: float
    alone_auc: float
    alone_ks: float
    # Of the true log odds of default on those of the scores, (0, 1) is perfect; None
    # where the scores do not vary or separate goods and bads.
    calibration_intercept: float | None = None
    calibration_slope: float | None = None

    @property
    def gini(self) -> float:
        """Of the joint card."""
        return gini(self.auc)

    @property
    def alone_gini(self) -> float:
        """Of the label holder's own columns."""
        return gini(self.alone_auc)

    def figures(self) -> dict[str, int | float | bool]:
        """Return the figures that are defined, for ``of`` to read."""
        named = asdict(self)
        return {name: value for name, value in named.items() if value is not None}

    @classmethod
    def of(cls, figures: Mapping[str, str | int | float | bool]) -> Self:
        """Read what ``figures`` returned."""
        return cls(
            aligned=int(figures["aligned"]),
            learned=int(figures["learned"]),
            rows=int(figures["rows"]),
            on_holdout=bool(figures["on_holdout"]),
            **{name: float(figures[name]) for name in _ALWAYS},
            **{name: float(figures[name]) for name in _CALIBRATION if name in figures},
        )


def evaluate(
    scale: Scale,
    own: Floats,
    scores: Floats,
    train: NDArray[np.int8],
    holdout: NDArray[np.int8],
) -> Evaluation:
    """Judge joint scores on the holdout rows, or on the training rows without any.

    own: (rows, own columns) WoE; scores: (rows,) joint points; train and holdout:
    (rows,) 1 bad, 0 good, -1 unknown. The baseline is a logistic regression of the
    training labels on the own columns.
    """
    learned = np.nonzero(train >= 0)[0]
    offset, weights = solve.logistic(own[learned], train[learned].astype(np.float64))
    judged = np.nonzero(holdout >= 0)[0]
    bad = holdout[judged] == 1
    on_holdout = 0 < int(bad.sum()) < len(bad)
    if not on_holdout:
        judged, bad = learned, train[learned] == 1
    joint = scale.default_probability(scores[judged])
    alone = solve.sigmoid(offset + own[judged] @ weights)
    intercept, slope = _calibration(bad, joint)
    return Evaluation(
        aligned=len(train),
        learned=len(learned),
        rows=len(judged),
        on_holdout=on_holdout,
        auc=auc(bad, joint),
        ks=ks(bad, joint),
        brier=brier(bad, joint),
        alone_auc=auc(bad, alone),
        alone_ks=ks(bad, alone),
        calibration_intercept=intercept,
        calibration_slope=slope,
    )


def _calibration(
    bad: NDArray[np.bool_], pd: Floats
) -> tuple[float, float] | tuple[None, None]:
    try:
        return calibration(bad, pd)
    except DataError:  # the scores are constant, or perfect on these rows
        return None, None
