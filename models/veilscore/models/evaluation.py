"""How good a joint card is, beside what its holder could do alone.

Runs at a holder of labels, on scores and labels it already has; the figures stay there
unless its operator shows them.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Final, Self

import numpy as np
from numpy.typing import NDArray

from veilscore.models.errors import DataError
from veilscore.models.metrics import auc, brier, calibration, gini, ks

Floats = NDArray[np.float64]
Booleans = NDArray[np.bool_]

_ALWAYS: Final = ("auc", "ks", "brier", "alone_auc", "alone_ks")
_CALIBRATION: Final = ("calibration_intercept", "calibration_slope")


@dataclass(frozen=True, slots=True)
class Evaluation:
    """Figures of the joint card, and of what its holder could do alone.

    Alone are, in a vertical run, the label holder's own columns; in a horizontal run a
    member's own rows. ``aligned`` rows are in the run, ``learned`` of its holder's
    taught it, ``rows`` judge it.
    """

    aligned: int
    learned: int
    rows: int
    on_holdout: bool  # False: no holdout rows to judge by, so the training rows
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
        """Of what the holder could do alone."""
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


def measure(
    bad: Booleans,
    joint: Floats,
    alone: Floats,
    *,
    aligned: int,
    learned: int,
    on_holdout: bool,
) -> Evaluation:
    """Judge probabilities of default, (rows,) each; raises DataError on one class."""
    intercept, slope = _calibration(bad, joint)
    return Evaluation(
        aligned=aligned,
        learned=learned,
        rows=len(bad),
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
