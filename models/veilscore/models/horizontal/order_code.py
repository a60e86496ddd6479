"""Numbers as integers in the same order, and buckets of such integers.

A number is rounded up to the next one of single precision (IEEE 754 binary32), whose
bits, with the sign as that of an integer, are its code: the order of codes is that of
the numbers, and code(x) <= code(e) exactly where x <= e, for every e of single
precision.

A bucket at ``shift`` s and place b holds the codes in ((b - 1) 2^s, b 2^s]. Its upper
bound is the roundest number in it: at shift 21 these are 1, 1.25, 1.5, 1.75, 2, 2.5, 3
..., at shift 10 all whole numbers up to 16,384.
"""

import numpy as np

from veilscore.models.errors import DataError
from veilscore.models.horizontal.ports import Floats, Integers

LARGEST = float(np.finfo(np.float32).max)


def codes(values: Floats, *, column: str) -> Integers:
    """Return the code of each number; raises ``DataError`` beyond single precision."""
    if not np.all(np.abs(values) <= LARGEST):
        raise DataError(
            f"column {column!r} holds an infinite number or one beyond {LARGEST:.4g}",
            remedy="Correct the value at its source or declare it a missing code",
        )
    single = values.astype(np.float32)
    with np.errstate(over="ignore"):  # of the largest, which is not rounded up
        above = np.nextafter(single, np.float32(np.inf))
    # Adding 0 turns -0 into 0, which has one code.
    up = np.where(single < values, above, single) + 0
    bits = up.astype(np.float32).view(np.int32).astype(np.int64)
    magnitude = bits & 0x7FFF_FFFF
    return np.where(bits < 0, -magnitude, magnitude)


def numbers(of: Integers) -> Floats:
    """Return the number of each code."""
    bits = np.abs(of).astype(np.int32).view(np.float32)
    return np.sign(of) * bits.astype(np.float64)


def places(of: Integers, shift: int) -> Integers:
    """Return the place of the bucket at ``shift`` that each code lies in."""
    return -((-of) >> shift)
