"""Random powers of one fixed base, several times faster than exponentiation.

The comb of Lim and Lee, "More flexible exponentiation with precomputation", CRYPTO '94.
Write the exponent as TEETH rows of as many bits as blocks * DEPTH; the table of a block
holds the product of the base's powers for every pattern of one column, so one
multiplication takes in TEETH bits, and DEPTH - 1 squarings serve all of them.

A random exponent needs no splitting: every column is drawn by itself. Memory at 3072
bits: 9 MB for a prime's square, 17 MB for n².
"""

import secrets
from collections.abc import Sequence
from typing import Final

import numpy as np
from gmpy2 import mpz, powmod

# Tried from 8 x 8 to 13 x 16: more teeth gain a tenth and multiply the memory.
TEETH: Final = 10
DEPTH: Final = 8


class FixedBase:
    """A base, its modulus and the tables for exponents of at least ``bits`` bits."""

    def __init__(self, base: mpz, modulus: mpz, bits: int) -> None:
        self._modulus = modulus
        self.blocks = -(-bits // (TEETH * DEPTH))
        columns = self.blocks * DEPTH
        teeth = [base]
        while len(teeth) < TEETH:
            teeth.append(powmod(teeth[-1], 1 << columns, modulus))
        self._tables: list[list[mpz]] = []
        for _ in range(self.blocks):
            table = [mpz(1)]
            for tooth in teeth:
                table += [entry * tooth % modulus for entry in table]
            self._tables.append(table)
            teeth = [powmod(tooth, 1 << DEPTH, modulus) for tooth in teeth]

    def random_power(self) -> mpz:
        """Return base^e, e uniform below 2^(TEETH * blocks * DEPTH) and forgotten."""
        count = self.blocks * DEPTH
        drawn = np.frombuffer(secrets.token_bytes(2 * count), np.uint16)
        columns: list[int] = (drawn & ((1 << TEETH) - 1)).tolist()
        return self.power(columns)

    def power(self, columns: Sequence[int]) -> mpz:
        """Return base^e for an exponent given by its columns.

        Bit t of ``columns[k * blocks + i]`` is bit
        t * blocks * DEPTH + i * DEPTH + DEPTH - 1 - k of e.
        """
        modulus, power, column = self._modulus, mpz(1), iter(columns)
        for _ in range(DEPTH):
            power = power * power % modulus
            for table in self._tables:
                power = power * table[next(column)] % modulus
        return power
