"""What follows from a member's secrets, against HKDF and hashes written down here."""

import hashlib
import hmac
from typing import Final

import pytest

from tests.protocol.aggregation_round import HUB, SIGNERS, terms
from veilscore.keys.aggregation import sharing
from veilscore.keys.aggregation.attempt_keys import (
    AttemptKeys,
    commit_to_part,
    commit_to_seed,
    group_secret,
    mask_key,
    self_mask_secret,
)
from veilscore.keys.errors import InvalidKeyError, SealError

CONTEXT: Final = bytes(range(32))
SEED: Final = bytes(range(16))


def hkdf(secret: bytes, salt: bytes, info: bytes) -> bytes:
    """Return the first 32 bytes of HKDF-SHA256 (RFC 5869)."""
    extracted = hmac.digest(salt, secret, "sha256")
    return hmac.digest(extracted, info + b"\1", "sha256")


def sha256(*parts: bytes) -> bytes:
    return hashlib.sha256(b"".join(parts)).digest()


def test_derivations_are_frozen() -> None:
    domain = b"veilscore-aggregation/1\0"
    assert self_mask_secret(SEED, CONTEXT, "bank") == hkdf(
        SEED, CONTEXT, domain + b"self mask\0bank"
    )
    assert mask_key(SEED, CONTEXT, "bank").private_bytes_raw() == hkdf(
        SEED, CONTEXT, domain + b"mask key\0bank"
    )
    parts = (b"a" * 32, b"b" * 32, b"c" * 32)
    assert group_secret(CONTEXT, b"d" * 32, parts) == hkdf(
        b"".join(parts), CONTEXT, domain + b"group\0" + b"d" * 32
    )


def test_commitments_are_frozen() -> None:
    tag = b"veilscore-commitment/1\0" + CONTEXT
    assert commit_to_seed(SEED, CONTEXT, "bank") == sha256(
        tag, b"self mask\0bank\0", SEED
    )
    assert commit_to_part(SEED * 2, CONTEXT, "bank") == sha256(
        tag, b"group part\0bank\0", SEED * 2
    )
    share = (CONTEXT, "bank", "bureau", sharing.SELF_MASK, SEED)
    assert sharing.commit(*share) == sha256(
        b"veilscore-share/1\0", CONTEXT, b"bank\0bureau\0self mask\0", SEED
    )


def test_the_context_is_frozen() -> None:
    asked = terms(3, round_=2, attempt=7, length=9)
    numbers = b"".join(value.to_bytes(8) for value in (2, 7, 1, 9, 0))
    parties = b"".join(
        SIGNERS[name].verify_key.fingerprint + len(name).to_bytes(8) + name.encode()
        for name in (HUB, *asked.names)
    )
    assert asked.context == sha256(
        b"veilscore-aggregation-context/1\0",
        numbers,
        parties,
        asked.contract,
        (2).to_bytes(8),
        b"r1",
    )


def pair() -> tuple[AttemptKeys, AttemptKeys]:
    return (
        AttemptKeys.generate(CONTEXT, "bank"),
        AttemptKeys.generate(CONTEXT, "bureau"),
    )


def test_only_the_recipient_opens_what_only_the_sender_can_have_sealed() -> None:
    bank, bureau = pair()
    market = AttemptKeys.generate(CONTEXT, "market")
    sealed = bank.seal("bureau", bureau.channel_public, b"shares")
    assert bureau.open("bank", bank.channel_public, sealed) == b"shares"
    for holder, sender, channel in (
        (market, "bank", bank.channel_public),
        (bureau, "market", bank.channel_public),
        (bureau, "bank", market.channel_public),
        (bank, "bureau", bureau.channel_public),  # sent back
    ):
        with pytest.raises(SealError):
            holder.open(sender, channel, sealed)
    for at in range(len(sealed)):
        changed = sealed[:at] + bytes((sealed[at] ^ 1,)) + sealed[at + 1 :]
        with pytest.raises(SealError):
            bureau.open("bank", bank.channel_public, changed)


def test_shares_of_another_attempt_do_not_open() -> None:
    bank, bureau = pair()
    sealed = bank.seal("bureau", bureau.channel_public, b"shares")
    bureau.context = bytes(32)
    with pytest.raises(SealError):
        bureau.open("bank", bank.channel_public, sealed)


def test_both_directions_have_keys_of_their_own() -> None:
    bank, bureau = pair()
    there = bank.seal("bureau", bureau.channel_public, bytes(32))
    back = bureau.seal("bank", bank.channel_public, bytes(32))
    assert there[:32] != back[:32]


def test_a_pair_shares_a_secret_and_low_order_keys_give_none() -> None:
    bank, bureau = pair()
    assert bank.pair_secret(bureau.mask_public) == bureau.pair_secret(bank.mask_public)
    with pytest.raises(InvalidKeyError):
        bank.pair_secret(bytes(32))
    with pytest.raises(InvalidKeyError):
        bank.seal("bureau", bytes(32), b"")


def test_secrets_are_drawn_anew() -> None:
    made = [AttemptKeys.generate(CONTEXT, "bank") for _ in range(20)]
    for values in (
        {each.channel_public for each in made},
        {each.mask_public for each in made},
        {each.self_seed for each in made},
        {each.group_part for each in made},
    ):
        assert len(values) == len(made)
