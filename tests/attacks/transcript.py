"""What the label holder makes of a recorded run: one number a row and step."""

import numpy as np

from tests.protocol.plain_ring import MODULUS, PlainRing
from tests.protocol.ring_training import RingRun
from veilscore.models.vertical.layout import ScoreLayout
from veilscore.models.vertical.ports import Floats
from veilscore.models.vertical.run import PREDICTOR_SCALE


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
