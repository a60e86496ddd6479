"""Noise for answers that were computed from a peer's ciphertexts.

An answer goes back to the owner of the key, who knows p, q and the noise it put into
its own ciphertexts. Only a fresh r^n with r uniform in Z_n* makes the answer depend on
nothing but its plaintext, for every n whose n-th powers permute Z_n*: powers of one
fixed h, of any length, let an owner with smooth p - 1, q - 1 read secret weights.

Each value is used once: two answers under one r^n give away their quotient. A pool
hands no noise out, it only multiplies it in, and nothing here can be stored.
"""

import secrets
from collections import deque
from collections.abc import Iterable, Sequence
from typing import NewType

from gmpy2 import gcd, powmod_base_list

from veilscore.keys.paillier.public import PublicKey

AnswerNoise = NewType("AnswerNoise", int)
"""A value r^n mod n² that was never used; made by ``draw_noise`` only."""


def draw_noise(public: PublicKey, count: int) -> list[AnswerNoise]:
    """Draw fresh noise; about 45 ms each at 3072 bits, during which threads run."""
    drawn: list[int] = []
    while len(drawn) < count:
        r = secrets.randbelow(public.n)
        if gcd(r, public.n) == 1:
            drawn.append(r)
    powers = powmod_base_list(drawn, public.n, public.n_squared)
    return [AnswerNoise(int(power)) for power in powers]


class NoisePool:
    """Unused noise of one key; safe to share between threads."""

    def __init__(self, public: PublicKey, noise: Iterable[AnswerNoise] = ()) -> None:
        self._public = public
        self._unused = deque(noise)  # its append and popleft are atomic

    def __len__(self) -> int:
        """Count what is left."""
        return len(self._unused)

    def fill(self, noise: Iterable[AnswerNoise]) -> None:
        """Add noise that was drawn for this pool."""
        self._unused.extend(noise)

    def rerandomise(self, ciphertexts: Sequence[int]) -> list[int]:
        """Re-randomise from the first on, as many as there is noise for."""
        noise: list[int] = []
        while len(noise) < len(ciphertexts):
            try:
                noise.append(self._unused.popleft())
            except IndexError:
                break
        return self._public.add(ciphertexts[: len(noise)], noise)
