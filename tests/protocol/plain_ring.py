"""The arithmetic of Paillier without the encryption: integers modulo n.

Implements the ports of vertical training, so that the protocol's numbers can be
checked on full data sets in seconds. The encrypted run of the same scripts is
``test_vertical_encrypted.py``.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from veilscore.models.vertical.ports import Codes, Words

MODULUS = (1 << 2048) - 1942289


@dataclass(frozen=True)
class PlainRing:
    """Own key, peer key: both are the ring itself."""

    modulus: int = MODULUS

    @property
    def ciphertext_bytes(self) -> int:
        return (self.modulus.bit_length() + 7) // 8

    def encode(self, values: Sequence[int]) -> bytes:
        return b"".join(
            (v % self.modulus).to_bytes(self.ciphertext_bytes, "big") for v in values
        )

    def decode(self, blob: bytes) -> list[int]:
        return [
            int.from_bytes(blob[start : start + self.ciphertext_bytes], "big")
            for start in range(0, len(blob), self.ciphertext_bytes)
        ]

    def encrypt(self, plaintexts: Sequence[int]) -> bytes:
        return self.encode(plaintexts)

    def decrypt(self, ciphertexts: bytes) -> list[int]:
        return self.decode(ciphertexts)

    def decrypt_sum(self, shares: Sequence[bytes]) -> list[int]:
        columns = zip(*(self.decode(share) for share in shares), strict=True)
        return [sum(column) % self.modulus for column in columns]

    def histogram(
        self, rows: bytes, codes: Codes, bin_counts: Sequence[int]
    ) -> list[list[int]]:
        values = self.decode(rows)
        sums = [[0] * count for count in bin_counts]
        for value, bins in zip(values, codes.tolist(), strict=True):
            for column, index in enumerate(bins):
                sums[column][index] += value
        return [[total % self.modulus for total in column] for column in sums]

    def add(self, left: Sequence[int], right: Sequence[int]) -> list[int]:
        return [(a + b) % self.modulus for a, b in zip(left, right, strict=True)]

    def combine(
        self, ciphertexts: Sequence[int], weights: Sequence[Sequence[int]]
    ) -> list[int]:
        return [
            sum(c * w for c, w in zip(ciphertexts, row, strict=True)) % self.modulus
            for row in weights
        ]

    def answer(self, ciphertexts: Sequence[int], masks: Sequence[int] | None) -> bytes:
        masks = masks or [0] * len(ciphertexts)
        return self.encode([c + m for c, m in zip(ciphertexts, masks, strict=True)])


@dataclass(frozen=True)
class RingMasks:
    """Zero-sum masks from a public hash: arithmetic only, nothing secret."""

    name: str
    names: tuple[str, ...]

    def _stream(self, label: str, count: int, size: int) -> dict[str, list[int]]:
        return {
            other: [
                int.from_bytes(
                    hashlib.shake_256(
                        f"{sorted((self.name, other))}{label}{index}".encode()
                    ).digest(size),
                    "big",
                )
                for index in range(count)
            ]
            for other in self.names
            if other != self.name
        }

    def residues(self, label: str, count: int, modulus: int) -> list[int]:
        totals = [0] * count
        for other, stream in self._stream(label, count, 300).items():
            sign = 1 if self.name < other else -1
            totals = [
                (total + sign * value) % modulus
                for total, value in zip(totals, stream, strict=True)
            ]
        return totals

    def words(self, label: str, count: int) -> Words:
        totals = np.zeros(count, dtype=np.uint64)
        for other, stream in self._stream(label, count, 8).items():
            words = np.array(stream, dtype=np.uint64)
            totals = totals + words if self.name < other else totals - words
        return totals
