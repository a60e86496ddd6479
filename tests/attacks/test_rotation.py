"""A label holder that undoes the rotation of a holder with few columns.

It follows the protocol and keeps what it is sent: counts of bins without names, and the
moments of the rotated columns (``lattice`` says how). With the rotation it has the
holder's weights, and its points for every bin, not whose bins they are.
"""

from dataclasses import dataclass, field, replace

import numpy as np
import pytest
from numpy.typing import NDArray

from tests.attacks.lattice import Vector, rotation
from tests.conftest import Tell
from tests.protocol.ring_training import DataSet, RingRun, begin, load
from veilscore.models.binning import MOST_BINS
from veilscore.models.vertical.answers import read_counts
from veilscore.models.vertical.label_holder import LabelHolder
from veilscore.models.vertical.layout import ROTATED_UNIT, ROTATION_SCALE
from veilscore.models.vertical.ports import Floats
from veilscore.models.vertical.run import RunColumns
from veilscore.models.woe import woe_table
from veilscore.v1.training_pb2 import CountAnswer, Counts

pytestmark = pytest.mark.long

Sums = tuple[Vector, Vector]  # over labelled and over bad rows, one a column


@dataclass(slots=True)
class Curious(LabelHolder):
    """One that adds up what the columns' codes are, from the counts of their bins."""

    sums: dict[str, Sums] = field(default_factory=dict[str, Sums])

    def _release_counts(self, peer: str, answer: CountAnswer) -> Counts:
        released = LabelHolder._release_counts(self, peer, answer)
        total = [len(self._bad), int(self._bad.sum())]
        labelled, bads = list[int](), list[int]()
        for column, told in zip(answer.columns, released.columns, strict=True):
            good, bad = read_counts(
                peer, column, self.own, self._layout, total, MOST_BINS
            )
            pooled = np.array([told.good, told.bad, told.pool])
            codes = woe_table(*pooled).codes
            labelled.append(int(codes @ (good + bad)))
            bads.append(int(codes @ bad))
        self.sums[peer] = labelled, bads
        return released

    def undone(self, peer: str) -> NDArray[np.int64] | None:
        """Return the peer's rotation, if exactly one fits what it sent."""
        moments = self._peer_moments[peer]
        rotated = [
            (round(labelled * ROTATED_UNIT), round(bad * ROTATED_UNIT))
            for labelled, bad in zip(moments.labelled, moments.bad, strict=True)
        ]
        return rotation(*self.sums[peer], rotated)

    def weights_of(self, peer: str, turn: NDArray[np.int64]) -> Floats:
        """Return the peer's weights once its rotation is known."""
        block = self._weights[self._moments.places[peer]]
        return np.asarray(turn.T @ block / ROTATION_SCALE)


def with_columns(number: int) -> DataSet:
    """Return uci_default with so many columns at the bureau."""
    data = load("uci_default", "three_A")
    bureau = data.columns["bureau"]
    few = RunColumns(
        bureau.names[:number], bureau.codes[:, :number], bureau.bin_counts[:number]
    )
    return replace(data, columns={**data.columns, "bureau": few})


def solved(number: int) -> tuple[RingRun, Curious]:
    run = begin(with_columns(number), bank=Curious)
    for step in ("counts", "moments", "cross", "solve"):
        run.play(step)
    assert isinstance(run.bank, Curious)
    return run, run.bank


@pytest.mark.parametrize("number", [2, 3, 4, 5, 6])
def test_the_rotation_of_a_small_holder_is_undone(number: int, tell: Tell) -> None:
    run, bank = solved(number)
    victim, turn = run.others["bureau"], bank.undone("bureau")
    recovered = 0
    if turn is not None:
        # Of the log odds of bad; a solution's are of good, with a slope of 1 so far.
        weights = -bank.weights_of("bureau", turn)
        right = np.isclose(weights, victim.solution().weights, rtol=1e-9, atol=0)
        recovered = int(right.sum())
    tell(
        f"rotation undone, a holder of {number} columns",
        f"weights of {recovered} of {number} columns",
        "none",
    )
    assert recovered == number
