import secrets

import pytest
from gmpy2 import is_prime, next_prime
from hypothesis import given, settings
from hypothesis import strategies as st

from veilscore.keys.errors import InvalidKeyError
from veilscore.keys.paillier.private import PrivateKey


def test_the_default_is_3072_bits() -> None:
    assert PrivateKey.generate().public.bits == 3072


@pytest.mark.parametrize("bits", [0, 1024, 2049, 8194])
def test_other_sizes_are_refused(bits: int) -> None:
    with pytest.raises(InvalidKeyError) as caught:
        PrivateKey.generate(bits)
    assert "3072" in caught.value.remedy


def test_a_stored_key_comes_back(private: PrivateKey) -> None:
    stored = private.to_bytes()
    again = PrivateKey.from_bytes(stored)
    assert stored[0] == 1
    assert len(stored) == 257
    assert (again.p, again.q, again.public) == (private.p, private.q, private.public)


@settings(max_examples=60, deadline=None)
@given(blob=st.binary(max_size=300))
def test_other_bytes_are_refused(blob: bytes) -> None:
    with pytest.raises(InvalidKeyError):
        PrivateKey.from_bytes(b"\x01" + blob)


def test_damaged_keys_are_refused_without_telling_them(private: PrivateKey) -> None:
    stored = private.to_bytes()
    half = len(stored) // 2
    damaged = {
        "version": b"\x02" + stored[1:],
        "empty": b"",
        "short": stored[:-1],
        "long": stored + b"\0",
        "padded": stored[:1]
        + b"\0"
        + stored[1 : half + 1]
        + b"\0"
        + stored[half + 1 :],
        "bit": stored[:-1] + bytes([stored[-1] ^ 2]),
        "huge": stored[:1] + b"\xff" * (1 << 20),
    }
    for blob in damaged.values():
        with pytest.raises(InvalidKeyError) as caught:
            PrivateKey.from_bytes(blob)
        assert _tells_nothing(str(caught.value), private)


def test_numbers_that_make_no_key_are_refused(private: PrivateKey) -> None:
    p, q = private.p, private.q
    with pytest.raises(InvalidKeyError):
        PrivateKey(p, p)
    with pytest.raises(InvalidKeyError):
        PrivateKey(p * q, int(next_prime(q)))
    with pytest.raises(InvalidKeyError):
        PrivateKey(-p, -q)
    small = int(next_prime(secrets.randbits(700) | 1 << 699))
    factor = 1 << 700
    while not is_prime(factor * small + 1):
        factor += 2
    # p divides q - 1: then two plaintexts can share a ciphertext.
    with pytest.raises(InvalidKeyError):
        PrivateKey(small, factor * small + 1)


def test_nothing_secret_is_shown(private: PrivateKey) -> None:
    for text in (repr(private), str(private), f"{private}", repr([private])):
        assert _tells_nothing(text, private)
        assert private.public.key_id.hex()[:16] in text


@settings(max_examples=20, deadline=None)
@given(data=st.data())
def test_decryption_agrees_with_phe(private: PrivateKey, data: st.DataObject) -> None:
    key = private.public
    ciphertext = data.draw(st.integers(1, key.n_squared - 1))
    theirs = private.to_phe().decrypt
    # Any unit modulo n² is a ciphertext; small ones are what phe can decode.
    plaintext = private.decrypt([ciphertext])[0]
    [shifted] = key.add_plain([ciphertext], [(42 - plaintext) % key.n])
    assert theirs(key.to_encrypted_number(shifted)) == 42


def test_nothing_to_decrypt(private: PrivateKey) -> None:
    assert private.decrypt([]) == []


def _tells_nothing(text: str, private: PrivateKey) -> bool:
    return not any(
        str(prime)[:20] in text or f"{prime:x}"[:20] in text
        for prime in (private.p, private.q)
    )
