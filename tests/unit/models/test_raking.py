"""Row weights: every column's bins get the labelled rows' shares."""

from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from veilscore.models.vertical.raking import (
    HEAVIEST,
    Margin,
    RowWeights,
    effective_rows,
)


def margins(
    codes: NDArray[np.uint16], labelled: NDArray[np.bool_], bins: int
) -> list[Margin]:
    """Count the labelled rows; a third of them is bad."""
    found: list[Margin] = []
    for column in codes[labelled].T:
        count = np.bincount(column, minlength=bins)
        found.append(Margin.of(count - count // 3, count // 3, np.zeros(bins, int)))
    return found


def shares(
    column: NDArray[np.uint16], weights: NDArray[np.float64], bins: int
) -> NDArray[np.float64]:
    held = np.bincount(column, weights=weights, minlength=bins)
    return np.asarray(held / held.sum(), np.float64)


def raked(codes: NDArray[np.uint16], wanted: Sequence[Margin]) -> NDArray[np.float64]:
    return RowWeights.raked(codes, wanted).of_row.astype(np.float64)


@given(st.integers(0, 2**32 - 1), st.integers(1, 5), st.floats(0.05, 0.95))
def test_the_weighted_rows_have_the_labelled_rows_shares(
    seed: int, columns: int, often: float
) -> None:
    rng, bins, rows = np.random.default_rng(seed), 6, 8000
    hidden = rng.normal(size=rows)
    values = hidden[:, np.newaxis] + rng.normal(size=(rows, columns))
    codes = np.clip(np.floor(values + 3), 0, bins - 1).astype(np.uint16)
    labelled = rng.random(rows) < often / (1 + np.exp(-2 * hidden))
    weights = raked(codes, margins(codes, labelled, bins))
    assert weights.max() == HEAVIEST
    for column in codes.T:
        wanted = shares(column, labelled.astype(np.float64), bins)
        # Half a row in every bin, and weights of 12 bits.
        assert shares(column, weights, bins) == pytest.approx(wanted, abs=0.01)


def test_rows_that_are_like_the_labelled_ones_weigh_about_the_same() -> None:
    rng = np.random.default_rng(1)
    codes = rng.integers(0, 10, (20_000, 8)).astype(np.uint16)
    found = RowWeights.raked(codes, margins(codes, rng.random(20_000) < 0.7, 10))
    assert effective_rows(found.total, found.squared) > 0.99 * len(codes)


def test_rows_in_bins_that_nobody_labelled_is_in_weigh_next_to_nothing() -> None:
    codes = np.repeat(np.arange(4, dtype=np.uint16), 1000)[:, np.newaxis]
    counted = np.array([0, 400, 0, 600]), np.array([0, 40, 0, 60])
    weights = raked(codes, [Margin.of(*counted, np.zeros(4, int))])
    means = weights.reshape(4, 1000).mean(axis=1)
    assert means[[0, 2]].max() < 0.001 * HEAVIEST
    assert means[1] / means[3] == pytest.approx(440 / 660, rel=0.01)


def test_bins_of_a_pool_share_their_count() -> None:
    codes = np.array([0] * 100 + [1] * 300 + [2] * 100, np.uint16)[:, np.newaxis]
    pooled = Margin.of(
        np.array([50, 20, 50]), np.array([10, 4, 10]), np.array([1, 0, 1])
    )
    assert pooled.shares[pooled.pool_of] * 85 == pytest.approx([60.5, 24.5, 60.5])
    weights = raked(codes, [pooled])
    assert weights[0] == weights[-1]
    assert weights[:100].sum() + weights[-100:].sum() == pytest.approx(
        weights.sum() * 60.5 / 85, rel=0.001
    )


def test_noise_below_zero_counts_as_nothing() -> None:
    noisy = Margin.of(np.array([-7, 90]), np.array([3, -2]), np.zeros(2, int))
    assert noisy.shares == pytest.approx([3.5 / 94, 90.5 / 94])


def test_a_bin_without_rows_is_left_alone() -> None:
    codes = np.array([[0], [1], [1]], np.uint16)
    margin = Margin.of(np.array([10, 10, 50]), np.array([1, 1, 5]), np.zeros(3, int))
    assert raked(codes, [margin]).tolist() == [HEAVIEST, 2048, 2048]


@given(st.integers(0, 2**32 - 1), st.integers(1, 6))
def test_whatever_the_counts_are_there_are_weights(seed: int, columns: int) -> None:
    """Bins may be empty and counts huge; some bins may be said to hold nobody."""
    rng, bins, rows = np.random.default_rng(seed), 5, 300
    codes = rng.integers(rng.integers(0, 4), bins, (rows, columns)).astype(np.uint16)
    none = np.zeros(bins, int)
    made_up = [
        Margin.of(1 << rng.integers(0, 41, bins), rng.integers(0, 2, bins), none)
        for _ in range(columns)
    ]
    with np.errstate(all="raise", under="ignore"):
        found = RowWeights.raked(codes, made_up)
    assert found.of_row.max() == HEAVIEST
    assert found.total == found.of_row.sum(dtype=np.int64)
    assert found.squared == (found.of_row.astype(np.int64) ** 2).sum()


def test_a_rare_bin_with_a_noisy_count_leaves_something_for_the_others() -> None:
    codes = np.zeros((200_000, 1), np.uint16)
    codes[:3] = 1
    noisy = Margin.of(np.array([1480, 20]), np.array([0, 0]), np.zeros(2, int))
    weights = raked(codes, [noisy])
    assert weights[0] == HEAVIEST
    assert weights[-1] == pytest.approx(HEAVIEST / 100, abs=1.5)
