"""Blinded ids for alignment: points of ristretto255 raised by every holder's key.

Each holder hashes its ids to the group and sends the set round the ring of holders;
each raises every point by its own secret key. Equal ids end as equal points whatever
the order of the keys. Nobody can test a guessed id without the keys of all holders, and
no bit of an id survives blinding (X25519 u-coordinates leak one). Who sees a set learns
its padded size. Order is kept: the owner shuffles before and knows its rows after.

A hop that swaps or replaces points, or uses a second key, cannot prove the contrary
(``small_exponents``, ``dleq``). That a holder raises its own set by the same key show
the canary ids, known to all holders, which otherwise fail to meet.

Hash: ``hash_to_ristretto255`` of RFC 9380 appendix B, as in RFC 9497.
"""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Final, Self

import numpy as np
from numpy.typing import NDArray

from veilscore.keys import dleq, ristretto
from veilscore.keys.errors import LinkageError
from veilscore.keys.ristretto import POINT

PSEUDONYM: Final = 16  # bytes the coordinator keeps of a point

_DOMAIN: Final = b"veilscore-alignment/1-ristretto255_XMD:SHA-512_R255MAP_RO_"
_CHUNK: Final = 1024  # points a task: about 60 ms


def hash_to_group(entity_id: str) -> bytes:
    """Return the point of a normalised, typed id; its discrete log is unknown."""
    return ristretto.hash_to_point(entity_id.encode(), _DOMAIN)


def hash_all(entity_ids: Sequence[str], *, threads: int = 1) -> bytes:
    """Return the points of many ids; about 20 microseconds each."""

    def hash_chunk(start: int) -> bytes:
        return b"".join(map(hash_to_group, entity_ids[start : start + _CHUNK]))

    with ThreadPoolExecutor(threads) as pool:
        return b"".join(pool.map(hash_chunk, range(0, len(entity_ids), _CHUNK)))


class BlindingKey:
    """One holder's secret scalar for one alignment; never used for a second."""

    __slots__ = ("_scalar",)

    def __init__(self, scalar: bytes) -> None:
        self._scalar = scalar

    @classmethod
    def fresh(cls) -> Self:
        """Make a new key."""
        return cls(ristretto.random_scalar())

    @property
    def public(self) -> bytes:
        """What the key is known by; it says nothing about the key."""
        return ristretto.base_multiple(self._scalar)

    def prove(self, before: Sequence[bytes]) -> tuple[list[bytes], bytes]:
        """Raise a few points; return them, and the proof that this key raised them."""
        after = [ristretto.multiple(self._scalar, point) for point in before]
        return after, dleq.prove(self._scalar, before, after)

    def blind(self, points: bytes, party: str, *, threads: int = 1) -> bytes:
        """Raise every point of a set, or part of one, that ``party`` sent, in order.

        About 60 microseconds a point and thread; libsodium runs without the GIL.
        Raises LinkageError as ``check_set`` does, and on what is not a point.
        """
        check_set(points, party)
        raised = bytearray(len(points))

        def blind_chunk(start: int) -> None:
            end = min(start + _CHUNK * POINT, len(points))
            raised[start:end] = b"".join(
                self._raise(points[at : at + POINT], party)
                for at in range(start, end, POINT)
            )

        with ThreadPoolExecutor(threads) as pool:
            # A list, so that what a thread raised is raised here.
            list(pool.map(blind_chunk, range(0, len(points), _CHUNK * POINT)))
        return bytes(raised)

    def _raise(self, point: bytes, party: str) -> bytes:
        try:
            return ristretto.multiple(self._scalar, point)
        except RuntimeError as error:  # RFC 9496 4.3.1: not a canonical encoding
            raise LinkageError(
                "the blinded set holds something that is not a point", party=party
            ) from error


def check_set(blinded: bytes, party: str) -> None:
    """Refuse a set of points that breaks the rules of alignment.

    Raises LinkageError naming ``party``, who sent it: an empty or ragged set, the
    identity element, an entry that appears twice.
    """
    if not blinded or len(blinded) % POINT:
        raise LinkageError(
            f"a blinded set of {len(blinded)} bytes has no whole {POINT}-byte entries",
            party=party,
        )
    if not _words(blinded).any(axis=1).all():
        raise LinkageError("the blinded set holds the identity element", party=party)
    refuse_repeats([blinded], party)


def refuse_repeats(parts: Sequence[bytes], party: str) -> None:
    """Raise LinkageError naming ``party`` if a point is there twice in its set."""
    heads = np.concatenate([_words(part)[:, 0] for part in parts])
    heads.sort()
    shared = np.unique(heads[1:][heads[1:] == heads[:-1]])
    if not shared.size:
        return
    # Two of 4 million points begin alike once in two million sets: look at the rest.
    alike = np.concatenate(
        [words[np.isin(words[:, 0], shared)] for words in map(_words, parts)]
    )
    entries = np.sort(np.frombuffer(alike.tobytes(), dtype=f"V{POINT}"))
    if (entries[1:] == entries[:-1]).any():
        raise LinkageError(
            "the blinded set holds an entry twice",
            party=party,
            remedy="Remove duplicate ids from the data source.",
        )


def truncate(points: bytes) -> bytes:
    """Return the first ``PSEUDONYM`` bytes of every point, which are unlike enough."""
    octets = np.frombuffer(points, dtype=np.uint8).reshape(-1, POINT)
    return octets[:, :PSEUDONYM].tobytes()


def _words(points: bytes) -> NDArray[np.uint64]:
    return np.frombuffer(points, dtype="<u8").reshape(-1, POINT // 8)


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
    return b"".join(ristretto.random_point() for _ in range(count))
