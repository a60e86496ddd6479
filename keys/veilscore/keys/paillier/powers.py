"""One weighted sum of encrypted numbers: the work of a host of a card.

It multiplies powers of ciphertexts of somebody else's numbers and learns nothing. The
product is deterministic in the weights: towards the owner of the key it hides nothing
until it is re-randomised, and the time that it takes depends on them.

By interleaving (Straus, "Addition chains of vectors", 1964): all bases share the
squarings, and in each digit of the exponents the bases of one digit are multiplied into
a bucket, which are joined by running products (Yao, "On the evaluation of powers",
1976). For one row of weights this takes two thirds of ``histogram.weighted_products``,
which is for many rows over the same ciphertexts.
"""

from collections.abc import Sequence
from typing import Final

from gmpy2 import invert, mpz

from veilscore.keys.paillier.public import PublicKey

_WIDEST_DIGIT: Final = 8


def weighted_sum(
    key: PublicKey, ciphertexts: Sequence[int], weights: Sequence[int]
) -> int:
    """Return an encryption of the sum of weight i times plaintext i.

    The ciphertexts are checked, the weights signed. Raises ValueError when there are
    not as many of both.
    """
    pairs = list(zip(map(mpz, ciphertexts), weights, strict=True))
    modulus = mpz(key.n_squared)
    above = _power([(base, weight) for base, weight in pairs if weight > 0], modulus)
    below = _power([(base, -weight) for base, weight in pairs if weight < 0], modulus)
    # One inversion for all negative weights.
    return int(above if below == 1 else above * invert(below, modulus) % modulus)


def _power(pairs: Sequence[tuple[mpz, int]], modulus: mpz) -> mpz:
    """Return the product of base^exponent; the exponents are positive."""
    product = mpz(1)
    length = max((exponent.bit_length() for _, exponent in pairs), default=0)
    digit = _digit_bits(len(pairs), length)
    mask = (1 << digit) - 1
    for shift in reversed(range(0, length, digit)):
        if product != 1:
            for _ in range(digit):
                product = product * product % modulus
        buckets: dict[int, mpz] = {}
        for base, exponent in pairs:
            value = exponent >> shift & mask
            if value:
                bucket = buckets.get(value)
                buckets[value] = base if bucket is None else bucket * base % modulus
        if buckets:
            product = product * _joined(buckets, modulus) % modulus
    return product


def _joined(buckets: dict[int, mpz], modulus: mpz) -> mpz:
    """Return the product of bucket^digit, by running products."""
    running = product = mpz(1)
    for value in range(max(buckets), 0, -1):
        if value in buckets:
            running = running * buckets[value] % modulus
        product = product * running % modulus
    return product


def _digit_bits(bases: int, length: int) -> int:
    """Return the digit with the fewest multiplications."""
    return min(
        range(1, _WIDEST_DIGIT + 1),
        key=lambda digit: -(-length // digit) * (bases + (2 << digit)),
    )
