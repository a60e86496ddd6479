"""Blinded ids for alignment: points of ristretto255 raised by every holder's key.

Each holder hashes its ids to the group and sends the set round the ring of holders;
each raises every point by its own secret key. Equal ids end as equal points whatever
the order of the keys. Nobody can test a guessed id without the keys of all holders, and
no bit of an id survives blinding (X25519 u-coordinates leak one). Who sees a set learns
its padded size. Order is kept: the owner shuffles before and knows its rows after.

A hop that uses a second key or swaps points is not noticed here; the coordinator's
canary ids, known to all holders, then fail to meet.

Group: RFC 9496. Hash: ``hash_to_ristretto255`` of RFC 9380 appendix B, as in RFC 9497.
"""

import hashlib
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Final, Self

import numpy as np
import rbcl
from rbcl._sodium import lib_path

from veilscore.keys.errors import LinkageError

POINT: Final = 32
PSEUDONYM: Final = 16  # bytes kept of a point after the last hop

_DOMAIN: Final = b"veilscore-alignment/1-ristretto255_XMD:SHA-512_R255MAP_RO_"
_SHA512_BLOCK: Final = 128
_SHA512_DIGEST: Final = 64
_CHUNK: Final = 1024  # points a task: about 60 ms

# rbcl unpacks libsodium (2.8 MB) into a new temporary file at every start and leaves it
# there; the library, once loaded, no longer needs it.
with suppress(OSError):
    Path(lib_path).unlink()


def hash_to_group(entity_id: str) -> bytes:
    """Return the point of a normalised, typed id; its discrete log is unknown."""
    uniform = expand_message(entity_id.encode(), _DOMAIN)
    return rbcl.crypto_core_ristretto255_from_hash(uniform)


class BlindingKey:
    """One holder's secret scalar for one alignment; never used for a second."""

    __slots__ = ("_scalar",)

    def __init__(self, scalar: bytes) -> None:
        self._scalar = scalar

    @classmethod
    def fresh(cls) -> Self:
        """Make a new key."""
        return cls(rbcl.crypto_core_ristretto255_scalar_random())

    def blind(self, points: bytes, owner: str, *, threads: int = 1) -> bytes:
        """Raise every point of ``owner``'s set, keeping the order.

        About 60 microseconds a point and thread; libsodium runs without the GIL.
        Raises LinkageError as ``check_set`` does, and on what is not a point.
        """
        check_set(points, owner)
        starts = range(0, len(points), _CHUNK * POINT)

        def blind_chunk(start: int) -> bytes:
            end = min(start + _CHUNK * POINT, len(points))
            return b"".join(
                self._raise(points[at : at + POINT], owner)
                for at in range(start, end, POINT)
            )

        with ThreadPoolExecutor(threads) as pool:
            return b"".join(pool.map(blind_chunk, starts))

    def _raise(self, point: bytes, owner: str) -> bytes:
        try:
            return rbcl.crypto_scalarmult_ristretto255(self._scalar, point)
        except RuntimeError as error:  # RFC 9496 4.3.1: not a canonical encoding
            raise LinkageError(
                "the blinded set holds something that is not a point", party=owner
            ) from error


def check_set(blinded: bytes, owner: str, width: int = POINT) -> None:
    """Refuse a set of ``width``-byte entries that breaks the rules of alignment.

    Raises LinkageError naming ``owner``: an empty or ragged set, the identity element,
    an entry that appears twice.
    """
    if not blinded or len(blinded) % width:
        raise LinkageError(
            f"a blinded set of {len(blinded)} bytes has no whole {width}-byte entries",
            party=owner,
        )
    octets = np.frombuffer(blinded, dtype=np.uint8).reshape(-1, width)
    if not octets.any(axis=1).all():
        raise LinkageError("the blinded set holds the identity element", party=owner)
    entries = np.sort(np.frombuffer(blinded, dtype=f"V{width}"))
    if (entries[1:] == entries[:-1]).any():
        raise LinkageError(
            "the blinded set holds an entry twice",
            party=owner,
            remedy="Remove duplicate ids from the data source.",
        )


def truncate(points: bytes) -> bytes:
    """Return the first ``PSEUDONYM`` bytes of every point: what the last hop sends."""
    octets = np.frombuffer(points, dtype=np.uint8).reshape(-1, POINT)
    return octets[:, :PSEUDONYM].tobytes()


def size_bucket(count: int) -> int:
    """Return the smallest number of the series ceil(1.1^k) that is >= ``count``.

    Sets are padded to it, so that one id more or less does not show.
    """
    numerator, denominator = 1, 1  # exact: every party must get the same bucket
    while numerator <= (count - 1) * denominator:
        numerator, denominator = numerator * 11, denominator * 10
    return -(-numerator // denominator)


def dummies(count: int) -> bytes:
    """Return random points: padding that looks like blinded ids."""
    return b"".join(rbcl.crypto_core_ristretto255_random() for _ in range(count))


def expand_message(message: bytes, domain: bytes) -> bytes:
    """Return 64 uniform bytes: ``expand_message_xmd`` (RFC 9380, 5.3.1), SHA-512."""
    suffix = domain + bytes((len(domain),))
    length = _SHA512_DIGEST.to_bytes(2)
    first = hashlib.sha512(
        bytes(_SHA512_BLOCK) + message + length + b"\0" + suffix
    ).digest()
    return hashlib.sha512(first + b"\1" + suffix).digest()
