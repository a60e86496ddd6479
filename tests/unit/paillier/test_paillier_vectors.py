"""What python-paillier made once, bit for bit; ``tests/vectors/paillier`` says how."""

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from gmpy2 import powmod

from veilscore.keys.paillier.answer_noise import AnswerNoise, NoisePool
from veilscore.keys.paillier.histogram import histogram, weighted_products
from veilscore.keys.paillier.packing import shift_and_pack
from veilscore.keys.paillier.public import PublicKey

FILE = Path(__file__).parents[2] / "vectors/paillier/phe.json"


@dataclass(frozen=True)
class Vectors:
    """The file, as numbers."""

    key: PublicKey
    noise: list[int]
    values: list[int]
    factors: list[int]
    ciphertexts: list[int]
    total: int
    products: list[int]
    weighted_total: int


@pytest.fixture(scope="module")
def vectors() -> Vectors:
    read = json.loads(FILE.read_text(encoding="ascii"))

    def numbers(name: str) -> list[int]:
        return [int(number, 16) for number in read[name]]

    return Vectors(
        PublicKey(int(read["n"], 16)),
        numbers("noise"),
        numbers("values"),
        read["factors"],
        numbers("ciphertexts"),
        int(read["total"], 16),
        numbers("products"),
        int(read["weighted_total"], 16),
    )


def test_the_same_noise_gives_the_same_ciphertexts(vectors: Vectors) -> None:
    key = vectors.key
    noise = [AnswerNoise(int(powmod(r, key.n, key.n_squared))) for r in vectors.noise]
    residues = [key.to_residue(value) for value in vectors.values]
    assert key.add_plain(noise, residues) == vectors.ciphertexts
    unblinded = key.add_plain([1] * len(residues), residues)
    assert NoisePool(key, noise).rerandomise(unblinded) == vectors.ciphertexts


def test_ciphertexts_of_phe_pass_the_wire(vectors: Vectors) -> None:
    key = vectors.key
    blob = key.encode(vectors.ciphertexts)
    assert key.decode(blob, len(vectors.values)) == vectors.ciphertexts


def test_sums_are_the_same(vectors: Vectors) -> None:
    key, ciphertexts = vectors.key, vectors.ciphertexts
    total = ciphertexts[:1]
    for ciphertext in ciphertexts[1:]:
        total = key.add(total, [ciphertext])
    assert total == [vectors.total]
    bins = np.zeros((len(ciphertexts), 1), np.int64)
    assert histogram(key, ciphertexts, bins, [1]) == [total]
    assert shift_and_pack(key, ciphertexts, 0) == vectors.total


def test_products_are_the_same(vectors: Vectors) -> None:
    key, factors = vectors.key, np.array(vectors.factors)
    assert weighted_products(key, vectors.ciphertexts, np.diag(factors)) == (
        vectors.products
    )
    together = weighted_products(key, vectors.ciphertexts, factors[None, :])
    assert together == [vectors.weighted_total]
