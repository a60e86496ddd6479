"""Fast noise: exact powers, random n-th residues, and never the same one twice."""

import secrets

import pytest
from gmpy2 import invert, is_prime, mpz, powmod
from hypothesis import given, settings
from hypothesis import strategies as st

from veilscore.keys.errors import PlaintextRangeError
from veilscore.keys.paillier.comb import DEPTH, TEETH, FixedBase
from veilscore.keys.paillier.owner_noise import OwnerEncryptor, draw_residue
from veilscore.keys.paillier.peer_noise import PeerEncryptor
from veilscore.keys.paillier.private import PrivateKey

ROOT = mpz((1 << 127) - 1)
COMBS = [
    FixedBase(mpz(3), ROOT, 3 * TEETH * depth - 5, depth) for depth in (1, 2, DEPTH)
]
every_depth = pytest.mark.parametrize(
    "comb", COMBS, ids=[f"depth-{comb.depth}" for comb in COMBS]
)


def exponent_of(comb: FixedBase, columns: list[int]) -> int:
    """Read the exponent off the columns as documented."""
    exponent, depth = 0, comb.depth
    for number, column in enumerate(columns):
        k, i = divmod(number, comb.blocks)
        for t in range(TEETH):
            bit = column >> t & 1
            exponent |= bit << t * comb.blocks * depth + i * depth + depth - 1 - k
    return exponent


@every_depth
def test_every_exponent_has_exactly_one_spelling(comb: FixedBase) -> None:
    columns = comb.blocks * comb.depth
    bits = {
        exponent_of(comb, [(number == place) << t for number in range(columns)])
        for place in range(columns)
        for t in range(TEETH)
    }
    assert bits == {1 << bit for bit in range(TEETH * columns)}
    assert len(bits) >= 3 * TEETH * comb.depth - 5


@settings(max_examples=50, deadline=None)
@given(data=st.data())
@every_depth
def test_the_comb_is_exponentiation(comb: FixedBase, data: st.DataObject) -> None:
    count = comb.blocks * comb.depth
    column = st.integers(0, (1 << TEETH) - 1)
    columns = data.draw(st.lists(column, min_size=count, max_size=count))
    assert comb.power(columns) == powmod(3, exponent_of(comb, columns), ROOT * ROOT)


@every_depth
def test_random_powers_differ_and_use_every_column(
    comb: FixedBase, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[list[int]] = []
    monkeypatch.setattr(comb, "power", seen.append)
    for _ in range(200):
        comb.random_power()
    assert len({tuple(columns) for columns in seen}) == 200
    for place in range(comb.blocks * comb.depth):
        drawn = [columns[place] for columns in seen]
        assert max(drawn) < 1 << TEETH
        # 200 draws leave a bit constant with probability 2^-199.
        for t in range(TEETH):
            assert {column >> t & 1 for column in drawn} == {0, 1}


def test_both_encryptors_make_fresh_encryptions(either: PrivateKey) -> None:
    key = either.public
    n_squared = mpz(key.n_squared)
    order = (either.p - 1) * (either.q - 1)
    for encryptor in (OwnerEncryptor(either), PeerEncryptor(key)):
        ciphertexts = encryptor.encrypt([7] * 20)
        assert len(set(ciphertexts)) == 20
        assert either.decrypt(key.decode(key.encode(ciphertexts))) == [7] * 20
        for ciphertext in ciphertexts:
            noise = ciphertext * invert(7 * key.n + 1, n_squared) % n_squared
            assert powmod(noise, order, n_squared) == 1
            assert noise != 1
        assert encryptor.encrypt([]) == []


@settings(max_examples=20, deadline=None)
@given(data=st.data())
def test_decryption_inverts_encryption(
    private: PrivateKey, peers: list[PeerEncryptor], data: st.DataObject
) -> None:
    residues = st.integers(0, private.public.n - 1)
    plaintexts = data.draw(st.lists(residues, max_size=3))
    for peer in peers:
        assert private.decrypt(peer.encrypt(plaintexts)) == plaintexts


@settings(max_examples=20, deadline=None)
@given(data=st.data())
def test_small_plaintexts_are_read_modulo_one_prime(
    either: PrivateKey, data: st.DataObject
) -> None:
    most = (1 << either.small_bits) - 1
    values = st.one_of(st.integers(-most, most), st.sampled_from([most, -most, 0, -1]))
    drawn = data.draw(st.lists(values, min_size=1, max_size=3))
    key = either.public
    ciphertexts = PeerEncryptor(key).encrypt([key.to_residue(each) for each in drawn])
    found = either.decrypt_small(ciphertexts)
    assert found == either.decrypt(ciphertexts)
    assert [key.to_signed(each) for each in found] == drawn


def test_a_larger_plaintext_is_read_as_another(private: PrivateKey) -> None:
    key = private.public
    noise = [secrets.randbelow(key.n) for _ in range(3)]
    found = private.decrypt_small(PeerEncryptor(key).encrypt(noise))
    assert found != noise
    # What must be zero above a small plaintext is not, but by a chance of 2^-64.
    assert all(abs(key.to_signed(value)) >> private.small_bits - 64 for value in found)


@pytest.fixture(scope="module")
def peers(private: PrivateKey) -> list[PeerEncryptor]:
    return [PeerEncryptor(private.public) for _ in range(2)]


def test_every_encryptor_draws_its_own_h_and_never_short_exponents(
    either: PrivateKey, monkeypatch: pytest.MonkeyPatch
) -> None:
    bases: list[mpz] = []

    def record(base: mpz, root: mpz, bits: int) -> None:
        assert root == either.public.n
        assert bits >= either.public.bits / 2
        bases.append(base)

    monkeypatch.setattr("veilscore.keys.paillier.peer_noise.FixedBase", record)
    PeerEncryptor(either.public)
    PeerEncryptor(either.public)
    assert len(set(bases)) == 2


def test_the_owners_elements_miss_no_small_part_of_the_group(
    either: PrivateKey,
) -> None:
    for prime in (mpz(either.p), mpz(either.q)):
        square = prime * prime
        residue = draw_residue(prime)
        assert powmod(residue, prime - 1, square) == 1
        for r in range(2, 4096):
            if is_prime(r) and (prime - 1) % r == 0:
                assert powmod(residue, (prime - 1) // r, square) != 1


@pytest.mark.parametrize("plaintext", [-1, 1 << 4096])
def test_only_residues_are_encrypted(private: PrivateKey, plaintext: int) -> None:
    for encryptor in (OwnerEncryptor(private), PeerEncryptor(private.public)):
        with pytest.raises(PlaintextRangeError) as caught:
            encryptor.encrypt([1, plaintext])
        assert caught.value.place == "plaintext 1"
