"""The slope of noisy scores: corrected, it is that of the scores without noise."""

import numpy as np
import pytest
from numpy.typing import NDArray

from veilscore.models.vertical import solve

ROWS, SLOPE, OFFSET, VARIANCE = 40_000, 1.2, -1.5, 0.12
RNG = np.random.default_rng(8)
PREDICTORS = {
    "normal": RNG.normal(0, 0.9, ROWS),
    "skewed": RNG.gamma(1.5, 0.7, ROWS) - 1,
    "of three values": RNG.choice([-1.5, 0.0, 1.0], ROWS),
}


def outcomes(z: NDArray[np.float64]) -> NDArray[np.float64]:
    odds = RNG.random(len(z)) < 1 / (1 + np.exp(-OFFSET - SLOPE * z))
    return odds.astype(np.float64)


@pytest.mark.parametrize("name", PREDICTORS)
def test_noise_of_known_variance_does_not_flatten_the_slope(name: str) -> None:
    z = PREDICTORS[name]
    y = outcomes(z)
    blurred = z + RNG.normal(0, VARIANCE**0.5, ROWS)
    offset, slope = solve.calibrate(z, y)
    naive_slope = solve.calibrate(blurred, y)[1]
    found_offset, found_slope = solve.calibrate(blurred, y, VARIANCE)
    assert naive_slope < 0.93 * slope
    assert found_slope == pytest.approx(slope, rel=0.03)
    assert found_offset == pytest.approx(offset, rel=0.03)


def test_scores_of_no_variance_get_no_slope() -> None:
    y = outcomes(PREDICTORS["normal"])
    offset, slope = solve.calibrate(np.full(ROWS, 3.0), y, VARIANCE)
    assert abs(slope) < 0.2  # what the correction makes of chance
    assert np.isfinite(offset)
