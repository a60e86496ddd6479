"""The proof that x -> x^n permutes Z_n*, without which a modulus hides nothing.

Everybody may read and verify it; it gives nothing of p and q away. It follows that
gcd(n, phi(n)) = 1 and that n is square-free, so that a mask uniform in Z_n and a fresh
r^n hide a plaintext perfectly. With n = p²q, odd and of the right size, they do not:
its owner reads p-multiples through both.

Goldberg, Reyzin, Sagga, Baldimtsi, "Efficient Noninteractive Certification of RSA
Moduli and Beyond", eprint 2018/057, section 3.2: n has no prime factor below ALPHA,
and n-th roots of ROOTS elements, drawn from Z_n* by a hash, are shown. If a prime
divides both n and phi(n), a random element has a root with probability below
1 / ALPHA; ROOTS * log2(ALPHA) > 128. The hash takes in the party's name, so nobody can
claim another's modulus with the proof that came with it.
"""

import hashlib
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

from gmpy2 import gcd, mpz, powmod, primorial

from veilscore.keys.errors import InvalidKeyError
from veilscore.keys.paillier.fixed_width import read_integers
from veilscore.keys.paillier.public import DEFAULT_BITS, PublicKey, name_key

ALPHA: Final = 6370
ROOTS: Final = 11

_DOMAIN: Final = b"veilscore-paillier-modulus/1\0"
_EXTRA_BYTES: Final = 16  # the elements are uniform to within 2^-128
_REMEDY: Final = (
    "Do not use the key: its owner could read what must stay hidden. Ask the party for "
    "the card that `veilscore node init` made, and report it if that is the one."
)


@dataclass(frozen=True, slots=True)
class CertifiedModulus:
    """A party's modulus and its proof, as a card or a registry brings them."""

    modulus: bytes  # big-endian
    proof: bytes

    @property
    def key_id(self) -> bytes:
        """SHA-256 that names the key, whether or not its proof holds; 32 bytes."""
        return name_key(self.modulus)

    def key(self, party: str, minimum_bits: int = DEFAULT_BITS) -> PublicKey:
        """Return the key if its proof holds; else raises InvalidKeyError."""
        try:
            public = PublicKey.from_bytes(self.modulus, minimum_bits=minimum_bits)
        except InvalidKeyError as error:
            raise InvalidKeyError(
                error.what, party=party, remedy=error.remedy
            ) from error
        verify_modulus(public, party, self.proof)
        return public


def elements(public: PublicKey, party: str) -> list[mpz]:
    """Return the ROOTS elements whose n-th roots ``party`` has to show."""
    start = hashlib.shake_256(_DOMAIN)
    for part in (party.encode(), public.to_bytes()):
        start.update(len(part).to_bytes(4, "big") + part)
    width = public.residue_bytes + _EXTRA_BYTES
    stream = start.digest(ROOTS * width)
    return [mpz(value) % public.n for value in read_integers(stream, width)]


@lru_cache(maxsize=1024)
def verify_modulus(public: PublicKey, party: str, proof: bytes) -> None:
    """Raise InvalidKeyError unless ``proof`` shows that n-th powers permute Z_n*.

    ``proof`` holds ROOTS residues of n, big-endian, one after the other. Takes a
    quarter of a second at 3072 bits; a proof that holds is remembered.
    """
    if gcd(primorial(ALPHA), public.n) != 1:
        raise _invalid(party, "the Paillier modulus has a small factor")
    if len(proof) != ROOTS * public.residue_bytes:
        raise _invalid(party, "the Paillier modulus comes without its proof")
    roots = read_integers(proof, public.residue_bytes)
    pairs = zip(roots, elements(public, party), strict=True)
    for number, (root, element) in enumerate(pairs, start=1):
        if root >= public.n or powmod(root, public.n, public.n) != element:
            raise _invalid(
                party,
                "the proof that the Paillier modulus is well formed does not hold",
                f"root {number} of {ROOTS}",
            )


def _invalid(party: str, what: str, place: str = "") -> InvalidKeyError:
    return InvalidKeyError(what, party=party, place=place, remedy=_REMEDY)
