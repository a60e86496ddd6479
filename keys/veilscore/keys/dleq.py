"""Proof that one secret scalar leads from every point of a list to its counterpart.

The batched proof of equal discrete logarithms of RFC 9497, section 2.2, over
ristretto255 and SHA-512. A verifier learns that one scalar leads from the base point to
a public key and from each point before to the point after, and nothing about the
scalar. For lists of a few points; ``small_exponents`` makes few of many.
"""

import hashlib
from collections.abc import Sequence
from functools import reduce
from typing import Final

from veilscore.keys import ristretto
from veilscore.keys.errors import LinkageError
from veilscore.keys.ristretto import SCALAR

PROOF: Final = 2 * SCALAR

_CONTEXT: Final = b"veilscore-alignment/1-ristretto255-SHA512"


def prove(
    scalar: bytes,
    before: Sequence[bytes],
    after: Sequence[bytes],
    context: bytes = _CONTEXT,
) -> bytes:
    """Return the proof that ``after`` is ``before`` raised by ``scalar``.

    ``context`` separates protocols: a proof for one does not verify in another.
    """
    key = ristretto.base_multiple(scalar)
    composites = _composites(key, before, after, context)
    nonce = ristretto.random_scalar()
    commitments = (
        ristretto.base_multiple(nonce),
        ristretto.multiple(nonce, composites[0]),
    )
    challenge = _challenge(key, *composites, *commitments, context)
    return challenge + ristretto.difference_of_product(nonce, challenge, scalar)


def verify(
    key: bytes,
    before: Sequence[bytes],
    after: Sequence[bytes],
    proof: bytes,
    party: str,
    context: bytes = _CONTEXT,
) -> None:
    """Raise LinkageError naming ``party`` unless one scalar leads to all of it."""
    challenge, response = proof[:SCALAR], proof[SCALAR:]
    try:
        composites = _composites(key, before, after, context)
        commitments = (
            ristretto.total(
                ristretto.base_multiple(response), ristretto.multiple(challenge, key)
            ),
            ristretto.total(
                ristretto.multiple(response, composites[0]),
                ristretto.multiple(challenge, composites[1]),
            ),
        )
        holds = challenge == _challenge(key, *composites, *commitments, context)
    except (RuntimeError, ValueError):
        holds = False
    if not holds:
        raise LinkageError(
            "its proof that it raised whole sets by one key does not hold",
            party=party,
            remedy="Start the run again; if it recurs, do without that node.",
        )


def _composites(
    key: bytes, before: Sequence[bytes], after: Sequence[bytes], context: bytes
) -> tuple[bytes, bytes]:
    """Combine both lists by coefficients hashed from all pairs: ComputeComposites."""
    seed = hashlib.sha512(_framed(key) + _framed(b"Seed-" + context)).digest()
    terms: list[tuple[bytes, bytes]] = []
    for index, pair in enumerate(zip(before, after, strict=True)):
        transcript = _framed(seed) + index.to_bytes(2) + b"".join(map(_framed, pair))
        coefficient = _to_scalar(transcript + b"Composite", context)
        first, second = (ristretto.multiple(coefficient, point) for point in pair)
        terms.append((first, second))
    befores, afters = zip(*terms, strict=True)
    return reduce(ristretto.total, befores), reduce(ristretto.total, afters)


def _challenge(
    key: bytes, before: bytes, after: bytes, first: bytes, second: bytes, context: bytes
) -> bytes:
    """Hash the transcript of section 2.2.1 to a scalar."""
    parts = (key, before, after, first, second)
    return _to_scalar(b"".join(map(_framed, parts)) + b"Challenge", context)


def _to_scalar(transcript: bytes, context: bytes) -> bytes:
    return ristretto.hash_to_scalar(transcript, b"HashToScalar-" + context)


def _framed(part: bytes) -> bytes:
    return len(part).to_bytes(2) + part
