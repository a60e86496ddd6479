"""Whoever has plain python-paillier can check us: same keys, same ciphertexts."""

import phe
import pytest

from veilscore.keys.errors import InvalidCiphertextError
from veilscore.keys.paillier.answer_noise import NoisePool, draw_noise
from veilscore.keys.paillier.histogram import weighted_products
from veilscore.keys.paillier.owner_noise import OwnerEncryptor
from veilscore.keys.paillier.peer_noise import PeerEncryptor
from veilscore.keys.paillier.private import PrivateKey
from veilscore.keys.paillier.public import PublicKey

VALUES = [0, 1, -1, 600, -(1 << 600), 1 << 2000]


def test_keys_are_the_same_both_ways() -> None:
    theirs, secret = phe.generate_paillier_keypair(n_length=2048)
    ours = PrivateKey.from_phe(secret)
    assert PublicKey.from_phe(theirs) == ours.public
    assert ours.public.to_phe() == theirs
    assert ours.to_phe() == secret


def test_phe_takes_over_a_key_of_safe_primes(safe: PrivateKey) -> None:
    theirs = safe.to_phe()
    assert PrivateKey.from_phe(theirs).has_safe_primes
    assert theirs.decrypt(theirs.public_key.encrypt(-7)) == -7


def test_we_decrypt_what_phe_encrypts(either: PrivateKey) -> None:
    key = either.public
    theirs = key.to_phe()
    received = [key.from_encrypted_number(theirs.encrypt(value)) for value in VALUES]
    decrypted = either.decrypt(key.decode(key.encode(received), len(VALUES)))
    assert [key.to_signed(residue) for residue in decrypted] == VALUES


def test_phe_decrypts_what_we_encrypt(either: PrivateKey) -> None:
    key = either.public
    residues = [key.to_residue(value) for value in VALUES]
    secret = either.to_phe()
    for encryptor in (OwnerEncryptor(either), PeerEncryptor(key)):
        ciphertexts = encryptor.encrypt(residues)
        answers = NoisePool(key, draw_noise(key, len(VALUES))).rerandomise(ciphertexts)
        for sent in (ciphertexts, answers):
            numbers = [key.to_encrypted_number(ciphertext) for ciphertext in sent]
            assert [secret.decrypt(number) for number in numbers] == VALUES


def test_phe_arithmetic_continues_ours_and_back(either: PrivateKey) -> None:
    key = either.public
    ours = OwnerEncryptor(either).encrypt([20, 22])
    theirs = [key.to_encrypted_number(ciphertext) for ciphertext in ours]
    total = key.from_encrypted_number((theirs[0] + theirs[1]) * 3 + 7)
    [doubled] = weighted_products(key, [total], [[-2]])
    assert key.to_signed(either.decrypt([doubled])[0]) == -2 * (3 * 42 + 7)


def test_a_result_of_phe_is_rerandomised_when_taken_over(private: PrivateKey) -> None:
    key = private.public
    number = key.to_encrypted_number(OwnerEncryptor(private).encrypt([3])[0]) * 5
    bare = number.ciphertext(be_secure=False)
    taken = key.from_encrypted_number(number)
    assert taken != bare
    assert private.decrypt([taken, bare]) == [15, 15]


def test_an_encrypted_float_is_refused(private: PrivateKey) -> None:
    key = private.public
    with pytest.raises(InvalidCiphertextError, match="float"):
        key.from_encrypted_number(key.to_phe().encrypt(5.5))


def test_another_keys_number_is_refused(
    private: PrivateKey, stranger: PrivateKey
) -> None:
    number = stranger.public.to_phe().encrypt(5)
    with pytest.raises(InvalidCiphertextError, match="another key"):
        private.public.from_encrypted_number(number)


def test_a_number_that_is_no_ciphertext_is_refused(private: PrivateKey) -> None:
    number = phe.EncryptedNumber(private.public.to_phe(), private.p)
    with pytest.raises(InvalidCiphertextError, match="not a ciphertext"):
        private.public.from_encrypted_number(number)
