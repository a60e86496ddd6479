"""The baseline: what plain ``phe`` costs, one operation at a time.

It is what a user of the library would write: one ciphertext a number, ``+`` for sums,
and ``ciphertext()``, which re-randomises, for what leaves. Whole workloads would take
minutes, so they are counted in operations, and the operations are sampled in the same
process right before and right after the work they are compared with. Additions are
those of one column's sums per bin, of ciphertexts that all differ: adding the same two
again and again would find them in the processor's nearest cache.
"""

import operator
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from phe import EncryptedNumber

from tests.bench.measure import Cost, least
from veilscore.keys.paillier.private import PrivateKey

_ADDITIONS = 5_000
_CELLS = 10


@dataclass(frozen=True, slots=True)
class Operations:
    """How often naive code calls what, and what it sends."""

    encryptions: float = 0
    multiplications: float = 0  # by signed numbers of 16 bits
    additions: float = 0
    rerandomisations: float = 0
    decryptions: float = 0
    ciphertexts_sent: float = 0
    other_bytes: float = 0

    def __str__(self) -> str:
        named = (
            (self.encryptions, "encryption"),
            (self.multiplications, "multiplication"),
            (self.additions, "addition"),
            (self.rerandomisations, "re-randomisation"),
            (self.decryptions, "decryption"),
        )
        return ", ".join(
            f"{count:,.0f} {name}{'' if count == 1 else 's'}"
            for count, name in named
            if count
        )


@dataclass(frozen=True, slots=True)
class PlainPhe:
    """Costs of one operation each."""

    encryption: Cost
    multiplication: Cost
    addition: Cost
    rerandomisation: Cost
    decryption: Cost
    ciphertext_bytes: int

    @classmethod
    def sample(cls, key: PrivateKey, items: int, repeats: int = 3) -> "PlainPhe":
        """Measure ``items`` of every slow operation, ``repeats`` times."""
        public, private = key.public.to_phe(), key.to_phe()
        numbers = [public.encrypt(value) for value in range(items)]
        other = numbers[1]
        drawn = np.random.default_rng(1).integers(1 << 14, 1 << 15, items)
        weights = (drawn * (-1) ** np.arange(items)).tolist()

        def rerandomise() -> None:
            for number in numbers:
                # A sum is what phe has not re-randomised yet.
                (number + other).ciphertext()

        rows = _different(numbers, _ADDITIONS)

        def add() -> None:
            cells = rows[:_CELLS]
            for row, number in enumerate(rows):
                cells[row % _CELLS] += number

        def multiply() -> None:
            for number, weight in zip(numbers, weights, strict=True):
                operator.mul(number, weight)

        return cls(
            least(lambda: [public.encrypt(7) for _ in range(items)], items, repeats),
            least(multiply, items, repeats),
            least(add, _ADDITIONS, repeats),
            least(rerandomise, items, repeats),
            least(lambda: [private.decrypt(each) for each in numbers], items, repeats),
            key.public.ciphertext_bytes,
        )

    def lower(self, other: "PlainPhe") -> "PlainPhe":
        """Return the cheaper of two samples, operation by operation."""

        def cheaper(one: Cost, two: Cost) -> Cost:
            return min(one, two, key=lambda cost: cost.cpu_s)

        return PlainPhe(
            cheaper(self.encryption, other.encryption),
            cheaper(self.multiplication, other.multiplication),
            cheaper(self.addition, other.addition),
            cheaper(self.rerandomisation, other.rerandomisation),
            cheaper(self.decryption, other.decryption),
            self.ciphertext_bytes,
        )

    def cost(self, operations: Operations) -> Cost:
        """Return what these operations cost together."""
        sent = operations.ciphertexts_sent * self.ciphertext_bytes
        return (
            self.encryption.times(operations.encryptions)
            + self.multiplication.times(operations.multiplications)
            + self.addition.times(operations.additions)
            + self.rerandomisation.times(operations.rerandomisations)
            + self.decryption.times(operations.decryptions)
        ).sending(sent + operations.other_bytes)


def _different(numbers: Sequence[EncryptedNumber], count: int) -> list[EncryptedNumber]:
    # Sums of sums: no two are the same ciphertext, and they are made quickly.
    made = list(numbers)
    while len(made) < count:
        made.append(made[-1] + made[len(made) % len(numbers)])
    return made
