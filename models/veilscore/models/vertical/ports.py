"""What a training script needs from cryptography, as interfaces.

The scripts do arithmetic on numbers they are entitled to; these ports hide how
encryption and masks are made. The node plugs in ``veilscore.keys``.
"""

from collections.abc import Sequence
from typing import Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray

Floats: TypeAlias = NDArray[np.float64]
Codes: TypeAlias = NDArray[np.uint16]  # (rows, columns): bin of every row and column
Integers: TypeAlias = NDArray[np.int64]
Words: TypeAlias = NDArray[np.uint64]  # (rows,): integers modulo 2^64


class OwnKey(Protocol):
    """A Paillier key pair of this party."""

    @property
    def modulus(self) -> int:
        """The modulus n."""
        ...

    @property
    def ciphertext_bytes(self) -> int:
        """Width of a ciphertext in bytes."""
        ...

    def encrypt(self, plaintexts: Sequence[int]) -> bytes:
        """Encrypt integers in (-n/2, n/2), one ciphertext each."""
        ...

    def decrypt(self, ciphertexts: bytes) -> list[int]:
        """Decrypt ciphertexts to residues in [0, n).

        Raises a Fault when the bytes are not ciphertexts of this key.
        """
        ...

    def decrypt_sum(self, shares: Sequence[bytes]) -> list[int]:
        """Add ciphertext vectors of equal length and decrypt their sums."""
        ...


class PeerKey(Protocol):
    """Arithmetic on ciphertexts under another party's key."""

    @property
    def modulus(self) -> int:
        """The modulus n."""
        ...

    @property
    def ciphertext_bytes(self) -> int:
        """Width of a ciphertext in bytes."""
        ...

    def histogram(
        self, rows: bytes, codes: Codes, bin_counts: Sequence[int]
    ) -> list[list[int]]:
        """Sum the rows of every bin of every column, under encryption."""
        ...

    def add(self, left: Sequence[int], right: Sequence[int]) -> list[int]:
        """Add two encrypted vectors of equal length, element by element."""
        ...

    def combine(
        self, ciphertexts: Sequence[int], weights: Sequence[Sequence[int]]
    ) -> list[int]:
        """Return one encrypted weighted sum of all ciphertexts per weight row."""
        ...

    def answer(self, ciphertexts: Sequence[int], masks: Sequence[int] | None) -> bytes:
        """Add plaintext masks, re-randomise with fresh r^n, encode."""
        ...

    def encrypt(self, plaintexts: Sequence[int]) -> bytes:
        """Encrypt this party's own residues in [0, n) under the peer's key."""
        ...


class ZeroSumMasks(Protocol):
    """Masks that cancel when all feature holders' vectors are added.

    A label is used once in a run.
    """

    def residues(self, label: str, count: int, modulus: int) -> list[int]:
        """Return ``count`` masks, each uniform in [0, modulus)."""
        ...

    def words(self, label: str, count: int) -> Words:
        """Return ``count`` masks modulo 2^64."""
        ...
