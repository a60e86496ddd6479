"""Encryption by the owner of the key: forty times faster than r^n mod n², or 250 times.

The owner knows p and q, so it draws a random n-th residue modulo p² and modulo q²
apart, each as a random power of a fixed element, and joins them. The exponents are 64
bits longer than the group's order: the noise is uniform in the subgroup the two
elements generate, to within 2^-64, and no assumption beyond Paillier's is made.

If both primes are safe (p = 2p' + 1, p' prime too) the element generates the group, of
order 2p', the exponents have 256 bits, and one assumption more is made: nobody tells
powers with such exponents from powers with long ones. In a group of prime order that is
no easier than the logarithms of such powers (Koshiba, Kurosawa, "Short Exponent
Diffie-Hellman Problems", PKC 2004; for safe primes Gennaro, "An Improved Pseudo-Random
Generator Based on Discrete Log", CRYPTO 2000); of the factor 2 each power tells one bit
of its exponent, and that is uniform. The best known way to those logarithms takes the
square root of the number of exponents, 2^128 steps, as long as p - 1 has no other small
factors: those would give a short exponent away bit by bit (van Oorschot, Wiener, "On
Diffie-Hellman Key Agreement with Short Exponents", EUROCRYPT '96). Primes that are not
safe may have them, so such a key never gets short exponents. Others do not even know p;
collisions of products modulo p, which would tell it, take that square root too (Coron
and others, "Cryptanalysis of the RSA Subgroup Assumption from TCC 2005", PKC 2011).

Only for the owner's own plaintexts; there is nothing here to re-randomise with.
"""

import secrets
from collections.abc import Sequence
from typing import Final

from gmpy2 import invert, is_prime, mpz, powmod

from veilscore.keys.paillier.comb import DEPTH, FixedBase
from veilscore.keys.paillier.private import PrivateKey
from veilscore.keys.paillier.zero_pool import FreshZero

_EXTRA_BITS: Final = 64
_SMALL_PRIMES: Final = tuple(r for r in range(2, 1 << 12) if is_prime(r))

# Twice the strength of a key of 3072 bits. A twelfth of a larger modulus is at least
# twice its strength (192 bits at 7680, NIST SP 800-57).
_SHORT_BITS: Final = 256
_SHORT_SHARE: Final = 12
_SHORT_DEPTH: Final = 2  # tried 1 to 8: the fastest, in half the memory of depth 1


class OwnerEncryptor:
    """Tables of one private key; building them takes a fraction of a second."""

    def __init__(self, private: PrivateKey) -> None:
        p, q = mpz(private.p), mpz(private.q)
        self._public = private.public
        self._q_squared = q * q
        self._p_squared = p * p
        if private.has_safe_primes:
            bits = max(_SHORT_BITS, private.public.bits // _SHORT_SHARE)
            depth = _SHORT_DEPTH
        else:
            bits = max(p, q).bit_length() + _EXTRA_BITS
            depth = DEPTH
        self._at_p = FixedBase(draw_residue(p), p, bits, depth)
        self._at_q = FixedBase(draw_residue(q), q, bits, depth)
        self._inverse = invert(self._q_squared, self._p_squared)

    def encrypt(self, plaintexts: Sequence[int]) -> list[int]:
        """Encrypt residues in [0, n), each with fresh noise.

        Raises PlaintextRangeError for any other.
        """
        return self._public.add_plain(self.zeros(len(plaintexts)), plaintexts)

    def zeros(self, count: int) -> list[FreshZero]:
        """Return fresh encryptions of zero, each for one use."""
        return [FreshZero(self._encrypt_zero()) for _ in range(count)]

    def _encrypt_zero(self) -> int:
        at_p, at_q = self._at_p.random_power(), self._at_q.random_power()
        lift = (at_p - at_q) * self._inverse % self._p_squared
        return int(at_q + self._q_squared * lift)


def draw_residue(prime: mpz) -> mpz:
    """Return a random n-th residue modulo prime², for n = prime times another prime.

    These residues are the prime-th powers, a cyclic group of order prime - 1. Elements
    that are r-th powers for a small prime r dividing that order are drawn again, so the
    element misses a part of the group only if it is an r-th power for a large r, which
    has probability 1/r. If the prime is safe, it generates the whole group.
    """
    order = prime - 1
    factors: list[int | mpz] = [r for r in _SMALL_PRIMES if order % r == 0]
    factors.append(order // 2)  # of a safe prime the only other factor of the order
    while True:
        x = mpz(1 + secrets.randbelow(int(order)))
        if all(powmod(x, order // r, prime) != 1 for r in factors):
            return powmod(x, prime, prime * prime)
