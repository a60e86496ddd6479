"""The group ristretto255: the few operations that alignment needs of libsodium.

Points and scalars are 32 bytes each (RFC 9496, sections 4.3.1 and 4.4). Hashing is
``expand_message_xmd`` of RFC 9380 with SHA-512, as in RFC 9497, section 4.1.
"""

import hashlib
from contextlib import suppress
from pathlib import Path
from typing import Final

import rbcl
from rbcl._sodium import lib_path

POINT: Final = 32
SCALAR: Final = 32
IDENTITY: Final = bytes(POINT)

_SHA512_BLOCK: Final = 128
_SHA512_DIGEST: Final = 64

# rbcl unpacks libsodium (2.8 MB) into a new temporary file at every start and leaves it
# there; the library, once loaded, no longer needs it.
with suppress(OSError):
    Path(lib_path).unlink()


def hash_to_point(message: bytes, domain: bytes) -> bytes:
    """Return a point whose discrete logarithm nobody knows."""
    return rbcl.crypto_core_ristretto255_from_hash(expand_message(message, domain))


def hash_to_scalar(message: bytes, domain: bytes) -> bytes:
    """Return a uniform scalar."""
    wide = expand_message(message, domain)
    return rbcl.crypto_core_ristretto255_scalar_reduce(wide)


def random_point() -> bytes:
    """Return a uniform point."""
    return rbcl.crypto_core_ristretto255_random()


def random_scalar() -> bytes:
    """Return a uniform scalar that is not zero."""
    return rbcl.crypto_core_ristretto255_scalar_random()


def base_multiple(scalar: bytes) -> bytes:
    """Return the base point raised by a scalar; raises RuntimeError for zero."""
    return rbcl.crypto_scalarmult_ristretto255_base(scalar)


def multiple(scalar: bytes, point: bytes) -> bytes:
    """Return a point raised by a scalar, in about 60 microseconds.

    Releases the GIL. Raises RuntimeError on what is not a canonical point, and when
    the result is the identity.
    """
    return rbcl.crypto_scalarmult_ristretto255(scalar, point)


def small_multiple(factor: int, point: bytes) -> bytes:
    """Return a point raised by a small positive number, as ``multiple`` does."""
    return multiple(factor.to_bytes(SCALAR, "little"), point)


def total(first: bytes, second: bytes) -> bytes:
    """Return the sum of two points; raises ValueError on what is no point."""
    result = rbcl.crypto_core_ristretto255_add(first, second)
    # rbcl does not say that libsodium refused a point; its result is then all zeros.
    if result == IDENTITY and not (_is_point(first) and _is_point(second)):
        raise ValueError("not a point of ristretto255")
    return result


def difference_of_product(minuend: bytes, first: bytes, second: bytes) -> bytes:
    """Return minuend - first * second, scalars all."""
    product = rbcl.crypto_core_ristretto255_scalar_mul(first, second)
    return rbcl.crypto_core_ristretto255_scalar_sub(minuend, product)


def _is_point(point: bytes) -> bool:
    return rbcl.crypto_core_ristretto255_is_valid_point(point)


def expand_message(message: bytes, domain: bytes) -> bytes:
    """Return 64 uniform bytes: ``expand_message_xmd`` (RFC 9380, 5.3.1), SHA-512."""
    suffix = domain + bytes((len(domain),))
    length = _SHA512_DIGEST.to_bytes(2)
    first = hashlib.sha512(
        bytes(_SHA512_BLOCK) + message + length + b"\0" + suffix
    ).digest()
    return hashlib.sha512(first + b"\1" + suffix).digest()
