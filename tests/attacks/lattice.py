"""Undo a secret rotation: integers of a known size with two known sums.

A label holder knows of each column of a feature holder what its WoE codes add up to
over labelled and over bad rows: counts of bins without names suffice. It is sent the
same two sums of the rotated columns. A row of the rotation thus satisfies two linear
equations, is as long as the scale says, and is orthogonal to the other rows.

Solutions of the equations are one of them plus a lattice, which LLL reduces (Lenstra,
Lenstra, Lovász, Math. Ann. 261, 1982); those of the right length are enumerated (Fincke
and Pohst, Math. Comp. 44, 1985).
"""

import itertools
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

from veilscore.models.vertical.layout import ROTATION_SCALE
from veilscore.models.vertical.ports import Floats

Vector = list[int]

# Entries are rounded: standard deviations of a row's squared length and of the inner
# product of two rows, of which five are allowed for.
LENGTH_OFF = 5 * 2 * ROTATION_SCALE / math.sqrt(12)
PRODUCT_OFF = 5 * ROTATION_SCALE / math.sqrt(6)
WEIGHT = 1 << 60  # of the equations beside the lengths


def dot(a: Sequence[int], b: Sequence[int | Fraction]) -> int | Fraction:
    return sum(x * y for x, y in zip(a, b, strict=True))


def gram_schmidt(basis: list[Vector]) -> tuple[list[list[Fraction]], list[Fraction]]:
    """Return the coefficients and the squared lengths of the orthogonal parts."""
    size = len(basis)
    mu = [[Fraction(0)] * size for _ in basis]
    length = [Fraction(0)] * size
    # products[i][j]: of basis[i] and the j-th orthogonal part
    for i in range(size):
        products: list[Fraction] = []
        for j in range(i + 1):
            product = Fraction(dot(basis[i], basis[j]))
            product -= sum((mu[j][k] * products[k] for k in range(j)), Fraction(0))
            products.append(product)
            if j < i:
                mu[i][j] = product / length[j]
        length[i] = products[i]
    return mu, length


def reduced(basis: list[Vector]) -> list[Vector]:
    """Return an LLL-reduced basis of the same lattice."""
    basis = [list(vector) for vector in basis]
    mu, length = gram_schmidt(basis)
    k = 1
    while k < len(basis):
        for j in range(k - 1, -1, -1):
            times = round(mu[k][j])
            if times:
                basis[k] = [
                    a - times * b for a, b in zip(basis[k], basis[j], strict=True)
                ]
                for i in range(j):
                    mu[k][i] -= times * mu[j][i]
                mu[k][j] -= times
        if length[k] >= (Fraction(99, 100) - mu[k][k - 1] ** 2) * length[k - 1]:
            k += 1
        else:
            basis[k - 1], basis[k] = basis[k], basis[k - 1]
            mu, length = gram_schmidt(basis)
            k = max(k - 1, 1)
    return basis


@dataclass(frozen=True)
class Equations:
    """All integer solutions x of x·first = a, x·second = b, for any a and b."""

    kernel: list[Vector]  # (columns - 2, columns): reduced, both sums 0
    lifts: list[Vector]  # two vectors whose sums span all there are
    sums: list[Vector]  # their sums, (2, 2)

    @classmethod
    def of(cls, first: Vector, second: Vector) -> "Equations":
        """first, second: (columns,), at least two, not multiples of each other."""
        size = len(first)
        weighted = [
            [*(int(i == j) for j in range(size)), WEIGHT * a, WEIGHT * b]
            for i, (a, b) in enumerate(zip(first, second, strict=True))
        ]
        basis = reduced(weighted)
        lifts = [vector[:size] for vector in basis[size - 2 :]]
        sums = [[v // WEIGHT for v in vector[size:]] for vector in basis[size - 2 :]]
        return cls([vector[:size] for vector in basis[: size - 2]], lifts, sums)

    def one(self, a: int, b: int) -> Vector:
        """Return a short solution; there must be one."""
        (p, q), (r, s) = self.sums
        whole = p * s - q * r
        times = [(a * s - b * r) // whole, (b * p - a * q) // whole]
        x = [int(dot(times, column)) for column in zip(*self.lifts, strict=True)]
        _, length = gram_schmidt(self.kernel)
        for k in range(len(self.kernel) - 1, -1, -1):
            part = self._orthogonal(k)
            near = round(Fraction(dot(x, part)) / length[k])
            x = [u - near * v for u, v in zip(x, self.kernel[k], strict=True)]
        return x

    def _orthogonal(self, k: int) -> list[Fraction]:
        part = [Fraction(v) for v in self.kernel[k]]
        for j in range(k):
            other = self._orthogonal(j)
            square = sum((v * v for v in other), Fraction(0))
            times = Fraction(dot(self.kernel[k], other)) / square
            part = [u - times * v for u, v in zip(part, other, strict=True)]
        return part

    def of_length(self, a: int, b: int, square: float, off: float) -> list[Vector]:
        """Return the solutions whose squared length is within ``off`` of ``square``."""
        start = np.array(self.one(a, b), dtype=np.float64)
        if not self.kernel:
            near = abs(float(start @ start) - square) <= off
            return [start.astype(np.int64).tolist()] if near else []
        turn, upper = np.linalg.qr(np.array(self.kernel, dtype=np.float64).T)
        flat = turn.T @ start
        across = float(start @ start - flat @ flat)  # what no kernel vector changes
        room = square - across
        return [
            [int(v) for v in start + np.array(self.kernel, dtype=np.float64).T @ times]
            for times in shell(upper, flat, room - off, room + off)
        ]


def shell(upper: Floats, start: Floats, least: float, most: float) -> Iterator[Floats]:
    """Yield integer c with least <= |start + upper c|² <= most, upper triangular."""

    def inner(k: int, spent: float, times: Floats) -> Iterator[Floats]:
        centre = start[k] + float(upper[k, k + 1 :] @ times[k + 1 :])
        if most < spent:
            return
        width, step = math.sqrt(most - spent), abs(upper[k, k])
        middle = -centre / upper[k, k]
        low, high = math.ceil(middle - width / step), math.floor(middle + width / step)
        values: Iterator[int] = iter(range(low, high + 1))
        if k == 0 and least > spent:  # only both ends are long enough
            gap = math.sqrt(least - spent) / step
            ends = (math.floor(middle - gap), math.ceil(middle + gap))
            values = itertools.chain(
                range(low, ends[0] + 1), range(max(ends[1], ends[0] + 1), high + 1)
            )
        for value in values:
            times[k] = value
            square = spent + (centre + upper[k, k] * value) ** 2
            if k:
                yield from inner(k - 1, square, times)
            elif square >= least:
                yield times.copy()

    yield from inner(len(start) - 1, 0.0, np.zeros(len(start)))


def rotation(
    first: Vector, second: Vector, rotated: Sequence[tuple[int, int]]
) -> NDArray[np.int64] | None:
    """Return the rotation, (columns, columns), or None if not exactly one fits.

    first, second: (columns,), two sums of each column; rotated: the same two of each
    rotated column.
    """
    if len(first) < 2:
        return None
    equations = Equations.of(first, second)
    square = float(ROTATION_SCALE**2)
    choices = [
        np.array(equations.of_length(a, b, square, LENGTH_OFF), dtype=np.int64)
        for a, b in rotated
    ]
    found: list[list[NDArray[np.int64]]] = [[]]
    for rows in choices:
        found = [
            [*known, row]
            for known in found
            for row in rows
            if all(abs(int(row @ other)) <= PRODUCT_OFF for other in known)
        ]
    return np.array(found[0]) if len(found) == 1 else None
