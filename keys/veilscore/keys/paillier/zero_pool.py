"""Encryptions of zero made beforehand, for a party's own plaintexts.

Whoever owns the key makes them by ``owner_noise``, others by ``peer_noise``. A pool
hands none out, it only adds plaintexts to them, each once: what it gives are fresh
encryptions. It takes no ciphertexts, so it cannot serve for answers.
"""

from collections import deque
from collections.abc import Iterable, Sequence
from typing import NewType

from veilscore.keys.paillier.public import PublicKey

FreshZero = NewType("FreshZero", int)
"""An encryption of zero that was never used; made by the two encryptors only."""


class ZeroPool:
    """Unused encryptions of zero under one key; safe to share between threads."""

    def __init__(self, public: PublicKey) -> None:
        self._public = public
        self._unused = deque[FreshZero]()  # its extend and popleft are atomic

    def __len__(self) -> int:
        """Count what is left."""
        return len(self._unused)

    def fill(self, zeros: Iterable[FreshZero]) -> None:
        """Add what was made for this pool."""
        self._unused.extend(zeros)

    def encrypt(self, plaintexts: Sequence[int]) -> list[int]:
        """Encrypt residues in [0, n) from the first on, as many as there are zeros for.

        Raises PlaintextRangeError for any other.
        """
        zeros: list[FreshZero] = []
        while len(zeros) < len(plaintexts):
            try:
                zeros.append(self._unused.popleft())
            except IndexError:
                break
        return self._public.add_plain(zeros, plaintexts[: len(zeros)])
