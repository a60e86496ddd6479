"""Weighted sums under encryption: right for any weights, signs and number of terms."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from veilscore.keys.paillier.histogram import weighted_products
from veilscore.keys.paillier.owner_noise import OwnerEncryptor
from veilscore.keys.paillier.powers import weighted_sum
from veilscore.keys.paillier.private import PrivateKey
from veilscore.keys.paillier.workers import PaillierWorkers
from veilscore.keys.paillier.zero_pool import ZeroPool

LARGEST = (1 << 53) - 1


@pytest.fixture(scope="module")
def own(private: PrivateKey) -> OwnerEncryptor:
    return OwnerEncryptor(private)


@settings(max_examples=40, deadline=None)
@given(
    pairs=st.lists(
        st.tuples(
            st.integers(-LARGEST, LARGEST)
            | st.sampled_from([0, 1, -1, 2, 255, 256, LARGEST, -LARGEST]),
            st.integers(-(1 << 60), 1 << 60),
        ),
        max_size=12,
    )
)
def test_a_weighted_sum_is_the_sum(
    private: PrivateKey, own: OwnerEncryptor, pairs: list[tuple[int, int]]
) -> None:
    n = private.public.n
    encrypted = own.encrypt([value % n for _, value in pairs])
    found = weighted_sum(private.public, encrypted, [weight for weight, _ in pairs])
    assert private.decrypt([found]) == [sum(w * x for w, x in pairs) % n]


@pytest.mark.parametrize("terms", [1, 30, 400])
def test_it_is_the_product_that_many_rows_have(
    private: PrivateKey, own: OwnerEncryptor, terms: int
) -> None:
    key, rng = private.public, np.random.default_rng(terms)
    encrypted = own.encrypt([1] * terms)
    weights = rng.integers(-(2**15), 2**15, (1, terms))
    (expected,) = weighted_products(key, encrypted, weights)
    assert weighted_sum(key, encrypted, weights[0].tolist()) == expected


def test_there_is_one_weight_a_ciphertext(private: PrivateKey) -> None:
    assert weighted_sum(private.public, [], []) == 1
    assert weighted_sum(private.public, [5, 7], [0, 0]) == 1
    with pytest.raises(ValueError, match="zip"):
        weighted_sum(private.public, [5, 7], [1])


@pytest.mark.parametrize("processes", [0, 2])
def test_workers_sum_row_by_row_and_use_zeros_that_they_made(
    private: PrivateKey, processes: int
) -> None:
    key = private.public
    with PaillierWorkers(processes) as workers:
        workers.prefill_own(private, 20)
        rows = [
            workers.encrypt_own(private, [start, start + 1, key.n - 1])
            for start in range(0, 90, 10)
        ]
        assert len({each for row in rows for each in row}) == 27
        found = workers.weighted_sums(key, rows, [3, -2, 5])
        expected = [3 * at - 2 * (at + 1) - 5 for at in range(0, 90, 10)]
        assert [key.to_signed(each) for each in workers.decrypt(private, found)] == (
            expected
        )
        workers.prefill_own(private, 4)
        workers.drop(key)
        again = workers.encrypt_own(private, [7])
        assert workers.decrypt(private, again) == [7]


def test_a_zero_is_used_once(private: PrivateKey, own: OwnerEncryptor) -> None:
    pool, zeros = ZeroPool(private.public), own.zeros(3)
    pool.fill(zeros)
    assert pool.encrypt([0, 0]) == zeros[:2]
    assert len(pool) == 1
    (last,) = pool.encrypt([9, 9, 9])
    assert private.decrypt([last]) == [9]
    assert pool.encrypt([9]) == []
