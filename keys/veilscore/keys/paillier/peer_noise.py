"""Fresh encryption of a party's own plaintexts under somebody else's key.

Noise is a random power of h^n with exponents of half the modulus' length (Damgård,
Jurik, Nielsen, "A generalization of Paillier's public-key system", 2010). The encryptor
draws h = -x² itself: an h that came with the key could be chosen to be weak.

Never for answers: towards the owner of the key these powers hide nothing about
ciphertexts they are multiplied to, when p - 1 and q - 1 are smooth. So nothing in this
module takes a ciphertext, nor does ``zero_pool``, where encryptions of zero may wait;
``answer_noise`` is for answers.
"""

import secrets
from collections.abc import Sequence

from gmpy2 import mpz, powmod

from veilscore.keys.paillier.comb import FixedBase
from veilscore.keys.paillier.public import PublicKey
from veilscore.keys.paillier.zero_pool import FreshZero


class PeerEncryptor:
    """Tables of one public key; building them takes a fraction of a second."""

    def __init__(self, public: PublicKey) -> None:
        self._public = public
        x = 1 + secrets.randbelow(public.n - 1)
        h = mpz(-x * x % public.n)
        base = powmod(h, public.n, public.n_squared)
        self._zeros = FixedBase(base, mpz(public.n), (public.bits + 1) // 2)

    def encrypt(self, plaintexts: Sequence[int]) -> list[int]:
        """Encrypt residues in [0, n), each with fresh noise.

        Raises PlaintextRangeError for any other.
        """
        return self._public.add_plain(self.zeros(len(plaintexts)), plaintexts)

    def zeros(self, count: int) -> list[FreshZero]:
        """Return fresh encryptions of zero, each for one use."""
        return [FreshZero(int(self._zeros.random_power())) for _ in range(count)]
