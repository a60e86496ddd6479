"""The private half of a Paillier key: generation, storage, decryption.

Whoever holds it reads everything under its key. The bytes of ``to_bytes`` are the
secret itself: they go into the keystore or over a pipe to a worker, nowhere else.

GMP's powers do not take constant time, and nothing waits for a fixed cadence: how long
a step took, which peers see, covers all of its decryptions.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final, Self

import phe
from gmpy2 import gcd, invert, is_prime, mpz, powmod, powmod_base_list

from veilscore.keys.errors import InvalidKeyError
from veilscore.keys.paillier.fixed_width import write_integers
from veilscore.keys.paillier.modulus_proof import CertifiedModulus, elements
from veilscore.keys.paillier.public import (
    DEFAULT_BITS,
    MAXIMUM_BITS,
    MINIMUM_BITS,
    PublicKey,
)

_VERSION: Final = b"\x01"


@dataclass(frozen=True, slots=True, repr=False)
class PrivateKey:
    """Two primes and the public key of their product; equal if the products are.

    Raises InvalidKeyError for numbers that make no Paillier key.
    """

    p: int = field(compare=False)
    q: int = field(compare=False)
    public: PublicKey = field(init=False)

    def __post_init__(self) -> None:
        """Refuse what makes no key."""
        object.__setattr__(self, "public", PublicKey(self.p * self.q))
        # Without gcd(n, phi(n)) = 1 decryption is not unique (Paillier, 1999).
        if (
            not is_prime(self.p)
            or not is_prime(self.q)
            or gcd(self.public.n, (self.p - 1) * (self.q - 1)) != 1
        ):
            raise _broken("these numbers are not the primes of a Paillier key")

    def __repr__(self) -> str:
        """Name the key, tell no secret."""
        return f"PrivateKey({self.public!r})"

    @classmethod
    def generate(cls, bits: int = DEFAULT_BITS) -> Self:
        """Make a key of random primes with python-paillier; takes up to seconds.

        ``safe_primes`` makes one that encrypts faster. Raises InvalidKeyError for a
        size that is odd or not allowed.
        """
        check_size(bits)
        return cls.from_phe(phe.generate_paillier_keypair(n_length=bits)[1])

    @property
    def has_safe_primes(self) -> bool:
        """Whether (p - 1) / 2 and (q - 1) / 2 are prime too.

        Found out from the primes each time, because a record of it could be wrong; some
        milliseconds.
        """
        return all(is_prime(prime // 2) for prime in (self.p, self.q))

    @classmethod
    def from_phe(cls, key: phe.PaillierPrivateKey) -> Self:
        """Take over a private key of python-paillier."""
        return cls(key.p, key.q)

    def to_phe(self) -> phe.PaillierPrivateKey:
        """Return the same private key for python-paillier."""
        return phe.PaillierPrivateKey(self.public.to_phe(), self.p, self.q)

    def to_bytes(self) -> bytes:
        """Return the secret: version byte 1, then both primes at equal width."""
        width = (max(self.p, self.q).bit_length() + 7) // 8
        return _VERSION + self.p.to_bytes(width, "big") + self.q.to_bytes(width, "big")

    @classmethod
    def from_bytes(cls, blob: bytes) -> Self:
        """Read what ``to_bytes`` wrote; raises InvalidKeyError for anything else."""
        version, primes = blob[:1], blob[1:]
        if version != _VERSION or not primes or len(primes) > MAXIMUM_BITS // 4:
            raise _broken("this is not a stored Paillier key of format 1")
        width = len(primes) // 2
        key = cls(
            int.from_bytes(primes[:width], "big"), int.from_bytes(primes[width:], "big")
        )
        if key.to_bytes() != blob:
            raise _broken("this stored Paillier key is not in its canonical form")
        return key

    def certify(self, party: str) -> CertifiedModulus:
        """Return the modulus with the proof by which others accept it as ``party``'s.

        See ``modulus_proof``; a third of a second at 3072 bits.
        """
        public = self.public
        exponent = invert(public.n, (self.p - 1) * (self.q - 1))
        roots = (
            powmod(element, exponent, public.n) for element in elements(public, party)
        )
        proof = write_integers(roots, public.residue_bytes)
        return CertifiedModulus(public.to_bytes(), proof)

    def decrypt(self, ciphertexts: Sequence[int]) -> list[int]:
        """Return the residue in [0, n) of each ciphertext of this key.

        By the Chinese remainder theorem (Paillier, 1999, section 7): about 10 ms each
        at 3072 bits, during which other threads run.
        """
        p, q = mpz(self.p), mpz(self.q)
        p_inverse = invert(p, q)
        return [
            int(low + p * ((high - low) * p_inverse % q))
            for low, high in zip(
                _decrypt_at(p, q, ciphertexts),
                _decrypt_at(q, p, ciphertexts),
                strict=True,
            )
        ]

    @property
    def small_bits(self) -> int:
        """Size of the largest plaintext that ``decrypt_small`` reads, sign apart."""
        return self.p.bit_length() - 2

    def decrypt_small(self, ciphertexts: Sequence[int]) -> list[int]:
        """Return the residues of plaintexts up to ``small_bits``, in half the time.

        Modulo one prime these are all there. A larger plaintext comes out as some
        other: whoever calls this needs bits that must be zero to tell.
        """
        p, n = self.p, self.public.n
        return [
            small if small <= p // 2 else n + small - p
            for small in map(int, _decrypt_at(mpz(p), mpz(self.q), ciphertexts))
        ]


def check_size(bits: int) -> None:
    """Raise InvalidKeyError unless keys of this size may be made."""
    if bits % 2 or not MINIMUM_BITS <= bits <= MAXIMUM_BITS:
        raise InvalidKeyError(
            f"a Paillier key of {bits} bits is not allowed",
            remedy=f"Choose {DEFAULT_BITS} bits.",
        )


def _decrypt_at(prime: mpz, cofactor: mpz, ciphertexts: Sequence[int]) -> list[mpz]:
    """Return the plaintexts modulo one prime of n = prime * cofactor."""
    square = prime * prime
    powers = powmod_base_list(
        [ciphertext % square for ciphertext in ciphertexts], prime - 1, square
    )
    # (1+n)^(prime-1) = 1 + n(prime-1) mod prime^2, so Paillier's L of it is -cofactor.
    scale = invert(-cofactor, prime)
    return [(power - 1) // prime * scale % prime for power in powers]


def _broken(what: str) -> InvalidKeyError:
    return InvalidKeyError(what, remedy="Restore the key from a backup or make one.")
