"""Many small integers in one plaintext, in slots that sums cannot leave unnoticed.

A packed plaintext is the integer sum of value * 2^offset, signed where values are
signed. That is linear: sums and multiples of packed plaintexts are the packed sums and
multiples, with no offsets to account for, as long as every sum fits its slot. Whoever
decrypts sees all slots of the plaintext.

Above the last slot ``guard_bits`` must come out zero. A sum that overflows the last
slot, a mask that did not cancel or a missing addend shows there, and passes by chance
with probability 2^-guard_bits. A sum that overflows an inner slot changes its neighbour
and shows nowhere: widths are proven for the largest sum before anything is encrypted.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Self

from gmpy2 import mpz, powmod

from veilscore.keys.errors import PlaintextRangeError
from veilscore.keys.paillier.public import PublicKey

GUARD_BITS: Final = 64


@dataclass(frozen=True, slots=True)
class Slot:
    """``bits`` wide; holds [0, 2^bits), or if signed [-2^(bits-1), 2^(bits-1))."""

    bits: int
    signed: bool

    @property
    def lowest(self) -> int:
        """Smallest value it holds."""
        return -(1 << self.bits - 1) if self.signed else 0


@dataclass(frozen=True, slots=True)
class SlotLayout:
    """The slots of a plaintext under one key, the first one lowest.

    Raises PlaintextRangeError when they and the guard bits do not fit the modulus.
    """

    key: PublicKey
    slots: tuple[Slot, ...]
    guard_bits: int = GUARD_BITS

    def __post_init__(self) -> None:
        """Refuse what does not fit."""
        # One bit for the sign, one because n is not a power of two.
        needed = sum(slot.bits for slot in self.slots) + self.guard_bits + 2
        if needed > self.key.bits:
            raise PlaintextRangeError(
                f"{len(self.slots)} slots need {needed} bits of {self.key.bits}",
                remedy="Use a larger key, narrower slots or several plaintexts.",
            )

    @classmethod
    def filled(cls, key: PublicKey, slot: Slot, guard_bits: int = GUARD_BITS) -> Self:
        """Return as many equal slots as fit."""
        count = (key.bits - guard_bits - 2) // slot.bits
        return cls(key, (slot,) * count, guard_bits)

    def pack(self, values: Sequence[int]) -> int:
        """Return the residue that holds the values; slots left over hold zero.

        Raises PlaintextRangeError for a value outside its slot, ValueError for more
        values than slots.
        """
        if len(values) > len(self.slots):
            raise ValueError(f"{len(values)} values for {len(self.slots)} slots")
        packed, offset = 0, 0
        for index, (value, slot) in enumerate(zip(values, self.slots, strict=False)):
            if not 0 <= value - slot.lowest < 1 << slot.bits:
                raise PlaintextRangeError(
                    f"a value does not fit its slot of {slot.bits} bits",
                    place=f"slot {index}",
                    remedy="Prove the largest sum of the slot and make it wider.",
                )
            packed += value << offset
            offset += slot.bits
        return packed % self.key.n

    def unpack(self, residue: int) -> list[int]:
        """Return the value of every slot.

        Raises PlaintextRangeError when anything is left above the last one.
        """
        packed = self.key.to_signed(residue)
        values: list[int] = []
        for slot in self.slots:
            value = (packed - slot.lowest) % (1 << slot.bits) + slot.lowest
            values.append(value)
            packed = (packed - value) >> slot.bits
        if packed:
            raise PlaintextRangeError(
                "the guard bits above the last slot are not zero",
                remedy="An addend is missing, foreign or too large: ask all parties"
                " to answer again.",
            )
        return values


def shift_and_pack(key: PublicKey, ciphertexts: Sequence[int], bits: int) -> int:
    """Return an encryption of the sum of plaintext i * 2^(bits * i).

    By Horner's rule, ``bits`` squarings a ciphertext. The result hides nothing from the
    owner of the key: re-randomise before sending.
    """
    n_squared, packed = mpz(key.n_squared), mpz(1)
    for ciphertext in reversed(ciphertexts):
        packed = powmod(packed, 1 << bits, n_squared) * ciphertext % n_squared
    return int(packed)
