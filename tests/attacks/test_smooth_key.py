"""An owner with smooth p - 1 and q - 1 must not read weights out of noise.

The owner asks for a weighted sum of encryptions of zero whose noise lies in the smooth
part of the group. If the answer's noise is a power of one fixed h, one further answer
shows the direction of h there, and discrete logarithms modulo small primes give the
weights. Against r^n with fresh r the same owner learns nothing.

A weight counts as recovered if two answers show it: one of thirty guesses of 16 bits
is right by chance in 1 of 2,000 answers, the same in two of them in 1 of 10^8.
"""

import secrets
from collections.abc import Callable
from itertools import count
from math import gcd, prod

import pytest
from gmpy2 import invert, is_prime, mpz, powmod

from tests.conftest import Tell
from veilscore.keys.paillier.answer_noise import NoisePool, draw_noise
from veilscore.keys.paillier.histogram import weighted_products
from veilscore.keys.paillier.peer_noise import PeerEncryptor
from veilscore.keys.paillier.private import PrivateKey
from veilscore.keys.paillier.public import PublicKey

WEIGHTS, BITS = 30, 16
SMALL = [r for r in range(1009, 1600) if is_prime(r)][:60]  # 620 bits together
SMOOTH = prod(SMALL)


def smooth_prime() -> int:
    """Return a random 1024-bit prime p with each of SMALL once in p - 1."""
    low = 3 << 1022
    start = low // (2 * SMOOTH) + secrets.randbelow(low // (8 * SMOOTH))
    return next(
        p
        for k in count(start)
        if gcd(k, SMOOTH) == 1 and is_prime(p := 2 * SMOOTH * k + 1)
    )


def element_of_order(r: int, p: int) -> mpz:
    """Return an element of prime order r modulo p."""
    while True:
        element = powmod(secrets.randbelow(p - 2) + 2, (p - 1) // r, p)
        if element != 1:
            return element


class SmoothOwner:
    """Reads logarithms of noise in the smooth part of its own group."""

    def __init__(self) -> None:
        self.private = PrivateKey(smooth_prime(), smooth_prime())
        self.public = self.private.public
        self._elements = {
            prime: {r: element_of_order(r, prime) for r in SMALL}
            for prime in (self.private.p, self.private.q)
        }

    def logarithms(self, noise: int, prime: int) -> dict[int, int]:
        """Return the logarithm of an n-th residue modulo each small prime."""
        found: dict[int, int] = {}
        for r, element in self._elements[prime].items():
            wanted, power = powmod(noise, (prime - 1) // r, prime), mpz(1)
            found[r] = 0
            while power != wanted:
                power = power * element % prime
                found[r] += 1
        return found

    def query(self) -> list[int]:
        """Return encryptions of zero, number i with the logarithms 2^(BITS * i)."""
        p, q = self.private.p, self.private.q
        p_squared, q_squared = mpz(p) ** 2, mpz(q) ** 2
        # Scaled so that `logarithms`, which raises to (p-1)/r, finds exactly 1.
        base = mpz(1)
        for r, element in self._elements[p].items():
            scale = int(invert((p - 1) // r, r))
            base = base * powmod(element, scale, p) % p
        base = powmod(base, p * int(invert(p, SMOOTH)), p_squared)
        lift = q_squared * invert(q_squared, p_squared)
        queries: list[int] = []
        for i in range(WEIGHTS):
            power = powmod(base, 1 << BITS * i, p_squared)
            queries.append(int((1 + (power - 1) * lift) % (p_squared * q_squared)))
        return queries

    def weights(self, calibration: int, answer: int) -> list[int]:
        """Eliminate the noise of the answer by its direction in the calibration."""
        x, y = (self.logarithms(calibration, p) for p in self._elements)
        a, b = (self.logarithms(answer, p) for p in self._elements)
        usable = [r for r in SMALL if y[r]]
        modulus, total = prod(usable), 0
        for r in usable:
            share = (a[r] * y[r] - b[r] * x[r]) * int(invert(y[r], r)) % r
            rest = modulus // r
            total += share * rest * int(invert(rest, r))
        total %= modulus
        return [total >> BITS * i & ((1 << BITS) - 1) for i in range(WEIGHTS)]


@pytest.fixture(scope="module")
def owner() -> SmoothOwner:
    return SmoothOwner()


def recovered(owner: SmoothOwner, rerandomise: Callable[[list[int]], list[int]]) -> int:
    """Return how many of a node's secret weights the owner reads, twice over."""
    secret = [secrets.randbelow(1 << BITS) for _ in range(WEIGHTS)]
    key = PublicKey(owner.public.n)
    query = key.decode(key.encode(owner.query()), WEIGHTS)
    assert owner.private.decrypt(query) == [0] * WEIGHTS
    [calibration] = rerandomise(weighted_products(key, [1], [[1]]))
    answers = rerandomise(weighted_products(key, query, [secret, secret]))
    guesses = [owner.weights(calibration, answer) for answer in answers]
    shown = zip(secret, *guesses, strict=True)
    return sum(len(set(weight_and_guesses)) == 1 for weight_and_guesses in shown)


def test_the_attack_reads_everything_through_powers_of_one_h(
    owner: SmoothOwner, tell: Tell
) -> None:
    encryptor = PeerEncryptor(owner.public)

    def rerandomise(answers: list[int]) -> list[int]:
        return owner.public.add(answers, encryptor.encrypt([0] * len(answers)))

    found = recovered(owner, rerandomise)
    tell("H1 weights read, were noise powers of one h", f"{found} of {WEIGHTS}", "none")
    assert found == WEIGHTS


def test_the_attack_fails_against_the_answer_path(
    owner: SmoothOwner, tell: Tell
) -> None:
    def rerandomise(answers: list[int]) -> list[int]:
        noise = draw_noise(owner.public, len(answers))
        return NoisePool(owner.public, noise).rerandomise(answers)

    found = recovered(owner, rerandomise)
    tell("H1 weights read by the owner of a smooth key", f"{found} of {WEIGHTS}", 0)
    assert found == 0
