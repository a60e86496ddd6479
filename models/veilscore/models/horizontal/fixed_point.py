"""Numbers as integers modulo 2^64, so that masks can hide them and sums are exact.

A unit is a power of two, the smallest with which a sum of the most members' largest
numbers has room: it is chosen, and shown to suffice, before anything is sent.
"""

from dataclasses import dataclass
from math import frexp, isfinite

import numpy as np

from veilscore.models.errors import BoundError
from veilscore.models.horizontal.ports import Floats, Integers, Words
from veilscore.models.horizontal.terms import SUM_BITS

# More would not be seen in a double of the size of 1.
_MOST_BITS = 40


@dataclass(frozen=True, slots=True)
class FixedPoint:
    """Numbers of absolute value up to ``largest``, in units of 2^-bits."""

    bits: int
    largest: float

    @classmethod
    def fitting(cls, largest: float, members: int) -> "FixedPoint":
        """Return the finest in which the numbers of so many members add up.

        members · (largest · 2^bits + 1) < 2^63, where 1 is for rounding. Raises
        ``BoundError`` if not even whole numbers do.
        """
        _, exponent = frexp(largest * members)  # largest * members < 2^exponent
        bits = min(SUM_BITS - exponent, _MOST_BITS)
        if not (isfinite(largest) and largest > 0 and bits >= 0):
            raise BoundError(
                f"{members} numbers of up to {largest:g} do not add up in 64 bits",
                place="contract",
                remedy="Allow fewer members, rows or shorter changes in the contract",
            )
        return cls(bits, largest)

    @property
    def unit(self) -> float:
        """The smallest difference."""
        return 2.0**-self.bits

    def encode(self, values: Floats) -> Words:
        """Round to units; raises ``BoundError`` for a number that is out of bounds."""
        if not np.all(np.abs(values) <= self.largest):
            raise BoundError(
                f"a number to be added up is not finite or beyond {self.largest:g}",
                remedy="Correct the row counts or train with a smaller rate",
            )
        return np.rint(np.ldexp(values, self.bits)).astype(np.int64).view(np.uint64)

    def decode(self, words: Words) -> Floats:
        """Return a sum as numbers, rounded to doubles once."""
        return np.ldexp(signed(words).astype(np.float64), -self.bits)


def signed(words: Words) -> Integers:
    """Return the integers in [-2^63, 2^63) that words stand for."""
    return words.view(np.int64)
