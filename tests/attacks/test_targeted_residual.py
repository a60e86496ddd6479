"""M7: a label holder that puts its residual on one row, and asks who resembles it.

The gradient that comes back is that row's rotated WoE. Sent as the next weights, with
weights of 0 for everybody else, it makes the next predictor the similarity of all rows
to that one, with that holder's noise only, as often as there are steps left. Noise and
the number of steps bound how well it ranks; that it ranks is not defended.
"""

import math
from dataclasses import dataclass
from functools import cache

import numpy as np
import pytest

from tests.attacks.transcript import Thief, joint_predictors, joint_scores
from tests.conftest import Tell
from tests.protocol.ring_training import RingRun, begin, finish, load
from veilscore.models.script import Script, Send, receive
from veilscore.models.vertical.feature_holder import FeatureHolder
from veilscore.models.vertical.label_holder import LabelHolder
from veilscore.models.vertical.ports import Floats
from veilscore.models.vertical.run import RESIDUAL_SCALE
from veilscore.models.vertical.solution import lookup
from veilscore.node.training.policy import MAX_NOISY_STEPS
from veilscore.v1.training_pb2 import Block, TrainingMessage

pytestmark = pytest.mark.long

TARGET, NOISE = 500, 0.25
MOST_ALIKE = 1000


@dataclass(slots=True)
class Targeting(LabelHolder):
    """Trains honestly up to ``solve`` and after the last step."""

    victim: str = ""

    def polish(self, step: str) -> Script:
        yield from receive("predictor", self._peers)
        residuals = np.zeros(self.columns.rows, dtype=np.int64)
        residuals[TARGET] = RESIDUAL_SCALE
        answers = yield from self._ask_gradients(residuals)
        gradient = self._gradient(np.zeros(len(self._labelled)), answers)
        for peer in self._peers:
            place = self._moments.places[peer]
            wanted = gradient[place] * (peer == self.victim)
            if step == self.terms.last_polish:
                wanted = self._weights[place]
            yield Send(peer, TrainingMessage(block=Block(weights=wanted)))


@cache
def attacked(victim: str, steps: int) -> RingRun:
    data = load("uci_default", "three_A")
    run = begin(data, polish=steps, noise=NOISE, bank=Targeting)
    assert isinstance(run.bank, Targeting)
    run.bank.victim = victim
    return finish(run)


def similarity(holder: FeatureHolder) -> Floats:
    """Return what the label holder is after, (rows,)."""
    codes = lookup(holder.columns.codes, holder.solution().woe)
    return np.asarray(codes @ codes[TARGET])


def most_alike(similar: Floats) -> set[int]:
    return set(np.argsort(-similar)[:MOST_ALIKE].tolist())


@pytest.mark.parametrize("steps", [2, MAX_NOISY_STEPS])
@pytest.mark.parametrize("victim", ["bureau", "regulator"])
def test_noise_bounds_how_rows_are_ranked_by_likeness(
    victim: str, steps: int, tell: Tell
) -> None:
    run = attacked(victim, steps)
    truth = similarity(run.others[victim])
    shown = np.mean(joint_predictors(run)[1:], axis=0)
    final = joint_scores(run, "evaluate")
    alike = float(np.corrcoef(truth, shown)[0, 1])
    bound = 1 / math.sqrt(1 + NOISE**2 / (steps - 1)) + 0.002
    hits = len(most_alike(truth) & most_alike(shown))
    chance = max(len(most_alike(truth) & most_alike(sign * final)) for sign in (1, -1))
    tell(
        f"M7 likeness to one row, {victim}, polish {steps}, .25",
        f"correlation {alike:.3f}, {hits} of the {MOST_ALIKE} rows most alike",
        f"{bound:.3f}; {chance} by final scores",
    )
    assert alike <= bound


def test_likeness_to_a_row_tells_more_than_final_scores(tell: Tell) -> None:
    """Not defended but by noise and the number of steps: a figure, no bound."""
    for victim, columns in (
        ("regulator", ("SEX", "EDUCATION")),
        ("bureau", ("PAY_0",)),
    ):
        thief = Thief(attacked(victim, MAX_NOISY_STEPS))
        shown = np.mean(joint_predictors(thief.run)[1:], axis=0)
        for column in columns:
            final = thief.guesses_right(thief.final, victim, column)
            found = thief.guesses_right([*thief.final, shown], victim, column)
            tell(
                f"M7 {column}, likeness to one row, polish {MAX_NOISY_STEPS}, .25",
                f"{found:.3f}",
                f"none; {final:.3f} with final scores",
            )
            assert found > final
