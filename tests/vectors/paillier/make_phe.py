"""Write phe.json: ciphertexts, sums and products made by plain python-paillier.

Public values only: the key was made for this, and its primes were forgotten. Decryption
needs primes, so it is compared at test time under a key made there
(``test_paillier_phe_interop``). Run it from the repository's root:

    python tests/vectors/paillier/make_phe.py
"""

import json
import secrets
from pathlib import Path

import phe

FILE = Path(__file__).with_name("phe.json")
VALUES = (0, 1, -1, 7, -600, 1 << 60, -(1 << 700), 1 << 2000)
FACTORS = (1, 2, -1, 3, -5, 1 << 20, -(1 << 31), 0)


def main() -> None:
    public, _ = phe.generate_paillier_keypair(n_length=2048)
    noise = [1 + secrets.randbelow(public.n - 1) for _ in VALUES]
    numbers = [
        public.encrypt(value, r_value=r) for value, r in zip(VALUES, noise, strict=True)
    ]
    weighted = [
        number * factor for number, factor in zip(numbers, FACTORS, strict=True)
    ]
    vectors = {
        "n": hex(public.n),
        "noise": [hex(r) for r in noise],
        "values": [hex(value) for value in VALUES],
        "factors": list(FACTORS),
        "ciphertexts": [_bare(number) for number in numbers],
        "total": _bare(sum(numbers[1:], start=numbers[0])),
        "products": [_bare(number) for number in weighted],
        "weighted_total": _bare(sum(weighted[1:], start=weighted[0])),
    }
    FILE.write_text(json.dumps(vectors, indent=1) + "\n", encoding="ascii")


def _bare(number: phe.EncryptedNumber) -> str:
    """Return the ciphertext as arithmetic left it, which is not safe to send."""
    return hex(number.ciphertext(be_secure=False))


if __name__ == "__main__":
    main()
