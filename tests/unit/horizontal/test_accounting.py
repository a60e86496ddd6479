import math
from dataclasses import replace
from statistics import NormalDist

import pytest

from veilscore.models.errors import DataError
from veilscore.models.horizontal.accounting import epsilon, privacy_for
from veilscore.models.horizontal.noise_shares import NoisySums, sums_of
from veilscore.models.horizontal.terms import Members, Terms

DELTA = 1e-5
TERMS = Terms(run="r", members=Members(most=3))


def exact_delta(eps: float, noise: float) -> float:
    """Return the delta of normal noise: Balle and Wang 2018, theorem 8."""
    normal, half = NormalDist(), 1 / (2 * noise)
    spared = math.exp(eps) * normal.cdf(-half - eps * noise)
    return normal.cdf(half - eps * noise) - spared


@pytest.mark.parametrize(
    ("noise", "times"), [(1.0, 1), (4.0, 1), (10.0, 40), (26.0, 9)]
)
def test_epsilon_bounds_the_exact_one_of_normal_noise_closely(
    noise: float, times: int
) -> None:
    found = epsilon([NoisySums(noise, times)], DELTA)
    together = noise / times**0.5
    assert exact_delta(found, together) <= DELTA
    assert exact_delta(0.99 * found - 0.001, together) > DELTA


def test_a_published_figure() -> None:
    """Noise of 3.7304 is (1, 1e-5)-private: the analytic Gaussian mechanism."""
    assert epsilon([NoisySums(3.7304, 1)], DELTA) == pytest.approx(1, abs=2e-3)


def test_sums_of_unequal_noise_compose() -> None:
    both = epsilon([NoisySums(5.0, 2), NoisySums(20.0, 30)], DELTA)
    alike = (2 / 25 + 30 / 400) ** -0.5
    assert both == pytest.approx(epsilon([NoisySums(alike, 1)], DELTA), rel=0.01)


@pytest.mark.parametrize("target", [1.0, 3.0, 8.0])
def test_noise_chosen_for_a_budget_spends_all_of_it_and_no_more(target: float) -> None:
    privacy = privacy_for(target, DELTA, TERMS.rounds, clip=2.0)
    spent = epsilon(sums_of(replace(TERMS, privacy=privacy)), DELTA)
    assert 0.98 * target < spent <= target * 1.002


def test_what_has_no_noise_has_no_account() -> None:
    with pytest.raises(DataError, match="without noise"):
        sums_of(TERMS)
    with pytest.raises(DataError, match="noise above 0"):
        NoisySums(0.0, 1)
    with pytest.raises(DataError, match="epsilon above 0"):
        privacy_for(0.0, DELTA, 40, clip=1.0)
