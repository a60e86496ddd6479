"""How much of a privacy budget noisy sums spend, by Google's ``dp-accounting``.

Privacy loss distributions (Koskela, Jälkö and Honkela 2020; Doroshenko et al. 2022), of
which it returns upper bounds. Assumed: normal noise of exactly the stated deviation
(what rounding adds is in ``noise_shares``), neighbouring data differ by one row added
or removed, and every row is in every round: no sampling. The account is of what all
members see; the coordinator sees no sum.

Needs the extra ``dp``: ``pip install veilscore[dp]``. Nothing else imports this module.
"""

from collections.abc import Iterable
from math import exp
from statistics import NormalDist

import dp_accounting
from dp_accounting import pld

from veilscore.models.errors import DataError
from veilscore.models.horizontal.noise_shares import NoisySums
from veilscore.models.horizontal.number_counts import NOISY_PASSES
from veilscore.models.horizontal.terms import Privacy

_STEP = 1.001
_MOST_EPSILON = 50.0  # beyond, nothing is protected
_NORMAL = NormalDist()


def epsilon(spent: Iterable[NoisySums], delta: float) -> float:
    """Return the epsilon for which all these sums are (epsilon, delta)-private."""
    accountant = pld.PLDAccountant()
    for each in spent:
        event = dp_accounting.GaussianDpEvent(each.noise)
        accountant.compose(event, each.times)
    return float(accountant.get_epsilon(delta))


def privacy_for(
    target: float, delta: float, rounds: int, clip: float, count_share: float = 0.2
) -> Privacy:
    """Return the least noise for which a run is (target, delta)-private.

    ``count_share`` of what the noise lets through is for the counts of bins, the rest
    for the rounds: normal noise of deviations a and b on two sums is like that of
    deviation c on one where 1/c^2 = 1/a^2 + 1/b^2.
    """
    budget = 0 < target <= _MOST_EPSILON and 0 < delta < 1
    if not (budget and 0 < count_share < 1 and rounds >= 1):
        raise DataError(
            f"a privacy budget needs epsilon above 0 and up to {_MOST_EPSILON:g}, and "
            "delta between 0 and 1",
            remedy="Correct the budget",
        )
    noise = _exact_noise(target, delta)
    # The library's figure is a bound, a little above the exact one.
    while epsilon([NoisySums(noise, 1)], delta) > target:
        noise *= _STEP
    return Privacy(
        clip=clip,
        noise=noise * (rounds / (1 - count_share)) ** 0.5,
        count_noise=noise * (NOISY_PASSES / count_share) ** 0.5,
    )


def _exact_noise(target: float, delta: float) -> float:
    """Return the deviation for which one sum is private (Balle and Wang 2018)."""
    low, high = 0.0, 1.0
    while _exact_delta(target, high) > delta:
        low, high = high, 2 * high
    while high - low > _STEP - 1:
        middle = (low + high) / 2
        if _exact_delta(target, middle) > delta:
            low = middle
        else:
            high = middle
    return high


def _exact_delta(target: float, noise: float) -> float:
    half = 1 / (2 * noise)
    spared = exp(target) * _NORMAL.cdf(-half - target * noise)
    return _NORMAL.cdf(half - target * noise) - spared
