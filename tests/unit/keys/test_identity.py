"""Names, signatures and the public keys that must not be accepted."""

import hashlib

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from hypothesis import given, settings
from hypothesis import strategies as st

from veilscore.keys import identity
from veilscore.keys.errors import InvalidKeyError, RegistryError, SignatureError
from veilscore.keys.identity import EVENT_DOMAIN, Signer, VerifyKey, check_party_name

SIGNER = Signer.generate()
DOMAINS = [
    value
    for name, value in vars(identity).items()
    if name.endswith("_DOMAIN") and isinstance(value, bytes)
]


def test_rfc_8032_vector_1() -> None:
    signer = Signer.from_private_bytes(
        bytes.fromhex(
            "9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60"
        )
    )
    assert signer.verify_key.raw.hex() == (
        "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a"
    )
    assert signer.sign(b"", b"").hex() == (
        "e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e065224901555"
        "fb8821590a33bacc61e39701cf9b46bd25bf5f0595bbe24655141438e7a100b"
    )


def test_signature_survives_storage_of_the_key() -> None:
    again = Signer.from_private_bytes(SIGNER.private_bytes())
    SIGNER.verify_key.verify(again.sign(EVENT_DOMAIN, b"event"), EVENT_DOMAIN, b"event")


@settings(deadline=None)
@given(st.binary(max_size=40), st.integers(0, 63), st.integers(1, 255))
def test_signature_with_one_changed_byte_is_refused(
    data: bytes, place: int, change: int
) -> None:
    signature = bytearray(SIGNER.sign(EVENT_DOMAIN, data))
    signature[place] ^= change
    with pytest.raises(SignatureError, match=SIGNER.verify_key.key_id.hex()):
        SIGNER.verify_key.verify(bytes(signature), EVENT_DOMAIN, data)


@pytest.mark.parametrize("signature", [b"", b"short", bytes(64), bytes(65)])
def test_garbage_signature_is_refused(signature: bytes) -> None:
    with pytest.raises(SignatureError):
        SIGNER.verify_key.verify(signature, EVENT_DOMAIN, b"event")


def test_signature_of_one_domain_is_refused_in_every_other() -> None:
    assert len(set(DOMAINS)) == len(DOMAINS) == 9
    for signed in DOMAINS:
        signature = SIGNER.sign(signed, b"data")
        for claimed in set(DOMAINS) - {signed}:
            with pytest.raises(SignatureError):
                SIGNER.verify_key.verify(signature, claimed, b"data")


def test_no_domain_is_the_beginning_of_another() -> None:
    assert all(domain.index(b"\0") == len(domain) - 1 for domain in DOMAINS)


def test_fingerprint_is_sha256_and_key_id_its_beginning() -> None:
    key = SIGNER.verify_key
    assert key.fingerprint == hashlib.sha256(key.raw).digest()
    assert key.key_id == key.fingerprint[:8]


def test_key_that_makes_one_signature_fit_everything_is_refused() -> None:
    identity_point = bytes([1]) + bytes(31)
    forged = identity_point + bytes(32)
    # Without our check the library accepts the forgery ...
    Ed25519PublicKey.from_public_bytes(identity_point).verify(forged, b"anything")
    # ... with it, the key is never used.
    with pytest.raises(InvalidKeyError):
        VerifyKey(identity_point)


@pytest.mark.parametrize(
    "raw",
    [
        "0000000000000000000000000000000000000000000000000000000000000000",
        "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
        "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a",
        "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac03fa",
        "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05",
        "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc85",
        "edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
        "eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff",
        "",
        "d75a98",
    ],
)
def test_small_order_non_canonical_and_short_keys_are_refused(raw: str) -> None:
    with pytest.raises(InvalidKeyError):
        VerifyKey(bytes.fromhex(raw))


@settings(deadline=None)
@given(st.binary(max_size=40).filter(lambda raw: len(raw) != 32))
def test_private_key_of_wrong_length_is_refused(raw: bytes) -> None:
    with pytest.raises(InvalidKeyError):
        Signer.from_private_bytes(raw)


@pytest.mark.parametrize("name", ["ab", "bank-1", "0x", "a" * 40])
def test_party_names(name: str) -> None:
    check_party_name(name)


@pytest.mark.parametrize(
    "name",
    ["", "a", "a" * 41, "Bank", "bank_1", "-bank", "bank-", "bänk", "a b", "bank\n"],
)
def test_other_names_are_refused_with_the_rule(name: str) -> None:
    with pytest.raises(RegistryError) as caught:
        check_party_name(name)
    assert "a-z" in caught.value.remedy


def test_repr_shows_no_secret() -> None:
    secret = SIGNER.private_bytes()
    assert secret.hex() not in repr(SIGNER)
    assert repr(secret) not in repr(SIGNER)
