"""Noise on a sum, of which every member adds a share under its mask.

Normal shares add up to normal noise (distributed Gaussian: Goryczka and Xiong 2015). A
member knows its own share, and some may be missing: shares are such that those of the
fewest members, without the contract's number of colluding ones, have the whole
variance.

Each share is rounded to units. A sum of rounded shares is no rounded normal number, but
of k shares of s units each it differs from discrete normal noise by a part of about
exp(-2 pi^2 s^2 k / (k + 1)) (Kairouz, Liu and Steinke 2021, for discrete normal
shares): a share of under four units (10^-68) is refused, and the accountant takes the
noise for normal. Units are large against the spacing of doubles, in which Mironov
(2012) found secrets.
"""

from dataclasses import dataclass
from math import isfinite, sqrt

import numpy as np

from veilscore.models import noise
from veilscore.models.errors import BoundError, DataError
from veilscore.models.horizontal.number_counts import NOISY_PASSES
from veilscore.models.horizontal.ports import Integers
from veilscore.models.horizontal.terms import Members, Terms

# No share is larger, in deviations: of 53-bit uniform numbers Box and Muller make none.
LONGEST = 9.0
_LEAST_UNITS = 4.0


def deviation(whole: float, members: Members) -> float:
    """Return the standard deviation of a share of noise of ``whole``."""
    return whole / sqrt(members.least - members.colluding)


def share(count: int, whole: float, members: Members) -> Integers:
    """Return this member's share of ``count`` numbers, in units, as ``whole`` is.

    Raises ``BoundError`` if units are too coarse for so little noise.
    """
    each = deviation(whole, members)
    if each < _LEAST_UNITS:
        raise BoundError(
            f"a share of noise of {each:.3g} units would be seen to be rounded",
            place="contract",
            remedy="Raise the noise, or allow fewer members or rows",
        )
    return np.rint(each * noise.gaussian(count)).astype(np.int64)


@dataclass(frozen=True, slots=True)
class NoisySums:
    """So many sums, with noise of ``noise`` deviations for each that a row moves them.

    The length that one row can change a sum by is 1.
    """

    noise: float
    times: int

    def __post_init__(self) -> None:
        """Refuse what would be no noise."""
        if not (isfinite(self.noise) and self.noise > 0 and self.times >= 1):
            raise DataError(
                "noisy sums need noise above 0 and happen at least once",
                remedy="Correct the privacy terms in the contract",
            )


def sums_of(terms: Terms) -> tuple[NoisySums, ...]:
    """Return all noisy sums of a run; raises ``DataError`` if it has none."""
    privacy = terms.privacy
    if privacy is None:
        raise DataError(
            "a run without noise has no privacy budget",
            place="contract",
            remedy="Set privacy in the contract",
        )
    return (
        NoisySums(privacy.count_noise, NOISY_PASSES),
        NoisySums(privacy.noise, terms.rounds),
    )
