"""A feature holder's moments as the label holder takes them, or does not."""

import numpy as np
import pytest

from tests.protocol.plain_ring import MODULUS, PlainRing
from veilscore.models.errors import ProtocolError
from veilscore.models.vertical.answers import read_moments
from veilscore.models.vertical.layout import RowLayout
from veilscore.models.vertical.moments import PeerMoments
from veilscore.models.vertical.raking import HEAVIEST
from veilscore.v1.training_pb2 import Moments

ROWS, RING = 400, PlainRing()
LAYOUT = RowLayout.plan(ROWS, 1, 4, MODULUS)


def read(weight: int, squared: int, mean: float = 1.0) -> PeerMoments:
    """Return what the label holder makes of moments of one column with mean 1."""
    answer = Moments(
        ciphertexts=RING.encode([0] * len(LAYOUT.groups)),
        gram=[3.0 * weight],
        sums=[mean * weight],
        weight=weight,
        squared_weight=squared,
    )
    return read_moments("market", answer, RING, LAYOUT, ROWS, 4)


def test_the_weights_are_divided_out() -> None:
    found = read(weight=ROWS * 1000, squared=ROWS * 1000**2 * 4)
    assert found.covariance == pytest.approx(np.array([[2.0]]))
    assert found.weight == ROWS * 1000
    assert found.effective_rows == pytest.approx(ROWS / 4)


@pytest.mark.parametrize(
    ("weight", "squared"),
    [
        (0, 0),
        (0, 5),
        (ROWS * HEAVIEST + 1, 1 << 60),
        (1000, 0),
        (1000, 1000**2 // ROWS - 1),  # as if of more rows than there are
        (ROWS, ROWS - 1),  # weights are whole numbers
        (ROWS, ROWS * HEAVIEST + 1),  # and none is heavier
    ],
)
def test_weights_that_no_rows_have_are_refused(weight: int, squared: int) -> None:
    with pytest.raises(ProtocolError, match="a weight that no rows have") as caught:
        read(weight, squared)
    assert caught.value.party == "market"


@pytest.mark.parametrize("mean", [float("nan"), float("inf"), 1e6])
def test_means_that_no_rows_have_are_refused(mean: float) -> None:
    with pytest.raises(ProtocolError, match="out of their range"):
        read(ROWS, ROWS, mean)
