"""Signed receiving keys: what a peer accepts and what it refuses."""

import hashlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from veilscore.keys.errors import (
    InvalidKeyError,
    KeysError,
    RegistryError,
    SealError,
    SignatureError,
)
from veilscore.keys.identity import RECEIVING_KEY_DOMAIN, Signer
from veilscore.keys.paillier.private import PrivateKey
from veilscore.keys.paillier.public import PublicKey
from veilscore.keys.receiving import (
    SCORE,
    ReceivingKeys,
    run_purpose,
    verify_signed_key,
)
from veilscore.keys.registry import Registry
from veilscore.v1 import hub_pb2

START, END, NOW = 1_000, 2_000, 1_500
RUN = run_purpose("00ff")
KEYS = ReceivingKeys.generate()


def signed(
    signer: Signer,
    party: str = "bank",
    purpose: str = SCORE,
    paillier: PublicKey | None = None,
) -> hub_pb2.SignedKey:
    return KEYS.signed(
        signer,
        party,
        purpose,
        paillier=paillier,
        not_before=START,
        not_after=END,
    )


def test_peer_reads_what_the_owner_signed(
    signers: dict[str, Signer], registry: Registry, paillier: dict[str, PrivateKey]
) -> None:
    key = signed(signers["bank"], paillier=paillier["bank"].public)
    peer = verify_signed_key(key, registry, SCORE, NOW)
    assert (peer.party, peer.purpose) == ("bank", SCORE)
    assert peer.digest == hashlib.sha256(key.body).digest()
    assert peer.key_id == peer.digest[:8]
    assert peer.mask == KEYS.mask.public_key().public_bytes_raw()
    assert peer.nonce == KEYS.nonce
    assert peer.paillier_key() == paillier["bank"].public
    assert peer.not_after == END
    assert KEYS.decrypt(peer.encrypt(b"hello", b"info"), b"info") == b"hello"


def test_key_without_modulus_decrypts_nothing(
    signers: dict[str, Signer], registry: Registry
) -> None:
    key = signed(signers["bank"])
    with pytest.raises(InvalidKeyError, match="bank: has no Paillier key"):
        verify_signed_key(key, registry, SCORE, NOW).paillier_key()


def test_a_paillier_key_must_be_the_registered_one(
    signers: dict[str, Signer], registry: Registry, paillier: dict[str, PrivateKey]
) -> None:
    other = PrivateKey.generate(2048).public
    with pytest.raises(InvalidKeyError, match="bank: uses another Paillier key"):
        verify_signed_key(signed(signers["bank"], paillier=other), registry, SCORE, NOW)
    key = signed(signers["market"], "market", paillier=paillier["bank"].public)
    with pytest.raises(InvalidKeyError, match="market: uses another Paillier key"):
        verify_signed_key(key, registry, SCORE, NOW)


def test_stored_keys_are_the_same_keys(
    signers: dict[str, Signer], registry: Registry
) -> None:
    again = ReceivingKeys.from_private_bytes(KEYS.private_bytes())
    key = again.signed(
        signers["bank"],
        "bank",
        SCORE,
        paillier=None,
        not_before=START,
        not_after=END,
    )
    assert key == signed(signers["bank"])
    peer = verify_signed_key(key, registry, SCORE, NOW)
    assert again.decrypt(peer.encrypt(b"hello", b""), b"") == b"hello"


def test_every_generation_is_fresh() -> None:
    other = ReceivingKeys.generate()
    assert other.nonce != KEYS.nonce
    assert other.private_bytes()[1:33] != KEYS.private_bytes()[1:33]


@settings(deadline=None)
@given(st.binary(max_size=300))
def test_stored_garbage_is_refused(raw: bytes) -> None:
    for data in (raw, b"\2" + KEYS.private_bytes()[1:]):
        with pytest.raises(InvalidKeyError):
            ReceivingKeys.from_private_bytes(data)


@pytest.mark.parametrize("info", [b"", b"other"])
def test_sealed_part_opens_only_with_its_info(
    signers: dict[str, Signer], registry: Registry, info: bytes
) -> None:
    peer = verify_signed_key(signed(signers["bank"]), registry, SCORE, NOW)
    with pytest.raises(SealError):
        KEYS.decrypt(peer.encrypt(b"hello", b"info"), info)


@settings(deadline=None)
@given(st.binary(max_size=1300))
def test_garbage_does_not_open(sealed: bytes) -> None:
    with pytest.raises(SealError):
        KEYS.decrypt(sealed, b"")


@pytest.mark.parametrize("now", [START - 1, END, END + 1])
def test_key_outside_its_time_is_refused(
    signers: dict[str, Signer], registry: Registry, now: int
) -> None:
    with pytest.raises(InvalidKeyError, match="not valid now") as caught:
        verify_signed_key(signed(signers["bank"]), registry, SCORE, now)
    assert caught.value.party == "bank"


@pytest.mark.parametrize(("made", "asked"), [(SCORE, RUN), (RUN, SCORE)])
def test_key_of_another_purpose_is_refused(
    signers: dict[str, Signer], registry: Registry, made: str, asked: str
) -> None:
    with pytest.raises(InvalidKeyError, match="made for"):
        verify_signed_key(signed(signers["bank"], purpose=made), registry, asked, NOW)


def test_key_of_an_unregistered_party_is_refused(registry: Registry) -> None:
    with pytest.raises(RegistryError, match="not registered"):
        verify_signed_key(
            signed(Signer.generate(), party="stranger"), registry, SCORE, NOW
        )


def test_key_signed_by_another_party_is_refused(
    signers: dict[str, Signer], registry: Registry
) -> None:
    with pytest.raises(SignatureError):
        verify_signed_key(signed(signers["hub"], party="bank"), registry, SCORE, NOW)


@settings(deadline=None)
@given(data=st.data())
def test_key_with_one_changed_byte_is_refused(
    data: st.DataObject, signers: dict[str, Signer], registry: Registry
) -> None:
    key = signed(signers["bank"])
    field = data.draw(st.sampled_from(["body", "signature"]))
    changed = bytearray(getattr(key, field))
    changed[data.draw(st.integers(0, len(changed) - 1))] ^= data.draw(
        st.integers(1, 255)
    )
    setattr(key, field, bytes(changed))
    with pytest.raises(KeysError):
        verify_signed_key(key, registry, SCORE, NOW)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("hpke", b""),
        ("hpke", bytes(1215)),
        ("mask", bytes(31)),
        ("nonce", bytes(31)),
        ("paillier_modulus", b"\0\7"),
        ("paillier_modulus", b"\1" * 2049),
    ],
)
def test_signed_nonsense_is_refused(
    signers: dict[str, Signer], registry: Registry, field: str, value: bytes
) -> None:
    body = hub_pb2.ReceivingKey.FromString(signed(signers["bank"]).body)
    setattr(body, field, value)
    raw = body.SerializeToString()
    signature = signers["bank"].sign(RECEIVING_KEY_DOMAIN, raw)
    key = hub_pb2.SignedKey(body=raw, signature=signature)
    with pytest.raises(InvalidKeyError) as caught:
        verify_signed_key(key, registry, SCORE, NOW)
    assert caught.value.party == "bank"


def test_signed_key_that_cannot_be_sealed_to_is_named(
    signers: dict[str, Signer], registry: Registry
) -> None:
    body = hub_pb2.ReceivingKey.FromString(signed(signers["bank"]).body)
    for x25519, mlkem in (
        (bytes(32), body.hpke[:1184]),
        (body.hpke[1184:], b"\xff" * 1184),
    ):
        body.hpke = mlkem + x25519
        raw = body.SerializeToString()
        signature = signers["bank"].sign(RECEIVING_KEY_DOMAIN, raw)
        key = hub_pb2.SignedKey(body=raw, signature=signature)
        peer = verify_signed_key(key, registry, SCORE, NOW)
        with pytest.raises(InvalidKeyError, match="cannot be sealed to"):
            peer.encrypt(b"hello", b"")


@pytest.mark.parametrize(
    "purpose", ["", "scores", "run:", "run:a b", "run:" + "0" * 65]
)
def test_other_purposes_are_refused(signers: dict[str, Signer], purpose: str) -> None:
    with pytest.raises(InvalidKeyError, match="purpose"):
        signed(signers["bank"], purpose=purpose)


def test_repr_shows_no_secret() -> None:
    assert KEYS.private_bytes()[1:33].hex() not in repr(KEYS)
    assert repr(KEYS.private_bytes()[1:9]) not in repr(KEYS)
