"""Two points that stand for a list of points, to check what was done to all of it.

The small exponents test of Bellare, Garay and Rabin (Eurocrypt 1998, section 4): each
point counts with a coefficient of 12 random bits, drawn after the list is settled.
Whoever raised all but one point of a list by its key, or in another order, cannot have
the two sums agree: chance gives 2^-12 for one sum, 2^-24 for both. A list that passes
several hops keeps its coefficients, so that hops which collude gain nothing.

The sums are of the blinded points themselves; they say nothing about the ids. A list
may be given in parts: coefficients follow from a point's place in the whole list.
"""

import hashlib
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from itertools import pairwise
from typing import Final

import numpy as np
from numpy.typing import NDArray

from veilscore.keys import ristretto
from veilscore.keys.errors import LinkageError
from veilscore.keys.ristretto import POINT

CHALLENGE: Final = 32  # bytes
SUMS: Final = 2

_COEFFICIENTS: Final = 1 << 12  # from 1 to as many


def sums(
    parts: Sequence[bytes], challenge: bytes, owner: str, party: str
) -> list[bytes]:
    """Return the ``SUMS`` sums of the list that is ``owner``'s, over all its parts.

    About 20 microseconds a point and sum, each sum in its own thread. Raises
    LinkageError naming ``party``, who sent the list, on what is not a point.
    """
    seed = hashlib.shake_256(challenge + owner.encode())
    count = sum(map(len, parts)) // POINT
    drawn = np.frombuffer(seed.digest(2 * SUMS * count), dtype="<u2")
    drawn = drawn.reshape(SUMS, count)
    try:
        with ThreadPoolExecutor(SUMS) as pool:
            return list(pool.map(partial(_weighted_sum, parts), drawn))
    except (RuntimeError, ValueError) as error:
        raise LinkageError(
            "the blinded set holds something that is not a point", party=party
        ) from error


def _weighted_sum(parts: Sequence[bytes], drawn: NDArray[np.uint16]) -> bytes:
    """Add up the points of one coefficient first, then all from the top down."""
    buckets: dict[int, bytes] = {}
    first = 0
    for points in parts:
        starts = range(0, len(points), POINT)
        coefficients = drawn[first : first + len(starts)] % _COEFFICIENTS + 1
        first += len(starts)
        for start, coefficient in zip(starts, coefficients.tolist(), strict=True):
            point = points[start : start + POINT]
            held = buckets.get(coefficient)
            buckets[coefficient] = ristretto.total(held, point) if held else point
    result = running = ristretto.IDENTITY
    for coefficient, lower in pairwise((*sorted(buckets, reverse=True), 0)):
        running = ristretto.total(running, buckets[coefficient])
        steps = coefficient - lower
        counted = running if steps == 1 else ristretto.small_multiple(steps, running)
        result = ristretto.total(result, counted)
    return result
