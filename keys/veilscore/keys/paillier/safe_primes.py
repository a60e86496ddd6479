"""Paillier keys of safe primes: primes p with (p - 1) / 2 prime as well.

Their owner may encrypt with short exponents (``owner_noise``). Everybody can suspect
them, because n is 1 modulo 24. gcd(n, phi(n)) is 1, as Paillier asks.

OpenSSL searches: the modulus of its Diffie-Hellman parameters is a safe prime. Both
primes are sought at once in processes of their own, which end with the search, also if
it is interrupted: a thread inside OpenSSL could not be stopped.
"""

import warnings
from collections.abc import Callable, Generator, Iterator
from concurrent.futures import FIRST_COMPLETED, wait
from contextlib import closing
from functools import partial
from typing import Final, TypeAlias

from cryptography.hazmat.primitives.asymmetric import dh
from cryptography.utils import CryptographyDeprecationWarning
from gmpy2 import is_prime

from veilscore.keys.paillier.private import PrivateKey, check_size
from veilscore.keys.paillier.public import DEFAULT_BITS
from veilscore.keys.paillier.worker_pool import WorkerPool

Found: TypeAlias = Callable[[int], None]
"""Called with how many safe primes were found so far, when a search begins with 0."""

_PROCESSES: Final = 2


def generate(found: Found, bits: int = DEFAULT_BITS) -> PrivateKey:
    """Make a key of two safe primes; takes seconds, at times minutes.

    Raises InvalidKeyError for a size that is odd or not allowed, WorkerError when a
    process is lost.
    """
    check_size(bits)
    found(0)
    with closing(_search(bits // 2)) as primes:
        return PrivateKey(*fitting_pair(primes, bits, found))


def fitting_pair(primes: Iterator[int], bits: int, found: Found) -> tuple[int, int]:
    """Return two primes, of an endless stream, whose product has exactly ``bits`` bits.

    That of two primes of half as many can be one bit short: then the smaller is dropped
    and the next one taken. They are different.
    """
    largest = count = 0
    while True:
        prime = next(primes)
        count += 1
        found(count)
        if prime != largest and (prime * largest).bit_length() == bits:
            return largest, prime
        largest = max(largest, prime)


def draw_safe_prime(bits: int) -> int:
    """Return a random safe prime of exactly so many bits, of which the first is 1.

    OpenSSL's primes for the generator 2 are 23 modulo 24; half of all safe primes are.
    """
    while True:
        with warnings.catch_warnings():
            # It is the key agreement that they warn of; see keys/README.md.
            warnings.simplefilter("ignore", CryptographyDeprecationWarning)
            parameters = dh.generate_parameters(generator=2, key_size=bits)
        prime = parameters.parameter_numbers().p
        # Checked, because short exponents rest on it.
        if prime.bit_length() == bits and is_prime(prime) and is_prime(prime // 2):
            return prime


def _search(bits: int) -> Generator[int]:
    """Yield safe primes without end, as the processes find them."""
    pool = WorkerPool(_PROCESSES)
    draw = partial(draw_safe_prime, bits)
    try:
        searches = {pool.submit(draw) for _ in range(_PROCESSES)}
        while True:
            done, searches = wait(searches, return_when=FIRST_COMPLETED)
            searches |= {pool.submit(draw) for _ in done}
            for search in done:
                yield search.result()
    finally:
        pool.close()
