import time

import pytest
from gmpy2 import is_prime
from hypothesis import given, settings
from hypothesis import strategies as st

from veilscore.keys.errors import (
    InvalidCiphertextError,
    InvalidKeyError,
    PlaintextRangeError,
)
from veilscore.keys.paillier.owner_noise import OwnerEncryptor
from veilscore.keys.paillier.private import PrivateKey
from veilscore.keys.paillier.public import PublicKey


@pytest.fixture(scope="module")
def owner(private: PrivateKey) -> OwnerEncryptor:
    return OwnerEncryptor(private)


quick = settings(max_examples=40, deadline=None)


def prime_above(number: int) -> int:
    number |= 1
    while not is_prime(number):
        number += 2
    return number


@pytest.mark.parametrize(
    "n",
    [
        -(2**2048) - 1,
        0,
        (1 << 2047) - 1,
        (1 << 2047) | 2,
        1 << 8192 | 1,
        prime_above(1 << 1030) ** 2,
        prime_above(1 << 690) ** 3,
        3**1500,
    ],
    ids=["negative", "zero", "small", "even", "large", "square", "cube", "power"],
)
def test_impossible_moduli_are_refused(n: int) -> None:
    with pytest.raises(InvalidKeyError) as caught:
        PublicKey(n)
    assert caught.value.remedy


def test_a_huge_modulus_is_refused_before_any_arithmetic() -> None:
    huge = b"\xff" * (16 << 20)
    start = time.process_time()
    with pytest.raises(InvalidKeyError):
        PublicKey.from_bytes(huge)
    assert time.process_time() - start < 0.05


def test_2048_bits_only_when_asked_for(private: PrivateKey) -> None:
    modulus = private.public.to_bytes()
    with pytest.raises(InvalidKeyError, match="below the 3072 bits"):
        PublicKey.from_bytes(modulus)
    assert PublicKey.from_bytes(modulus, minimum_bits=2048) == private.public


def test_a_padded_modulus_is_refused(private: PrivateKey) -> None:
    with pytest.raises(InvalidKeyError, match="leading zeros"):
        PublicKey.from_bytes(b"\0" + private.public.to_bytes(), minimum_bits=2048)


def test_key_ids_name_keys(private: PrivateKey, stranger: PrivateKey) -> None:
    same = PublicKey(private.public.n)
    assert same.key_id == private.public.key_id != stranger.public.key_id
    assert len(same.key_id) == 32
    assert str(private.public.n) not in repr(private.public)


@pytest.mark.parametrize("culprit", [0, 3, 6])
@pytest.mark.parametrize("kind", ["zero", "n squared", "too large", "p", "q", "n"])
def test_the_number_that_is_no_ciphertext_is_named(
    private: PrivateKey, owner: OwnerEncryptor, culprit: int, kind: str
) -> None:
    key = private.public
    blob = key.encode(owner.encrypt(range(7)))
    bad = {
        "zero": 0,
        "n squared": key.n_squared,
        "too large": (1 << 8 * key.ciphertext_bytes) - 1,
        "p": private.p * 12345,
        "q": private.q * (key.n + 2),
        "n": key.n,
    }[kind]
    width = key.ciphertext_bytes
    start = culprit * width
    blob = blob[:start] + bad.to_bytes(width, "big") + blob[start + width :]
    # A second one further on: the first is named.
    blob = blob[:-width] + private.p.to_bytes(width, "big")
    with pytest.raises(InvalidCiphertextError) as caught:
        key.decode(blob)
    assert caught.value.place == f"ciphertext {culprit}"


def test_ciphertexts_travel_unchanged(
    private: PrivateKey, owner: OwnerEncryptor
) -> None:
    key = private.public
    ciphertexts = owner.encrypt([5, key.n - 5, 0])
    blob = key.encode(ciphertexts)
    assert len(blob) == 3 * 512
    assert key.decode(blob, 3) == key.decode(blob) == ciphertexts
    assert key.decode(b"", 0) == []


@pytest.mark.parametrize(("cut", "expected"), [(1, None), (512, 3), (0, 2), (0, 4)])
def test_a_wrong_count_is_refused(
    private: PrivateKey, owner: OwnerEncryptor, cut: int, expected: int | None
) -> None:
    key = private.public
    blob = key.encode(owner.encrypt([1, 2, 3]))
    with pytest.raises(InvalidCiphertextError):
        key.decode(blob[cut:], expected)


@quick
@given(blob=st.binary(max_size=1100), expected=st.none() | st.integers(0, 3))
def test_any_bytes_are_decoded_or_refused(
    private: PrivateKey, blob: bytes, expected: int | None
) -> None:
    key = private.public
    try:
        ciphertexts = key.decode(blob, expected)
    except InvalidCiphertextError:
        return
    assert key.encode(ciphertexts) == blob


@quick
@given(value=st.integers(-(1 << 2045), 1 << 2045))
def test_signed_values_come_back(private: PrivateKey, value: int) -> None:
    key = private.public
    assert key.to_signed(key.to_residue(value)) == value


def test_values_beyond_half_of_n_are_refused(private: PrivateKey) -> None:
    key = private.public
    for value in (key.n // 2, -(key.n // 2)):
        assert key.to_signed(key.to_residue(value)) == value
        with pytest.raises(PlaintextRangeError):
            key.to_residue(value + (1 if value > 0 else -1))


@quick
@given(data=st.data())
def test_encrypted_sums_equal_plain_sums(
    private: PrivateKey, owner: OwnerEncryptor, data: st.DataObject
) -> None:
    key = private.public
    residues = st.lists(st.integers(0, key.n - 1), min_size=3, max_size=3)
    one, two, three = data.draw(residues), data.draw(residues), data.draw(residues)
    encrypted = owner.encrypt(one + two)
    summed = key.add_plain(key.add(encrypted[:3], encrypted[3:]), three)
    expected = [sum(values) % key.n for values in zip(one, two, three, strict=True)]
    assert private.decrypt(summed) == expected


@pytest.mark.parametrize("plaintext", [-1, None])
def test_plaintexts_that_are_no_residues_are_refused(
    private: PrivateKey, plaintext: int | None
) -> None:
    key = private.public
    bad = key.n if plaintext is None else plaintext
    with pytest.raises(PlaintextRangeError) as caught:
        key.add_plain([1, 1], [0, bad])
    assert caught.value.place == "plaintext 1"


def test_lists_of_different_length_are_our_bug(private: PrivateKey) -> None:
    with pytest.raises(ValueError, match="zip"):
        private.public.add([1], [1, 1])
    with pytest.raises(ValueError, match="zip"):
        private.public.add_plain([1, 1], [1])
