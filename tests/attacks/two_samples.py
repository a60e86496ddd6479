"""Tells two samples of answers apart, if their lengths or bytes allow it.

Every answer becomes a few numbers, and every number is compared between the samples by
the test of Kolmogorov and Smirnov. That finds a value that comes back, a digit that is
biased, a size that depends on what was answered; it proves nothing about what takes
more than these numbers to see.
"""

import hashlib
import importlib
from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias

# Loaded by name: scipy carries no types.
scipy: Any = importlib.import_module("scipy.stats")

View: TypeAlias = Sequence[int]
"""One number of every answer: what its reader can compute of it."""

ALPHA = 0.001  # that equal distributions are called different by any test


def statistics(numbers: View, width: int) -> dict[str, list[int]]:
    """Return what is compared of numbers of ``width`` bytes."""
    blobs = [number.to_bytes(width, "big") for number in numbers]
    middle = width // 2
    return {
        "first bytes": [int.from_bytes(blob[:8]) for blob in blobs],
        "middle bytes": [int.from_bytes(blob[middle : middle + 8]) for blob in blobs],
        "last bytes": [int.from_bytes(blob[-8:]) for blob in blobs],
        "sum of bytes": [sum(blob) for blob in blobs],
        "bits set": [number.bit_count() for number in numbers],
        "remainder mod 251": [number % 251 for number in numbers],
        # Equal answers fall together, whatever they are.
        "hash": [int.from_bytes(hashlib.sha256(blob).digest()[:8]) for blob in blobs],
    }


def probabilities(
    one: Mapping[str, View], other: Mapping[str, View], width: int
) -> dict[str, float]:
    """Return how probable the difference of every statistic is, by view and name."""
    return {
        f"{view}, {name}": float(
            scipy.ks_2samp(left, right[name], method="asymp").pvalue
        )
        for view in one
        for right in [statistics(other[view], width)]
        for name, left in statistics(one[view], width).items()
    }


def differences(found: Mapping[str, float]) -> list[str]:
    """Return what is too improbable, allowing for the number of tests (Bonferroni)."""
    return [name for name, p in found.items() if p <= ALPHA / len(found)]
