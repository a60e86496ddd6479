"""The public half of a Paillier key: what may be trusted, wire form, sums.

Whoever holds it can encrypt and add, and learns nothing. A modulus or a ciphertext
that comes from a peer is hostile until ``from_bytes``, ``decode`` or
``from_encrypted_number`` let it in: a ciphertext that shares a factor with n reveals
the key or poisons every sum it enters, and a huge modulus is a denial of service.

n = p²q passes here and defeats masks and re-randomisation: a party's key is used only
with the proof of ``modulus_proof``, which the registry carries.

Scheme: Paillier, EUROCRYPT '99, with g = n + 1. Plaintexts are residues in [0, n),
never floats: ``phe`` sends a float's exponent in the clear.
"""

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final, Self

import phe
from gmpy2 import gcd, is_power, mpz

from veilscore.keys.errors import (
    InvalidCiphertextError,
    InvalidKeyError,
    PlaintextRangeError,
)
from veilscore.keys.paillier.fixed_width import read_integers, write_integers

DEFAULT_BITS: Final = 3072  # 128-bit strength (NIST SP 800-57)
MINIMUM_BITS: Final = 2048
MAXIMUM_BITS: Final = 8192


@dataclass(frozen=True, slots=True)
class PublicKey:
    """A modulus n that is odd, of allowed size and no perfect power.

    Raises InvalidKeyError for any other n.
    """

    n: int

    def __post_init__(self) -> None:
        """Refuse any other modulus."""
        # The size comes first: arithmetic on a modulus of megabytes is an attack.
        if not MINIMUM_BITS <= self.n.bit_length() <= MAXIMUM_BITS or self.n < 0:
            raise InvalidKeyError(
                f"a Paillier modulus of {self.n.bit_length()} bits is not allowed",
                remedy=f"Use a key of {DEFAULT_BITS} bits.",
            )
        if self.n % 2 == 0 or is_power(self.n):
            raise InvalidKeyError(
                "this modulus is not the product of two odd primes",
                remedy="Ask its owner for a new key and report this one.",
            )

    def __repr__(self) -> str:
        """Name the key shortly."""
        return f"PublicKey({self.bits} bits, {self.key_id.hex()[:16]})"

    @classmethod
    def from_bytes(cls, modulus: bytes, *, minimum_bits: int = DEFAULT_BITS) -> Self:
        """Read a peer's big-endian modulus.

        Raises InvalidKeyError also for a modulus below ``minimum_bits`` and for one
        with leading zero bytes.
        """
        if len(modulus) > MAXIMUM_BITS // 8:
            raise InvalidKeyError(
                f"a Paillier modulus of {len(modulus)} bytes is not allowed",
                remedy=f"Use a key of {DEFAULT_BITS} bits.",
            )
        key = cls(int.from_bytes(modulus, "big"))
        if key.bits < minimum_bits:
            raise InvalidKeyError(
                f"a Paillier modulus of {key.bits} bits is below the {minimum_bits}"
                " bits asked for",
                remedy=f"Use a key of at least {minimum_bits} bits.",
            )
        if key.to_bytes() != modulus:
            raise InvalidKeyError(
                "this modulus has leading zeros",
                remedy="Send it without padding.",
            )
        return key

    def to_bytes(self) -> bytes:
        """Return the modulus, big-endian, without leading zeros."""
        return self.n.to_bytes(self.residue_bytes, "big")

    @classmethod
    def from_phe(cls, key: phe.PaillierPublicKey) -> Self:
        """Take over a key of python-paillier."""
        return cls(key.n)

    def to_phe(self) -> phe.PaillierPublicKey:
        """Return the same key for python-paillier."""
        return phe.PaillierPublicKey(self.n)

    @property
    def bits(self) -> int:
        """Size of the modulus."""
        return self.n.bit_length()

    @property
    def n_squared(self) -> int:
        """Modulus of the ciphertexts."""
        return self.n * self.n

    @property
    def residue_bytes(self) -> int:
        """Width of a plaintext on the wire."""
        return (self.bits + 7) // 8

    @property
    def ciphertext_bytes(self) -> int:
        """Width of a ciphertext on the wire."""
        return 2 * self.residue_bytes

    @property
    def key_id(self) -> bytes:
        """SHA-256 that names the key; 32 bytes."""
        return name_key(self.to_bytes())

    def encode(self, ciphertexts: Iterable[int]) -> bytes:
        """Return ciphertexts as one blob for the wire."""
        return write_integers(ciphertexts, self.ciphertext_bytes)

    def decode(self, blob: bytes, expected: int | None = None) -> list[int]:
        """Read ciphertexts from a peer and check every one.

        Costs about two multiplications modulo n each. Raises InvalidCiphertextError
        when there are not ``expected`` of them, and naming the first that is none.
        """
        width = self.ciphertext_bytes
        if len(blob) % width or expected not in (None, len(blob) // width):
            wanted = "whole" if expected is None else str(expected)
            raise InvalidCiphertextError(
                f"{len(blob)} bytes are not {wanted} ciphertexts of {width} bytes",
                remedy="Ask the sender to encrypt under the key that was asked for.",
            )
        ciphertexts = read_integers(blob, width)
        self._check(ciphertexts)
        return ciphertexts

    def to_encrypted_number(self, ciphertext: int) -> phe.EncryptedNumber:
        """Return the ciphertext as an integer of python-paillier."""
        return phe.EncryptedNumber(self.to_phe(), ciphertext, exponent=0)

    def from_encrypted_number(self, number: phe.EncryptedNumber) -> int:
        """Take over an encrypted integer of python-paillier.

        Raises InvalidCiphertextError for another key's, for a float, and for a number
        that is no ciphertext.
        """
        if number.public_key.n != self.n:
            raise InvalidCiphertextError(
                "this number is encrypted under another key",
                remedy="Encrypt it under the key that was asked for.",
            )
        if number.exponent != 0:
            raise InvalidCiphertextError(
                "this number is an encrypted float, whose size stands in the clear",
                remedy="Encrypt fixed-point integers instead.",
            )
        # As it came: phe reduces modulo n² what it re-randomises.
        self._check([number.ciphertext(be_secure=False)])
        # phe re-randomises results of its arithmetic here, and only here.
        return number.ciphertext()

    def to_residue(self, value: int) -> int:
        """Return the residue of a signed integer.

        Raises PlaintextRangeError unless it lies in (-n/2, n/2).
        """
        if abs(value) > self.n // 2:
            raise PlaintextRangeError(
                f"a value of {value.bit_length()} bits does not fit a key of"
                f" {self.bits} bits",
                remedy="Use a larger key or smaller values.",
            )
        return value % self.n

    def to_signed(self, residue: int) -> int:
        """Return the representative of a residue in (-n/2, n/2)."""
        return residue - self.n if residue > self.n // 2 else residue

    def add(self, left: Sequence[int], right: Sequence[int]) -> list[int]:
        """Return encryptions of the sums, pair by pair."""
        n_squared = mpz(self.n_squared)
        return [
            int(mpz(one) * other % n_squared)
            for one, other in zip(left, right, strict=True)
        ]

    def add_plain(
        self, ciphertexts: Sequence[int], plaintexts: Sequence[int]
    ) -> list[int]:
        """Return encryptions of ciphertext + plaintext, pair by pair.

        It hides nothing by itself: the owner of the key, or whoever knows what was
        encrypted, sees the plaintext by dividing. Re-randomise before sending.

        Raises PlaintextRangeError for a plaintext outside [0, n).
        """
        self._check_residues(plaintexts)
        n, n_squared = mpz(self.n), mpz(self.n_squared)
        return [
            int((n * plaintext + 1) * ciphertext % n_squared)
            for ciphertext, plaintext in zip(ciphertexts, plaintexts, strict=True)
        ]

    def _check_residues(self, residues: Sequence[int]) -> None:
        for index, residue in enumerate(residues):
            if not 0 <= residue < self.n:
                raise PlaintextRangeError(
                    "this plaintext is not a residue modulo n",
                    place=f"plaintext {index}",
                    remedy="Map signed values to residues and keep sums below n/2.",
                )

    def _check(self, ciphertexts: Sequence[int]) -> None:
        n_squared = self.n_squared
        for index, ciphertext in enumerate(ciphertexts):
            if not 0 < ciphertext < n_squared:
                raise _not_a_ciphertext(index)
        if self._is_invertible(ciphertexts):
            return
        low, high = 0, len(ciphertexts)  # the first culprit is in [low, high)
        while high - low > 1:
            middle = (low + high) // 2
            if self._is_invertible(ciphertexts[low:middle]):
                low = middle
            else:
                high = middle
        raise _not_a_ciphertext(low)

    def _is_invertible(self, ciphertexts: Sequence[int]) -> bool:
        n, product = mpz(self.n), mpz(1)
        for ciphertext in ciphertexts:
            product = product * (ciphertext % n) % n
        return gcd(product, n) == 1


def name_key(modulus: bytes) -> bytes:
    """Return the SHA-256 that names the key of a big-endian modulus; 32 bytes."""
    return hashlib.sha256(b"veilscore-paillier-key/1\0" + modulus).digest()


def _not_a_ciphertext(index: int) -> InvalidCiphertextError:
    return InvalidCiphertextError(
        "this number is not a ciphertext of the key it came with",
        place=f"ciphertext {index}",
        remedy="Ask the sender to encrypt again; if it recurs, report the sender.",
    )
