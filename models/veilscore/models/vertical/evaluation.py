"""How good the joint card is, beside what the label holder could do alone.

Runs at the label holder, on scores and labels it already has.
"""

import numpy as np
from numpy.typing import NDArray

from veilscore.models.evaluation import Evaluation, measure
from veilscore.models.scorecard import Scale
from veilscore.models.vertical import solve
from veilscore.models.vertical.ports import Floats


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
    return measure(
        bad,
        joint,
        alone,
        aligned=len(train),
        learned=len(learned),
        on_holdout=on_holdout,
    )
