"""Noise and orderings that a peer must not be able to guess.

All randomness comes from the operating system's generator, through ``secrets``.
"""

import math
import secrets
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

Floats: TypeAlias = NDArray[np.float64]


def uniform(count: int) -> Floats:
    """Return ``count`` numbers uniform in (0, 1)."""
    words = np.frombuffer(secrets.token_bytes(8 * count), dtype="<u8") >> 11
    return (words.astype(np.float64) + 0.5) * 2.0**-53


def gaussian(count: int) -> Floats:
    """Return ``count`` standard normal numbers (Box and Muller 1958)."""
    half = (count + 1) // 2
    radius = np.sqrt(-2.0 * np.log(uniform(half)))
    angle = 2.0 * math.pi * uniform(half)
    return np.concatenate([radius * np.cos(angle), radius * np.sin(angle)])[:count]


def discrete_laplace(epsilon: float, count: int) -> NDArray[np.int64]:
    """Return integer noise with P(k) proportional to exp(-epsilon |k|).

    The difference of two geometric numbers (Ghosh, Roughgarden, Sundararajan
    2009); makes a count of sensitivity 1 epsilon-differentially private.
    """
    first, second = (
        np.floor(np.log(uniform(count)) / -epsilon).astype(np.int64) for _ in range(2)
    )
    return first - second


def ordering(count: int) -> NDArray[np.intp]:
    """Return a uniformly random permutation of range(count).

    The order of as many random words. All orders of words that differ are as likely;
    should two be equal (once in two million times for 4 million), all are drawn again.
    """
    while True:
        words = np.frombuffer(secrets.token_bytes(8 * count), dtype="<u8")
        order = np.argsort(words)
        ascending = words[order]
        if (ascending[1:] != ascending[:-1]).all():
            return order


def rotation(columns: int) -> Floats:
    """Return a uniformly random orthogonal matrix, (columns, columns).

    QR of a Gaussian matrix with the signs of R moved into Q (Mezzadri 2007).
    """
    q, r = np.linalg.qr(gaussian(columns * columns).reshape(columns, columns))
    return q * np.sign(np.diag(r))
