"""Zero-sum masks: they cancel exactly, and only if everybody agrees."""

from itertools import combinations

import numpy as np
import pytest
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from hypothesis import given, settings
from hypothesis import strategies as st

from veilscore.keys.errors import InvalidKeyError
from veilscore.keys.masks import (
    pair_secret,
    residues,
    words,
    zero_sum_residues,
    zero_sum_words,
)

CONTEXT = b"\7" * 32
MODULUS = 2**3071 + 12345
ALICE, BOB = (X25519PrivateKey.from_private_bytes(bytes([i]) * 32) for i in (1, 2))
A, B = (key.public_key().public_bytes_raw() for key in (ALICE, BOB))
SECRET = pair_secret(ALICE, B, CONTEXT)

names = st.text("abcdefgh-0123", min_size=2, max_size=8)
parties = st.sets(names, min_size=1, max_size=6)


def shared_secrets(roster: set[str]) -> dict[str, dict[str, bytes]]:
    """Every party's pair secrets, by peer."""
    keys = {name: X25519PrivateKey.generate() for name in roster}
    table: dict[str, dict[str, bytes]] = {name: {} for name in roster}
    for one, other in combinations(sorted(roster), 2):
        table[one][other] = pair_secret(
            keys[one], keys[other].public_key().public_bytes_raw(), CONTEXT
        )
        table[other][one] = pair_secret(
            keys[other], keys[one].public_key().public_bytes_raw(), CONTEXT
        )
    return table


@settings(deadline=None)
@given(parties, st.integers(0, 20))
def test_words_of_all_parties_add_up_to_zero(roster: set[str], count: int) -> None:
    total = np.zeros(count, dtype=np.uint64)
    for name, secrets in shared_secrets(roster).items():
        total += zero_sum_words(name, secrets, "counts/1", count)
    assert not total.any()


@settings(deadline=None)
@given(parties, st.integers(0, 20), st.integers(2, 2**200))
def test_residues_of_all_parties_add_up_to_zero(
    roster: set[str], count: int, modulus: int
) -> None:
    masks = [
        zero_sum_residues(name, secrets, "score", count, modulus)
        for name, secrets in shared_secrets(roster).items()
    ]
    assert all(0 <= value < modulus for mask in masks for value in mask)
    assert all(sum(column) % modulus == 0 for column in zip(*masks, strict=True))


def test_without_one_party_the_sum_stays_noise() -> None:
    table = shared_secrets({"bank", "bureau", "market"})
    masks = {n: zero_sum_words(n, s, "z", 1000) for n, s in table.items()}
    for missing in masks:
        partial = sum(
            (mask for name, mask in masks.items() if name != missing),
            start=np.zeros(1000, dtype=np.uint64),
        )
        assert np.count_nonzero(partial) == 1000


def test_a_party_that_disagrees_about_the_context_spoils_the_sum() -> None:
    mask = residues(SECRET, "z", 50, MODULUS)
    other = residues(pair_secret(BOB, A, b"\x08" * 32), "z", 50, MODULUS)
    assert not set(mask) & set(other)


def test_both_owners_and_nobody_else_compute_the_secret() -> None:
    assert pair_secret(BOB, A, CONTEXT) == SECRET
    stranger = X25519PrivateKey.generate()
    assert pair_secret(stranger, B, CONTEXT) != SECRET
    assert pair_secret(stranger, A, CONTEXT) != SECRET


def test_wire_format_is_frozen() -> None:
    """Values of a second implementation: hmac for HKDF, PyCryptodome's ChaCha20."""
    assert (
        SECRET.hex()
        == "4763c6621dd7e4add73392742cd81cd230035cf7ff37e80a5fc8e870e96a7bad"
    )
    assert [hex(word) for word in words(SECRET, "counts/1", 3).tolist()] == [
        "0xfd084185e81868ab",
        "0x2525b6610b53fcc6",
        "0x1bd9fff8f232bb94",
    ]
    assert residues(SECRET, "counts/1", 2, 1_000_003) == [324029, 190338]


@pytest.mark.parametrize(
    "peer",
    [
        bytes(32),
        bytes([1]) + bytes(31),
        bytes.fromhex(
            "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f"
        ),
        bytes.fromhex(
            "e0eb7a7c3b41b8ae1656e3faf19fc46ada098deb9c32b1fd866205165f49b800"
        ),
        b"",
        bytes(31),
        bytes(33),
    ],
)
def test_low_order_and_malformed_peer_keys_are_refused(peer: bytes) -> None:
    with pytest.raises(InvalidKeyError):
        pair_secret(ALICE, peer, CONTEXT)


def test_labels_and_moduli_give_unrelated_masks() -> None:
    masks = [
        residues(SECRET, "counts/1", 100, MODULUS),
        residues(SECRET, "counts/2", 100, MODULUS),
        residues(SECRET, "counts/1", 100, MODULUS + 2),
    ]
    assert len({value for mask in masks for value in mask}) == 300
    assert not set(words(SECRET, "a", 100).tolist()) & set(
        words(SECRET, "b", 100).tolist()
    )


def test_words_look_uniform() -> None:
    drawn = words(SECRET, "uniform", 20_000)
    bits = np.unpackbits(drawn.view(np.uint8)).reshape(-1, 64)
    # 64 means of 20,000 fair bits: standard deviation .0035, five of them allowed
    assert np.abs(bits.mean(axis=0) - 0.5).max() < 0.0177


def test_residues_look_uniform() -> None:
    modulus = 3 * 2**3000  # a modulus that plain truncation to bits would bias
    drawn = residues(SECRET, "uniform", 9_000, modulus)
    counts = np.bincount([value * 9 // modulus for value in drawn], minlength=9)
    chi_square = float(((counts - 1000) ** 2 / 1000).sum())
    assert chi_square < 26.1  # 8 degrees of freedom, p = .001


def test_own_name_among_the_peers_is_our_bug() -> None:
    with pytest.raises(ValueError, match="itself"):
        zero_sum_words("bank", {"bank": SECRET}, "z", 1)
