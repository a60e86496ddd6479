"""From rows to an answer and back: every stage of the engine, at the edges of slots."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from veilscore.keys.paillier.answer_noise import AnswerNoise, NoisePool
from veilscore.keys.paillier.histogram import histogram, weighted_products
from veilscore.keys.paillier.owner_noise import OwnerEncryptor
from veilscore.keys.paillier.packing import Slot, SlotLayout, shift_and_pack
from veilscore.keys.paillier.peer_noise import PeerEncryptor
from veilscore.keys.paillier.private import PrivateKey

MOST_ROWS = 12
VALUE = 1 << 20
WEIGHT = 1 << 16
# Of one row's value; of the sum of all, each with the largest weight.
SUM = Slot((MOST_ROWS * VALUE).bit_length() + 1, signed=True)
WEIGHTED = Slot((MOST_ROWS * VALUE * WEIGHT).bit_length() + 1, signed=True)

quick = settings(max_examples=25, deadline=None)
values = st.one_of(st.sampled_from([-VALUE, 0, VALUE]), st.integers(-VALUE, VALUE))
weights = st.one_of(st.sampled_from([-WEIGHT, WEIGHT]), st.integers(-WEIGHT, WEIGHT))
rows_of_pairs = st.lists(st.tuples(values, values), min_size=1, max_size=MOST_ROWS)


@pytest.fixture(scope="module")
def owner(private: PrivateKey) -> OwnerEncryptor:
    return OwnerEncryptor(private)


@pytest.fixture(scope="module")
def peer(private: PrivateKey) -> PeerEncryptor:
    return PeerEncryptor(private.public)


def answer(
    private: PrivateKey, peer: PeerEncryptor, ciphertexts: list[int]
) -> list[int]:
    """Return the signed plaintexts of the answers to ciphertexts, as they travel.

    The noise is a peer's encryption of zero: a fresh r^n takes 9 ms, and what is looked
    at here is what becomes of the plaintexts.
    """
    key = private.public
    noise = map(AnswerNoise, peer.encrypt([0] * len(ciphertexts)))
    answers = NoisePool(key, noise).rerandomise(ciphertexts)
    assert not set(answers) & set(ciphertexts)
    received = key.decode(key.encode(answers), len(ciphertexts))
    return [key.to_signed(residue) for residue in private.decrypt(received)]


@quick
@given(
    rows=rows_of_pairs, widths=st.lists(st.integers(1, 6), max_size=4), data=st.data()
)
def test_bin_sums_of_packed_rows_equal_plain_sums(
    private: PrivateKey,
    owner: OwnerEncryptor,
    peer: PeerEncryptor,
    rows: list[tuple[int, int]],
    widths: list[int],
    data: st.DataObject,
) -> None:
    key = private.public
    layout = SlotLayout(key, (SUM, SUM))
    bins = np.array(
        [[data.draw(st.integers(0, width - 1)) for width in widths] for _ in rows],
        np.int64,
    ).reshape(len(rows), len(widths))
    encrypted = owner.encrypt([layout.pack(pair) for pair in rows])
    sums = histogram(key, encrypted, bins, widths)
    plain = np.array(rows)
    for column, (width, codes) in enumerate(zip(widths, bins.T, strict=True)):
        found = [
            layout.unpack(value % key.n)
            for value in answer(private, peer, sums[column])
        ]
        assert found == [
            plain[codes == code].sum(axis=0).tolist() for code in range(width)
        ]


@quick
@given(rows=rows_of_pairs, data=st.data())
def test_weighted_sums_packed_into_one_answer_equal_plain_ones(
    private: PrivateKey,
    owner: OwnerEncryptor,
    peer: PeerEncryptor,
    rows: list[tuple[int, int]],
    data: st.DataObject,
) -> None:
    key = private.public
    count = data.draw(st.integers(1, 5))
    matrix = [[data.draw(weights) for _ in rows] for _ in range(count)]
    layout = SlotLayout(key, (WEIGHTED, WEIGHTED))
    encrypted = owner.encrypt([layout.pack(pair) for pair in rows])
    products = weighted_products(key, encrypted, matrix)
    pair_bits = 2 * WEIGHTED.bits
    together = SlotLayout(key, (WEIGHTED, WEIGHTED) * count)
    [packed] = answer(private, peer, [shift_and_pack(key, products, pair_bits)])
    expected = np.array(matrix) @ np.array(rows)
    assert together.unpack(packed % key.n) == expected.ravel().tolist()


@quick
@given(
    data=st.data(),
    count=st.integers(1, 8),
    sign=st.sampled_from([-1, 1]),
)
def test_masks_and_addends_at_the_ends_of_the_ring_cancel(
    private: PrivateKey,
    owner: OwnerEncryptor,
    peer: PeerEncryptor,
    data: st.DataObject,
    count: int,
    sign: int,
) -> None:
    key = private.public
    edges = st.sampled_from([0, 1, key.n // 2, key.n // 2 + 1, key.n - 1])
    residues = [data.draw(edges) for _ in range(count)]
    masks = [data.draw(edges | st.integers(0, key.n - 1)) for _ in range(count)]
    masked = key.add_plain(owner.encrypt(residues), masks)
    turned = weighted_products(key, masked, (sign * np.eye(count, dtype=int)).tolist())
    unmasked = key.add_plain(turned, [-sign * mask % key.n for mask in masks])
    assert [value % key.n for value in answer(private, peer, unmasked)] == [
        sign * residue % key.n for residue in residues
    ]
