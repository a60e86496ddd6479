from itertools import pairwise
from math import prod

import numpy as np
import pytest
from gmpy2 import invert, powmod
from hypothesis import given, settings
from hypothesis import strategies as st

from veilscore.keys.paillier.histogram import (
    group_bounds,
    histogram,
    weighted_products,
)
from veilscore.keys.paillier.owner_noise import OwnerEncryptor
from veilscore.keys.paillier.private import PrivateKey

quick = settings(max_examples=30, deadline=None)


@pytest.fixture(scope="module")
def ciphertexts(private: PrivateKey) -> list[int]:
    """Encryptions of 0, 1, ..., 199."""
    return OwnerEncryptor(private).encrypt(range(200))


@quick
@given(
    widths=st.lists(st.integers(1, 9), max_size=7),
    rows=st.integers(0, 60),
    seed=st.integers(0, 2**32),
)
def test_the_histogram_equals_the_naive_one(
    private: PrivateKey,
    ciphertexts: list[int],
    widths: list[int],
    rows: int,
    seed: int,
) -> None:
    key = private.public
    bins = np.random.default_rng(seed).integers(0, widths, (rows, len(widths)))
    naive = [[1] * width for width in widths]
    for ciphertext, codes in zip(ciphertexts[:rows], bins.tolist(), strict=True):
        for column, code in zip(naive, codes, strict=True):
            column[code] = column[code] * ciphertext % key.n_squared
    assert histogram(key, ciphertexts[:rows], bins, widths) == naive


def test_encrypted_sums_per_bin_equal_plain_sums(
    private: PrivateKey, ciphertexts: list[int]
) -> None:
    widths = [3, 11, 2, 5, 4]
    bins = np.random.default_rng(7).integers(0, widths, (200, 5)).astype(np.uint8)
    sums = histogram(private.public, ciphertexts, bins, widths)
    for codes, column, width in zip(bins.T, sums, widths, strict=True):
        plain = np.bincount(codes, weights=np.arange(200), minlength=width)
        assert private.decrypt(column) == plain.astype(int).tolist()


def test_an_empty_bin_is_one(private: PrivateKey, ciphertexts: list[int]) -> None:
    bins = np.zeros((2, 1), np.int64)
    [[full, empty]] = histogram(private.public, ciphertexts[:2], bins, [2])
    assert empty == 1
    assert private.decrypt([full]) == [1]


@pytest.mark.parametrize(
    ("bins", "widths"),
    [
        ([[0], [2]], [2]),
        ([[0], [-1]], [2]),
        ([[0], [0], [0]], [2]),
        ([[0], [0]], [2, 2]),
    ],
)
def test_bins_that_do_not_fit_are_our_bug(
    private: PrivateKey, bins: list[list[int]], widths: list[int]
) -> None:
    with pytest.raises(ValueError, match="bin"):
        histogram(private.public, [1, 1], np.array(bins), widths)


def test_sharing_columns_saves_multiplications() -> None:
    for rows, widths in ((8192, [10] * 20), (200, [2] * 400), (5, [9] * 3)):
        bounds = group_bounds(rows, widths)
        assert bounds[0] == 0
        assert bounds[-1] == len(widths)
        groups = list(pairwise(bounds))
        assert all(start < stop for start, stop in groups)
        cost = sum(rows + prod(widths[start:stop]) for start, stop in groups)
        assert cost <= sum(rows + width for width in widths)
    assert 6 <= len(group_bounds(8192, [10] * 20)) - 1 <= 7


exponents = st.one_of(
    st.just(0), st.integers(-5, 5), st.integers(-(2**40), 2**40), st.just(2**61)
)


@quick
@given(
    rows=st.integers(1, 4).flatmap(
        lambda columns: st.lists(
            st.lists(exponents, min_size=columns, max_size=columns),
            min_size=1,
            max_size=4,
        )
    )
)
def test_weighted_products_equal_the_naive_ones(
    private: PrivateKey, ciphertexts: list[int], rows: list[list[int]]
) -> None:
    n_squared = private.public.n_squared
    bases = ciphertexts[: len(rows[0])]
    naive: list[int] = []
    for row in rows:
        product = 1
        for base, exponent in zip(bases, row, strict=True):
            power = powmod(base, abs(exponent), n_squared)
            factor = invert(power, n_squared) if exponent < 0 else power
            product = int(product * factor % n_squared)
        naive.append(product)
    assert weighted_products(private.public, bases, rows) == naive


def test_encrypted_weighted_sums_equal_plain_sums(
    private: PrivateKey, ciphertexts: list[int]
) -> None:
    key = private.public
    weights = np.random.default_rng(3).integers(-(2**20), 2**20, (5, 200))
    before = weights.copy()
    products = weighted_products(key, ciphertexts, weights)
    sums = [key.to_signed(residue) for residue in private.decrypt(products)]
    assert sums == (weights @ np.arange(200)).tolist()
    assert (weights == before).all()


@pytest.mark.parametrize(
    "rows", [[[1]], [[1, 2, 3]], [[2**62, -(2**62)]], [[-(2**63), 2**62]]]
)
def test_weights_that_do_not_fit_are_our_bug(
    private: PrivateKey, rows: list[list[int]]
) -> None:
    with pytest.raises(ValueError, match="exponent"):
        weighted_products(private.public, [1, 1], rows)


def test_no_weights_give_encryptions_of_zero(private: PrivateKey) -> None:
    assert weighted_products(private.public, [], [[], []]) == [1, 1]
