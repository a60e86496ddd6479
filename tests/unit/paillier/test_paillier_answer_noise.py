"""Noise for answers: fresh n-th powers, each used once, never those of a fixed h."""

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import pytest
from gmpy2 import mpz, powmod

from veilscore.keys.paillier.answer_noise import AnswerNoise, NoisePool, draw_noise
from veilscore.keys.paillier.owner_noise import OwnerEncryptor
from veilscore.keys.paillier.private import PrivateKey
from veilscore.keys.paillier.public import PublicKey


def test_noise_is_n_th_powers(private: PrivateKey) -> None:
    key = private.public
    order = (private.p - 1) * (private.q - 1)
    noise = draw_noise(key, 4)
    assert len(set(noise)) == 4
    assert all(powmod(value, order, key.n_squared) == 1 for value in noise)
    assert draw_noise(key, 0) == []


def test_only_units_are_drawn(
    private: PrivateKey, monkeypatch: pytest.MonkeyPatch
) -> None:
    key = private.public
    draws = iter([0, private.p, 3 * private.q, 2, 5])

    def randbelow(bound: int) -> int:
        assert bound == key.n
        return next(draws)

    monkeypatch.setattr(
        "veilscore.keys.paillier.answer_noise.secrets.randbelow", randbelow
    )
    expected = [powmod(mpz(r), key.n, key.n_squared) for r in (2, 5)]
    assert draw_noise(key, 2) == expected


def test_answers_change_and_their_plaintexts_do_not(private: PrivateKey) -> None:
    key = private.public
    ciphertexts = OwnerEncryptor(private).encrypt([1, 2, 3])
    pool = NoisePool(key, draw_noise(key, 3))
    answers = pool.rerandomise(ciphertexts)
    assert not set(answers) & set(ciphertexts)
    assert private.decrypt(answers) == [1, 2, 3]
    assert len(pool) == 0


def test_a_pool_answers_as_far_as_its_noise_goes(private: PrivateKey) -> None:
    pool = NoisePool(private.public, map(AnswerNoise, [11, 12, 13]))
    assert pool.rerandomise([1, 1]) == [11, 12]
    assert pool.rerandomise([1, 1]) == [13]
    assert pool.rerandomise([1, 1]) == []
    pool.fill([AnswerNoise(14), AnswerNoise(15)])
    assert pool.rerandomise([1]) == [14]
    assert len(pool) == 1


def test_no_noise_is_used_twice_by_many_threads(private: PrivateKey) -> None:
    pool = NoisePool(private.public)

    def use(seed: int) -> list[int]:
        pool.fill(AnswerNoise(1000 * seed + number) for number in range(1, 401))
        used: list[int] = []
        while len(used) < 400:
            used += pool.rerandomise([1] * min(1 + seed % 3, 400 - len(used)))
        return used

    with ThreadPoolExecutor(8) as threads:
        used = [value for part in threads.map(use, range(1, 9)) for value in part]
    assert len(used) == len(set(used)) == 3200
    assert len(pool) == 0


def test_the_answer_path_cannot_reach_noise_of_a_fixed_h() -> None:
    code = (
        "import sys, veilscore.keys.paillier.answer_noise\n"
        "print(sorted(m for m in sys.modules if m.startswith('veilscore.keys.')))"
    )
    loaded = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    ).stdout
    assert "answer_noise" in loaded
    assert "peer_noise" not in loaded
    assert "comb" not in loaded


def test_the_public_half_does_not_load_the_private_half() -> None:
    code = "import sys, veilscore.keys.paillier.public; print(sorted(sys.modules))"
    loaded = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    ).stdout
    assert "'veilscore.keys.paillier.public'" in loaded
    assert "'veilscore.keys.paillier.private'" not in loaded


def test_pools_of_different_keys_share_nothing(
    private: PrivateKey, stranger: PrivateKey
) -> None:
    first, second = (NoisePool(PublicKey(k.public.n)) for k in (private, stranger))
    first.fill([AnswerNoise(2)])
    assert second.rerandomise([1]) == []
    assert first.rerandomise([1]) == [2]
