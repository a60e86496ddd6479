"""Proof that a list of points was raised, in its order, by one committed key.

The batched proof of equal discrete logarithms of RFC 9497, section 2.2, over
ristretto255 and SHA-512: whoever raised a list shows that one scalar leads from the
base point to its public key and from a random combination of the points before to the
same combination of the points after. A verifier learns that and nothing about the key.
A list in which two points were swapped, one was replaced or one was raised by another
key passes with probability 2^-128 (small exponents: Bellare, Garay, Rabin, Eurocrypt
1998, section 4).

One thing differs from the RFC: its coefficients are hashed from pairs of points, here
they come from the digests of both whole lists. So one party that knows the list before
and another that knows the list after can each compute their half, and nobody has to
see both: in the ring of alignment, whoever did could match two other holders' sets.

All points go through :func:`composite`, which refuses what is not a point.
"""

import hashlib
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import reduce
from typing import Final

from veilscore.keys import ristretto
from veilscore.keys.errors import LinkageError
from veilscore.keys.ristretto import POINT, SCALAR

PROOF: Final = 2 * SCALAR

_CONTEXT: Final = b"veilscore-alignment/1-ristretto255-SHA512"
_COEFFICIENT: Final = 16  # bytes
_CHUNK: Final = 1024  # points a task: about 75 ms


@dataclass(frozen=True, slots=True)
class Statement:
    """What is proven: ``key`` leads from the list ``before`` to the list ``after``.

    The lists are named by their SHA-256; ``place`` says where in a protocol.
    """

    place: bytes
    key: bytes  # base point raised by the secret scalar
    before: bytes
    after: bytes

    def _coefficients(self, count: int) -> bytes:
        seed = hashlib.shake_256(b"Seed-" + _CONTEXT)
        for part in (self.place, self.key, self.before, self.after):
            seed.update(_framed(part))
        return seed.digest(_COEFFICIENT * count)

    def composite(self, points: bytes, party: str, *, threads: int = 1) -> bytes:
        """Return the statement's combination of a list of points.

        About 75 microseconds a point and thread. Raises LinkageError naming ``party``
        on what is not a point.
        """
        count = len(points) // POINT
        coefficients = self._coefficients(count)
        zeros = bytes(SCALAR - _COEFFICIENT)

        def multiples(start: int) -> Iterator[bytes]:
            for index in range(start, min(start + _CHUNK, count)):
                at = _COEFFICIENT * index
                scalar = coefficients[at : at + _COEFFICIENT] + zeros
                point = points[POINT * index : POINT * (index + 1)]
                yield ristretto.multiple(scalar, point)

        def chunk(start: int) -> bytes:
            return reduce(ristretto.total, multiples(start))

        try:
            with ThreadPoolExecutor(threads) as pool:
                return reduce(ristretto.total, pool.map(chunk, range(0, count, _CHUNK)))
        except RuntimeError as error:
            raise LinkageError(
                "the blinded set holds something that is not a point", party=party
            ) from error


def prove(
    scalar: bytes, key: bytes, before: bytes, after: bytes, context: bytes = _CONTEXT
) -> bytes:
    """Return the proof for composites: ``after`` is ``before`` raised by ``scalar``.

    ``context`` separates protocols: a proof for one does not verify in another.
    """
    nonce = ristretto.random_scalar()
    commitments = ristretto.base_multiple(nonce), ristretto.multiple(nonce, before)
    challenge = _challenge(key, before, after, *commitments, context)
    return challenge + ristretto.difference_of_product(nonce, challenge, scalar)


def verify(
    key: bytes,
    before: bytes,
    after: bytes,
    proof: bytes,
    party: str,
    context: bytes = _CONTEXT,
) -> None:
    """Raise LinkageError naming ``party`` unless one scalar leads to all of it."""
    challenge, response = proof[:SCALAR], proof[SCALAR:]
    try:
        commitments = (
            ristretto.total(
                ristretto.base_multiple(response), ristretto.multiple(challenge, key)
            ),
            ristretto.total(
                ristretto.multiple(response, before),
                ristretto.multiple(challenge, after),
            ),
        )
    except (RuntimeError, ValueError) as error:
        raise _disproved(party) from error
    if challenge != _challenge(key, before, after, *commitments, context):
        raise _disproved(party)


def _disproved(party: str) -> LinkageError:
    return LinkageError(
        "its proof that it raised a whole set by one key does not hold",
        party=party,
        remedy="Start the run again; if it recurs, do without that node.",
    )


def _challenge(
    key: bytes, before: bytes, after: bytes, first: bytes, second: bytes, context: bytes
) -> bytes:
    """Hash the transcript of RFC 9497, 2.2.1, to a scalar."""
    parts = (key, before, after, first, second)
    transcript = b"".join(map(_framed, parts)) + b"Challenge"
    return ristretto.hash_to_scalar(transcript, b"HashToScalar-" + context)


def _framed(part: bytes) -> bytes:
    return len(part).to_bytes(2) + part
