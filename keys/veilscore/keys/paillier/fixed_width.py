"""Lists of non-negative integers as one blob of fixed-width big-endian numbers.

The width is the reader's knowledge, so a number's size tells nobody anything and a
blob has one spelling only.
"""

from collections.abc import Iterable

from gmpy2 import mpz


def write_integers(integers: Iterable[int | mpz], width: int) -> bytes:
    """Return the integers, ``width`` bytes each; each must fit."""
    return b"".join(integer.to_bytes(width, "big") for integer in integers)


def read_integers(blob: bytes, width: int) -> list[int]:
    """Return the integers of a blob whose length is a multiple of ``width``."""
    return [
        int.from_bytes(blob[start : start + width], "big")
        for start in range(0, len(blob), width)
    ]
