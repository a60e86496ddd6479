"""The integers modulo a prime in the place of ristretto255: nothing hidden, but quick.

A group of the same interface: points and scalars of 32 bytes, raising is multiplying,
adding is adding. Everything that alignment checks holds of it as of the real group, so
that its memory can be measured at full size in minutes. Anybody can divide in it.
"""

import hashlib
import secrets
from typing import Final

from veilscore.keys import ristretto

_PRIME: Final = 2**255 - 19
_BASE: Final = 9
_SIZE: Final = 32


def use_plain_group() -> None:
    """Replace the group of this process; there is no way back."""
    ristretto.hash_to_point = _hashed
    ristretto.hash_to_scalar = _hashed
    ristretto.random_point = _random
    ristretto.random_scalar = _random
    ristretto.base_multiple = _base_multiple
    ristretto.multiple = _multiple
    ristretto.total = _total
    ristretto.difference_of_product = _difference_of_product


def _bytes(number: int) -> bytes:
    return (number % _PRIME).to_bytes(_SIZE, "little")


def _number(octets: bytes) -> int:
    return int.from_bytes(octets, "little")


def _hashed(message: bytes, domain: bytes) -> bytes:
    return _bytes(_number(hashlib.sha512(domain + message).digest()))


def _random() -> bytes:
    return _bytes(1 + secrets.randbelow(_PRIME - 1))


def _base_multiple(scalar: bytes) -> bytes:
    return _bytes(_number(scalar) * _BASE)


def _multiple(scalar: bytes, point: bytes) -> bytes:
    return _bytes(_number(scalar) * _number(point))


def _total(first: bytes, second: bytes) -> bytes:
    return _bytes(_number(first) + _number(second))


def _difference_of_product(minuend: bytes, first: bytes, second: bytes) -> bytes:
    return _bytes(_number(minuend) - _number(first) * _number(second))
