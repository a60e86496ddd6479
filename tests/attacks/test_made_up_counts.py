"""A label holder that answers with counts of its own making, and reads whole rows.

A holder takes its WoE from the counts it is told, and its weights from the block it is
sent; nothing shows it that either follows from labels. The label holder gives one
holder steps of WoE that tell its bins apart, undoes its rotation (``lattice``), and
gives it weights that make its points digits of one number, all others weights of 0. The
final "joint" score of a row is then that number, of as many values as a score may have.
"""

import math
from dataclasses import dataclass, field
from functools import reduce

import numpy as np
import pytest
from numpy.typing import NDArray

from tests.attacks.test_rotation import Curious
from tests.attacks.transcript import joint_scores
from tests.conftest import Tell
from tests.protocol.ring_training import begin, finish, load
from veilscore.models.binning import MOST_BINS
from veilscore.models.script import Script, Send, receive
from veilscore.models.vertical.answers import read_counts
from veilscore.models.vertical.layout import ROTATION_SCALE
from veilscore.models.vertical.ports import Floats
from veilscore.models.vertical.run import DOUBLINGS_LIMIT
from veilscore.models.vertical.solution import lookup
from veilscore.models.woe import WOE_SCALE, woe_table
from veilscore.v1.training_pb2 import (
    BinCounts,
    Block,
    CountAnswer,
    Counts,
    Slope,
    TrainingMessage,
)

pytestmark = pytest.mark.long

VICTIM = "bureau"
ROWS = 1 << 24  # made up for each true one: shares stay, goods and bads split finely
STEP = 2.0  # of WoE from bin to bin
APART = 3  # points between two values of the lowest digit: above what rounding moves
READ = 3  # columns whose bins, together, the points have room for


def ladder(labelled: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return goods and bads whose WoE rises by STEP from bin to bin, (bins,) each.

    Their sums have the true shares: by others the holder's rows would weigh as if they
    were few, and it would refuse.
    """
    bins = len(labelled)
    odds = np.exp(STEP * (np.arange(bins) - bins / 2))
    good = np.rint(ROWS * (labelled + 0.5) * odds / (1 + odds)).astype(np.int64)
    return good, np.rint(ROWS * (labelled + 0.5)).astype(np.int64) - good


@dataclass(slots=True)
class Liar(Curious):
    """Reads one holder's rows; bins are numbered as that holder shuffled them."""

    codes: list[NDArray[np.int64]] = field(default_factory=list[NDArray[np.int64]])

    def _release_counts(self, peer: str, answer: CountAnswer) -> Counts:
        if peer != VICTIM:
            return Curious._release_counts(self, peer, answer)
        total, made_up = [len(self._bad), int(self._bad.sum())], Counts()
        self.sums[peer] = [], []
        for column in answer.columns:
            counted = read_counts(
                peer, column, self.own, self._layout, total, MOST_BINS
            )
            good, bad = ladder(counted[0] + counted[1])
            self.codes.append(woe_table(good, bad).codes)
            self.sums[peer][0].append(int(self.codes[-1] @ sum(counted)))
            self.sums[peer][1].append(int(self.codes[-1] @ counted[1]))
            pool = [0] * len(good)
            made_up.columns.append(BinCounts(good=good, bad=bad, pool=pool))
        return made_up

    @property
    def digits(self) -> Floats:
        """Points that a step of each column's bins is to be worth, (columns,)."""
        bases = [len(codes) for codes in self.codes]
        worth = APART * np.cumprod([1, *bases[:-1]]).astype(np.float64)
        return np.where(np.arange(len(bases)) < READ, worth, 0.0)

    def solve(self) -> Script:
        turn = self.undone(VICTIM)
        assert turn is not None
        weights = -self.digits / (self.terms.scale.factor * STEP)
        block = ROTATION_SCALE * np.linalg.solve(turn.T.astype(np.float64), weights)
        for peer in self._peers:
            size = len(self._peer_moments[peer].labelled)
            sent = Block(weights=block if peer == VICTIM else np.zeros(size))
            yield Send(peer, TrainingMessage(block=sent))

    def calibrate(self) -> Script:
        yield from receive("score_share", self._peers)
        for peer in self._peers:
            yield Send(peer, TrainingMessage(slope=Slope(factor=1.0)))

    def evaluate(self) -> Script:
        yield from receive("score_share", self._peers)

    def read(self, scores: Floats) -> NDArray[np.int64]:
        """Return the made-up WoE code of each row and column read, (rows, READ)."""
        parts = [
            points * codes / (WOE_SCALE * STEP)
            for points, codes in zip(self.digits, self.codes[:READ], strict=False)
        ]
        values = reduce(np.add.outer, parts).ravel()
        order = np.argsort(values)
        between = (values[order][1:] + values[order][:-1]) / 2
        number = order[np.searchsorted(between, scores)]
        bins = np.unravel_index(number, [len(part) for part in parts])
        return np.column_stack(
            [codes[at] for codes, at in zip(self.codes, bins, strict=False)]
        )


def test_made_up_counts_read_what_one_score_can_hold(tell: Tell) -> None:
    """Not defended: a figure, and the bound of what one score can hold."""
    run = begin(load("uci_default", "three_A"), bank=Liar)
    finish(run)
    assert isinstance(run.bank, Liar)
    victim = run.others[VICTIM]
    truth = np.rint(lookup(victim.columns.codes, victim.solution().woe) * WOE_SCALE)
    shown = run.bank.read(joint_scores(run, "evaluate"))
    right = (shown == truth[:, :READ]).all(axis=1).sum()
    bits = math.log2(math.prod(victim.columns.bin_counts[:READ]))
    values = 2 * DOUBLINGS_LIMIT * run.contract.points_to_double_odds + 1
    tell(
        f"rows of which made-up counts show {READ} of a holder's 6 columns",
        f"{right} of {len(shown)}, {bits:.1f} bits each",
        f"{math.log2(values):.1f} bits each",
    )
    assert right > 0.9 * len(shown)
    assert bits <= math.log2(values)
