"""Orders that nobody can guess: every one as likely, none preferred by a tie."""

import secrets
from collections import Counter
from itertools import permutations

import numpy as np
import pytest

from veilscore.models import noise


@pytest.mark.parametrize("count", [0, 1, 2, 1000])
def test_every_place_is_taken_once(count: int) -> None:
    assert sorted(noise.ordering(count).tolist()) == list(range(count))


def test_all_orders_are_as_likely() -> None:
    """Chi-square of 24 orders, 23 degrees of freedom; above 75 once in 5 million."""
    draws = 24_000
    seen = Counter(tuple(noise.ordering(4).tolist()) for _ in range(draws))
    expected = draws / 24
    assert set(seen) == set(permutations(range(4)))
    assert sum((found - expected) ** 2 / expected for found in seen.values()) < 75


def test_every_entry_comes_to_every_place_of_a_longer_order() -> None:
    """Chi-square of 30 x 30 places, 841 degrees of freedom: 7 standard deviations."""
    size, draws = 30, 3_000
    seen = np.zeros((size, size))
    for _ in range(draws):
        seen[np.arange(size), noise.ordering(size)] += 1
    expected = draws / size
    squares = float(((seen - expected) ** 2 / expected).sum())
    assert abs(squares - 841) < 7 * (2 * 841) ** 0.5


def test_equal_words_are_drawn_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """A stable order of equal words would favour the entries' own."""
    words = iter([[5, 7, 5], [1, 1, 1], [9, 3, 6]])

    def drawn(size: int) -> bytes:
        assert size == 24
        return np.array(next(words), "<u8").tobytes()

    monkeypatch.setattr(secrets, "token_bytes", drawn)
    assert noise.ordering(3).tolist() == [1, 2, 0]
    assert next(words, None) is None
