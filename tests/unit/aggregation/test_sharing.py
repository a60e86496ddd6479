"""Shamir's scheme as the library does it, against arithmetic written down here."""

from itertools import combinations
from typing import Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from veilscore.keys.aggregation import sharing

SEED: Final = bytes(range(16))
# x^128 + x^7 + x^2 + x + 1; the most significant bit of 16 bytes is x^127.
_MODULUS: Final = 1 << 128 | 0x87


def times(one: int, other: int) -> int:
    """Multiply in GF(2^128)."""
    product = 0
    while other:
        if other & 1:
            product ^= one
        one, other = one << 1, other >> 1
        if one >> 128:
            one ^= _MODULUS
    return product


def point(coefficients: list[int], index: int) -> bytes:
    """Return the value of a polynomial, lowest coefficient first."""
    value = 0
    for coefficient in reversed(coefficients):
        value = times(value, index) ^ coefficient
    return value.to_bytes(16)


@given(st.lists(st.integers(0, 2**128 - 1), min_size=3, max_size=6), st.data())
def test_points_of_a_polynomial_give_its_value_at_zero(
    coefficients: list[int], data: st.DataObject
) -> None:
    wanted = len(coefficients)
    indices = data.draw(
        st.sets(st.integers(1, 100), min_size=wanted, max_size=wanted + 3)
    )
    shares = {index: point(coefficients, index) for index in indices}
    assert sharing.combine(shares, wanted) == coefficients[0].to_bytes(16)


@pytest.mark.parametrize(("threshold", "count"), [(3, 3), (3, 4), (4, 6), (6, 10)])
def test_any_of_the_shares_give_the_secret(threshold: int, count: int) -> None:
    shares = dict(enumerate(sharing.split(SEED, threshold, count), start=1))
    for chosen in list(combinations(shares, threshold))[:40]:
        part = {index: shares[index] for index in chosen}
        assert sharing.combine(part, threshold) == SEED


@given(st.binary(min_size=16, max_size=16))
def test_one_share_less_fits_any_secret(other: bytes) -> None:
    shares = dict(enumerate(sharing.split(SEED, 3, 3), start=1))
    # There is a third share that makes the first two give any other secret: solve for
    # the value at 3 of the polynomial through (0, other), (1, a), (2, b).
    known = {0: int.from_bytes(other)}
    known |= {index: int.from_bytes(shares[index]) for index in (1, 2)}
    third = 0
    for at, value in known.items():
        top = bottom = 1
        for peer in known.keys() - {at}:
            top, bottom = times(top, 3 ^ peer), times(bottom, at ^ peer)
        third ^= times(value, times(top, inverse(bottom)))
    forged = {1: shares[1], 2: shares[2], 3: third.to_bytes(16)}
    assert sharing.combine(forged, 3) == other


def inverse(value: int) -> int:
    """Return value^(2^128 - 2)."""
    result, square = 1, value
    for _ in range(127):
        square = times(square, square)
        result = times(result, square)
    return result


def test_every_split_is_another_one() -> None:
    made = {share for _ in range(20) for share in sharing.split(SEED, 3, 5)}
    assert len(made) == 100
    assert SEED not in made


@pytest.mark.parametrize("indices", [(), (1, 2), (0, 1, 2)])
def test_too_few_shares_and_the_index_of_the_secret_are_our_bug(
    indices: tuple[int, ...],
) -> None:
    with pytest.raises(ValueError, match="3 shares"):
        sharing.combine(dict.fromkeys(indices, SEED), 3)


def test_a_commitment_is_bound_to_its_place() -> None:
    places = [
        (b"c" * 32, "bank", "bureau", sharing.MASK_KEY, SEED),
        (b"d" * 32, "bank", "bureau", sharing.MASK_KEY, SEED),
        (b"c" * 32, "bureau", "bank", sharing.MASK_KEY, SEED),
        (b"c" * 32, "bank", "bureau", sharing.SELF_MASK, SEED),
        (b"c" * 32, "bank", "bureau", sharing.MASK_KEY, SEED[::-1]),
    ]
    assert len({sharing.commit(*place) for place in places}) == len(places)
