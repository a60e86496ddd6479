"""Keys of safe primes, and who gets short exponents: their owners and nobody else."""

import signal
from dataclasses import dataclass
from itertools import count
from threading import Timer

import psutil
import pytest
from gmpy2 import gcd, is_prime, mpz, powmod

from tests.unit.paillier.conftest import Search, children
from veilscore.keys.errors import InvalidKeyError
from veilscore.keys.paillier import operations, safe_primes
from veilscore.keys.paillier.comb import TEETH, FixedBase
from veilscore.keys.paillier.owner_noise import OwnerEncryptor
from veilscore.keys.paillier.private import PrivateKey


@dataclass(frozen=True)
class Table:
    """What an owner's encryptor asks the comb for, at one of the primes."""

    base: mpz
    prime: mpz
    bits: int
    depth: int


def tables_of(key: PrivateKey, monkeypatch: pytest.MonkeyPatch) -> list[Table]:
    asked: list[Table] = []

    def record(base: mpz, root: mpz, bits: int, depth: int) -> None:
        asked.append(Table(base, root, bits, depth))

    with monkeypatch.context() as patched:
        patched.setattr("veilscore.keys.paillier.owner_noise.FixedBase", record)
        OwnerEncryptor(key)
    assert [table.prime for table in asked] == [key.p, key.q]
    return asked


def modp_prime(bits: int, number: int) -> int:
    """Return a prime of RFC 3526: 2^bits - 2^(bits-64) - 1 + 2^64 (floor + number).

    It is safe. The floor is that of 2^(bits-130) pi, here by Machin's formula.
    """
    one = 1 << bits + 64

    def arctan_of_inverse(x: int) -> int:
        total, power = 0, one // x
        for k in count():
            if not power:
                return total
            total += (-1) ** k * (power // (2 * k + 1))
            power //= x * x
        raise AssertionError

    pi = 4 * (4 * arctan_of_inverse(5) - arctan_of_inverse(239))
    floor = pi >> 64 + 130
    return (1 << bits) - (1 << bits - 64) - 1 + (floor + number << 64)


def test_both_primes_are_safe_and_the_product_has_its_size(safe: PrivateKey) -> None:
    assert safe.p != safe.q
    assert safe.public.bits == 2048
    assert {safe.p.bit_length(), safe.q.bit_length()} == {1024}
    for prime in (safe.p, safe.q):
        assert is_prime(prime)
        assert is_prime((prime - 1) // 2)
    assert gcd(safe.public.n, (safe.p - 1) * (safe.q - 1)) == 1


def test_a_key_knows_its_kind_also_after_it_was_stored(
    safe: PrivateKey, private: PrivateKey
) -> None:
    for key, is_safe in ((safe, True), (private, False)):
        assert key.has_safe_primes == is_safe
        stored = key.to_bytes()
        assert len(stored) == 257  # no room for a claim
        assert PrivateKey.from_bytes(stored).has_safe_primes == is_safe


@pytest.mark.parametrize("bits", [0, 1024, 2049, 8194])
def test_sizes_that_are_not_allowed_are_not_searched_for(bits: int) -> None:
    found: list[int] = []
    with pytest.raises(InvalidKeyError) as caught:
        safe_primes.generate(found.append, bits)
    assert "3072" in caught.value.remedy
    assert not found


def test_a_search_tells_what_it_found_and_leaves_no_process(search: Search) -> None:
    assert search.found == [*range(len(search.found))]
    assert search.found[-1] >= 2
    assert not search.left


@pytest.mark.usefixtures("interruptible")
def test_a_search_that_is_interrupted_leaves_no_process() -> None:
    before = children()
    own = psutil.Process()
    timer = Timer(1.0, own.send_signal, [signal.SIGINT])
    timer.start()
    with pytest.raises(KeyboardInterrupt):
        safe_primes.generate(lambda _: None, 8192)  # takes hours
    timer.join()
    assert children() <= before


@pytest.mark.parametrize(
    ("primes", "pair"),
    [
        ([11, 13], {11, 13}),
        ([13, 13, 11], {13, 11}),  # 13 * 13 has eight bits
        ([11, 11, 11, 13], {11, 13}),
    ],
)
def test_primes_are_different_and_their_product_has_its_size(
    primes: list[int], pair: set[int]
) -> None:
    found: list[int] = []
    assert set(safe_primes.fitting_pair(iter(primes), 8, found.append)) == pair
    assert len(found) == len(primes)


def test_the_larger_prime_stays_when_a_product_is_short() -> None:
    # 9 and 10 stand for primes of four bits: 8 * 9 and 9 * 10 have seven bits.
    numbers = iter([9, 8, 10, 15, 14])
    assert safe_primes.fitting_pair(numbers, 8, lambda _: None) == (10, 15)
    assert next(numbers) == 14


def test_owners_of_safe_primes_get_short_exponents(
    safe: PrivateKey, monkeypatch: pytest.MonkeyPatch
) -> None:
    for table in tables_of(safe, monkeypatch):
        assert table.bits == 256
        comb = FixedBase(table.base, table.prime, table.bits, table.depth)
        assert 256 <= comb.blocks * comb.depth * TEETH < 256 + comb.depth * TEETH
        # It generates the group: p - 1 has no prime factors but these two.
        square = table.prime * table.prime
        half = (table.prime - 1) // 2
        assert powmod(table.base, 2 * half, square) == 1
        assert powmod(table.base, half, square) != 1
        assert powmod(table.base, 2, square) != 1


def test_random_primes_never_get_short_exponents(
    safe: PrivateKey, private: PrivateKey, monkeypatch: pytest.MonkeyPatch
) -> None:
    larger = [max(key.p, key.q) for key in (safe, private)]
    mixed = [PrivateKey(*larger), PrivateKey(*reversed(larger))]
    for key in (private, *mixed):
        assert not key.has_safe_primes
        for table in tables_of(key, monkeypatch):
            assert table.bits == 1024 + 64


def test_larger_keys_get_exponents_of_twice_their_strength(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    key = PrivateKey(modp_prime(2048, 124476), modp_prime(3072, 1690314))
    assert key.has_safe_primes
    assert [table.bits for table in tables_of(key, monkeypatch)] == [426, 426]
    assert key.decrypt(OwnerEncryptor(key).encrypt([5, 0])) == [5, 0]


def test_noise_of_short_exponents_reaches_all_of_the_group(safe: PrivateKey) -> None:
    zeros = OwnerEncryptor(safe).encrypt([0] * 128)
    assert len(set(zeros)) == 128
    for prime in (safe.p, safe.q):
        square, half = prime * prime, (prime - 1) // 2
        assert all(powmod(zero, prime - 1, square) == 1 for zero in zeros)
        # Squares and others: 128 draws are of one kind with probability 2^-127.
        kinds = {int(powmod(zero, half, prime)) for zero in zeros}
        assert kinds == {1, prime - 1}


def test_workers_encrypt_with_both_kinds(safe: PrivateKey, private: PrivateKey) -> None:
    for key in (safe, private, safe):
        encrypted = operations.encrypt_own(key.to_bytes(), [1, 2, key.public.n - 1])
        assert key.decrypt(encrypted) == [1, 2, key.public.n - 1]
    operations.forget()
