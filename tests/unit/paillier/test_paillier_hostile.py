"""Whatever a peer sends for a ciphertext is refused by its number, or hides nothing.

Refused is what shares a factor with n or is out of range. What is left is a unit modulo
n², which is an encryption of something: one made without noise, or under another key,
is summed like any other, and its answer bears fresh noise that is nobody else's.
"""

import phe
import pytest
from gmpy2 import invert, mpz, powmod
from hypothesis import given, settings
from hypothesis import strategies as st

from veilscore.keys.errors import InvalidCiphertextError
from veilscore.keys.paillier.answer_noise import NoisePool, draw_noise
from veilscore.keys.paillier.histogram import weighted_products
from veilscore.keys.paillier.owner_noise import OwnerEncryptor
from veilscore.keys.paillier.private import PrivateKey

MOST = 40
CLASSES = ("zero", "n", "multiple of n", "p", "multiple of q", "n squared", "highest")


@pytest.fixture(scope="module")
def good(private: PrivateKey) -> list[int]:
    return OwnerEncryptor(private).encrypt(range(MOST))


def hostile(private: PrivateKey, kind: str, factor: int) -> int:
    key = private.public
    return {
        "zero": 0,
        "n": key.n,
        "multiple of n": key.n * factor,
        "p": private.p,
        "multiple of q": private.q * factor,
        "n squared": key.n_squared,
        "highest": (1 << 8 * key.ciphertext_bytes) - 1,
    }[kind]


@settings(max_examples=150, deadline=None)
@given(
    count=st.integers(1, MOST),
    culprits=st.dictionaries(
        st.integers(0, MOST - 1),
        st.tuples(st.sampled_from(CLASSES), st.integers(1, 1 << 1000)),
        max_size=5,
    ),
)
def test_the_first_of_any_culprits_is_named(
    private: PrivateKey,
    good: list[int],
    count: int,
    culprits: dict[int, tuple[str, int]],
) -> None:
    key = private.public
    sent = good[:count]
    places = sorted(place for place in culprits if place < count)
    for place in places:
        sent[place] = hostile(private, *culprits[place])
    blob = key.encode(sent)
    if not places:
        assert key.decode(blob, count) == sent
        return
    # What is out of range is found before the factors are looked at.
    beyond = [place for place in places if not 0 < sent[place] < key.n_squared]
    with pytest.raises(InvalidCiphertextError) as caught:
        key.decode(blob, count)
    assert caught.value.place == f"ciphertext {(beyond or places)[0]}"
    assert caught.value.remedy


@pytest.mark.parametrize("kind", [*CLASSES, "negative", "negative p"])
def test_no_class_enters_as_a_number_of_phe(private: PrivateKey, kind: str) -> None:
    key = private.public
    negative = {"negative": -1, "negative p": -private.p}
    bad = negative[kind] if kind in negative else hostile(private, kind, 3)
    number = phe.EncryptedNumber(key.to_phe(), bad)
    with pytest.raises(InvalidCiphertextError) as caught:
        key.from_encrypted_number(number)
    assert caught.value.place == "ciphertext 0"


def test_a_ciphertext_of_a_larger_key_is_refused(private: PrivateKey) -> None:
    key, larger = private.public, PrivateKey.generate(3072)
    foreign = OwnerEncryptor(larger).encrypt([5] * 3)
    with pytest.raises(InvalidCiphertextError, match="are not 3 ciphertexts"):
        key.decode(larger.public.encode(foreign), 3)
    with pytest.raises(InvalidCiphertextError, match="another key"):
        key.from_encrypted_number(larger.public.to_encrypted_number(foreign[0]))


@pytest.mark.parametrize("kind", ["one", "without noise", "of another key", "reused"])
def test_what_cannot_be_refused_is_answered_with_noise_of_its_own(
    private: PrivateKey, stranger: PrivateKey, good: list[int], kind: str
) -> None:
    key = private.public
    n, n_squared = mpz(key.n), mpz(key.n_squared)
    foreign = [
        value % key.n_squared for value in OwnerEncryptor(stranger).encrypt([7, 7])
    ]
    sent = {
        "one": [1, 1],
        "without noise": key.add_plain([1, 1], [7, 7]),
        "of another key": foreign,
        "reused": [good[7], good[7]],
    }[kind]
    rows = key.decode(key.encode(sent), 2)
    sums = weighted_products(key, rows, [[3, -2]] * 4)
    assert len(set(sums)) == 1
    pool = NoisePool(key, draw_noise(key, len(sums)))
    answers = pool.rerandomise(sums)
    plaintexts = private.decrypt([*answers, sums[0]])
    assert len(set(plaintexts)) == 1
    noise = {
        int(value * invert(n * plaintext + 1, n_squared) % n_squared)
        for value, plaintext in zip([*answers, *sums], plaintexts * 2, strict=False)
    }
    # Four of the answers, and the one that all sums share.
    assert len(noise) == len(answers) + 1
    order = (private.p - 1) * (private.q - 1)
    assert all(powmod(value, order, n_squared) == 1 for value in noise)
