"""The slots of a hosted score: many applicants in one plaintext, under padding.

The same input of many applicants shares one ciphertext, each applicant in its slot, so
that one product of powers scores all of them. The holder learns how many they are. It
cannot check inputs, for it cannot see them: what a made-up query can carry away is
bounded by the padding of the answer instead.

Padding. An answer of t = bits * applicants low bits gets 2^t * rho added, rho uniform
in [0, R), R = floor(n / 2^t). Whatever stands in the plaintext before, the answer is
one of at most n values and uniform on R of them, so a requester guesses any secret at
most n / R times as well as before (maximal leakage: Issa, Wagner, Kamath, "An
operational approach to information leakage", 2020): at most t + log2(1 + 1/R) bits
leave, R >= 2^40. An honest sum is below 2^t: nothing wraps, the low bits are exact.
"""

import secrets
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

PADDING_BITS: Final = 40  # at least, above the slots of a plaintext


@dataclass(frozen=True, slots=True)
class Batch:
    """The slots of ``applicants`` in as many plaintexts modulo ``n`` as they take."""

    n: int
    bits: int
    applicants: int

    @property
    def slots(self) -> int:
        """Most applicants in one plaintext."""
        return (self.n.bit_length() - 1 - PADDING_BITS) // self.bits

    @property
    def sizes(self) -> list[int]:
        """How many applicants are in each plaintext."""
        full, rest = divmod(self.applicants, self.slots)
        return [self.slots] * full + [rest] * (rest > 0)

    @property
    def charge(self) -> int:
        """Most bits that leave with the answer; one more a plaintext is rounding up."""
        return self.bits * self.applicants + len(self.sizes)

    def pack(self, rows: Sequence[Sequence[int]]) -> list[int]:
        """Return the residues to encrypt, plaintext by plaintext, input by input.

        ``rows`` are the inputs of each applicant, (applicants, inputs).
        """
        return [
            self._join(column) % self.n
            for part in self._parts(rows)
            for column in zip(*part, strict=True)
        ]

    def paddings(self, intercept: int) -> list[int]:
        """Return what the holder adds to the plaintexts of an answer, modulo n."""
        start = intercept + (1 << self.bits - 1)
        residues: list[int] = []
        for size in self.sizes:
            low = size * self.bits
            rho = secrets.randbelow(self.n >> low)
            residues.append((self._join([start] * size) + (rho << low)) % self.n)
        return residues

    def unpack(self, residues: Sequence[int]) -> list[int]:
        """Return every applicant's score, a whole number, out of a decrypted answer."""
        mask, offset = (1 << self.bits) - 1, 1 << self.bits - 1
        return [
            (residue >> self.bits * slot & mask) - offset
            for size, residue in zip(self.sizes, residues, strict=True)
            for slot in range(size)
        ]

    def _join(self, values: Sequence[int]) -> int:
        return sum(value << self.bits * slot for slot, value in enumerate(values))

    def _parts(
        self, rows: Sequence[Sequence[int]]
    ) -> Iterator[Sequence[Sequence[int]]]:
        start = 0
        for size in self.sizes:
            yield rows[start : start + size]
            start += size
