"""Sums of ciphertexts per bin, and weighted sums: the work of a feature holder.

It multiplies ciphertexts of somebody else's rows and learns nothing. The products are
deterministic in the bins and weights: towards the owner of the key they hide nothing
until they are masked and re-randomised.

Several columns are summed at once: every ciphertext is multiplied into the cell of the
combination of its bins, and the cells are then summed over all columns but one ("four
Russians"; Arlazarov, Dinic, Kronrod, Faradzev, 1970). That takes n multiplications a
group instead of n a column, plus about two a cell.
"""

from collections.abc import Iterable, Sequence
from itertools import pairwise
from math import prod
from typing import Any, Final, TypeAlias

import numpy as np
from gmpy2 import invert, mpz, powmod
from numpy.typing import NDArray

from veilscore.keys.paillier.public import PublicKey

_EXPONENT_BITS: Final = 63

Bins: TypeAlias = NDArray[np.integer[Any]]  # (rows, columns), bin of each row


def histogram(
    key: PublicKey, ciphertexts: Sequence[int], bins: Bins, widths: Sequence[int]
) -> list[list[int]]:
    """Return for every column and bin the encrypted sum of the bin's rows.

    ``widths[j]`` is the number of bins of column j. An empty bin gets 1, which is an
    encryption of zero. Raises ValueError when shapes or bins do not agree.
    """
    if bins.shape != (len(ciphertexts), len(widths)):
        raise ValueError("one row of bins per ciphertext, one column per width")
    if bins.size and ((bins < 0).any() or (bins.max(axis=0) >= widths).any()):
        raise ValueError("a bin is outside its column's width")
    modulus = mpz(key.n_squared)
    factors = [mpz(ciphertext) for ciphertext in ciphertexts]
    columns: list[list[mpz]] = []
    for start, stop in pairwise(group_bounds(len(factors), widths)):
        group = widths[start:stop]
        cells = np.zeros(len(factors), np.int64)
        for column, width in zip(range(start, stop), group, strict=True):
            cells = cells * width + bins[:, column]
        joint = [mpz(1)] * prod(group)
        for cell, factor in zip(cells.tolist(), factors, strict=True):
            joint[cell] = joint[cell] * factor % modulus
        columns += _marginals(joint, group, modulus)
    return [[int(product) for product in column] for column in columns]


def weighted_products(
    key: PublicKey,
    bases: Sequence[int],
    exponents: Sequence[Sequence[int]] | NDArray[np.integer[Any]],
) -> list[int]:
    """Return for every row of exponents the product of bases[i]^exponents[row][i].

    The bases are checked ciphertexts; the exponents are signed, less than 2^63 apart.
    Every bit of every row is a column of two bins; Horner's rule joins the bits.
    Raises ValueError when shapes do not agree or exponents are too far apart.
    """
    weights = np.asarray(exponents, np.int64)
    if weights.ndim != 2 or weights.shape[1] != len(bases):  # noqa: PLR2004 - a matrix
        raise ValueError("one exponent per base in every row")
    if not weights.size:
        return [1] * len(weights)
    # Made non-negative together, so that one inversion serves all rows.
    shift = min(int(weights.min()), 0)
    bits = (int(weights.max()) - shift).bit_length()
    if bits > _EXPONENT_BITS:
        raise ValueError(f"exponents are {bits} bits apart")
    digits = [weights - shift >> bit & 1 for bit in reversed(range(bits))]
    columns = np.concatenate(digits or [weights[:0]])
    sums = histogram(key, bases, columns.T, [2] * len(columns))
    modulus = mpz(key.n_squared)
    products = [mpz(1)] * len(weights)
    for start in range(0, len(sums), len(weights)):
        products = [
            product * product % modulus * ones % modulus
            for product, (_, ones) in zip(
                products, sums[start : start + len(weights)], strict=True
            )
        ]
    if shift:
        everything = _product((mpz(base) for base in bases), modulus)
        correction = invert(powmod(everything, -shift, modulus), modulus)
        products = [product * correction % modulus for product in products]
    return [int(product) for product in products]


def multiplications(rows: int, widths: Sequence[int]) -> int:
    """Return about how many multiplications a histogram of so many rows takes."""
    return _cheapest(rows, widths)[-1][0]


def group_bounds(rows: int, widths: Sequence[int]) -> list[int]:
    """Cut the columns into groups so that the multiplications are fewest."""
    best = _cheapest(rows, widths)
    bounds = [len(widths)]
    while bounds[-1]:
        bounds.append(best[bounds[-1]][1])
    return bounds[::-1]


def _cheapest(rows: int, widths: Sequence[int]) -> list[tuple[int, int]]:
    """Return what the first j columns cost at least, and where their last group starts.

    For every j from 0; the cost is in multiplications.
    """
    best: list[tuple[int, int]] = [(0, 0)]
    for stop in range(1, len(widths) + 1):
        start, cells = stop - 1, widths[stop - 1]
        choices = [(best[start][0] + rows + cells, start)]
        while start and cells * widths[start - 1] <= 2 * rows:
            start -= 1
            cells *= widths[start]
            choices.append((best[start][0] + rows + cells, start))
        best.append(min(choices))
    return best


def _marginals(
    joint: list[mpz], widths: Sequence[int], modulus: mpz
) -> list[list[mpz]]:
    """Sum the cells over all columns but one, for each column, by halving."""
    if len(widths) == 1:
        return [joint]
    half = len(widths) // 2
    inner = prod(widths[half:])
    outer_cells = [
        _product(joint[start : start + inner], modulus)
        for start in range(0, len(joint), inner)
    ]
    inner_cells = [_product(joint[start::inner], modulus) for start in range(inner)]
    return _marginals(outer_cells, widths[:half], modulus) + _marginals(
        inner_cells, widths[half:], modulus
    )


def _product(factors: Iterable[mpz], modulus: mpz) -> mpz:
    product = mpz(1)
    for factor in factors:
        product = product * factor % modulus
    return product
