"""Shamir's secret sharing of 16 bytes: the only importer of pycryptodome.

Shares are points of a polynomial over GF(2^128) whose value at 0 is the secret; the
member at place i of the roster, from 1, holds its value at i. Fewer than ``threshold``
shares say nothing (Shamir, "How to share a secret", 1979).

Each share is committed to by its dealer, in public. So a member sees at once that it
was dealt another one, whoever reveals another is named, and if all are right but give
another secret than the dealer promised, the dealer is. Shares are as random as the
secret, so that a hash hides them.
"""

import hashlib
from collections.abc import Mapping
from typing import Final

from Crypto.Protocol.SecretSharing import Shamir

SECRET: Final = 16  # bytes, of secrets and shares

MASK_KEY: Final = b"mask key"
SELF_MASK: Final = b"self mask"


def split(secret: bytes, threshold: int, count: int) -> list[bytes]:
    """Return the shares at 1 to ``count``."""
    return [share for _, share in Shamir.split(threshold, count, secret, ssss=False)]


def combine(shares: Mapping[int, bytes], threshold: int) -> bytes:
    """Return the secret from shares by index; raises ValueError on too few.

    Wrong shares give a wrong secret: the caller compares it with what was promised.
    """
    if len(shares) < threshold or min(shares) < 1:
        raise ValueError(f"{threshold} shares with indices from 1 are needed")
    # The library interpolates through all it is given; more only take longer.
    used = sorted(shares.items())[:threshold]
    return Shamir.combine(used, ssss=False)


def commit(
    context: bytes, dealer: str, holder: str, what: bytes, share: bytes
) -> bytes:
    """Return the commitment to a share; each is bound to its place."""
    bound = b"\0".join((dealer.encode(), holder.encode(), what))
    return hashlib.sha256(
        b"veilscore-share/1\0" + context + bound + b"\0" + share
    ).digest()
