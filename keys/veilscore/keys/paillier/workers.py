"""Paillier work of a node, done in niced worker processes.

The methods block and may be called from any thread; each cuts its work into chunks of
a few tenths of a second, so that calls share the processes.
Tables live in the workers' memory only, and so do private keys but the caller's own.

Ciphertexts are checked ones (``PublicKey.decode``), plaintexts are residues. Every
method raises WorkerError when a process is lost or the workers are closed.
"""

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from itertools import chain
from threading import Lock
from typing import Final, Self, TypeVar

import numpy as np
from numpy.typing import NDArray

from veilscore.keys.paillier import operations
from veilscore.keys.paillier.answer_noise import AnswerNoise, NoisePool, draw_noise
from veilscore.keys.paillier.histogram import (
    Bins,
    histogram,
    multiplications,
    weighted_products,
)
from veilscore.keys.paillier.powers import weighted_sum
from veilscore.keys.paillier.private import PrivateKey
from veilscore.keys.paillier.public import PublicKey
from veilscore.keys.paillier.stock import Stock
from veilscore.keys.paillier.worker_pool import WorkerPool
from veilscore.keys.paillier.zero_pool import FreshZero, ZeroPool

_R = TypeVar("_R")

# Items of a chunk: at 3072 bits a few tenths of a second, a histogram's under one.
_ENCRYPTIONS: Final = 128
_ZEROS: Final = 16  # so that a call does not wait for many of them
_DECRYPTIONS: Final = 32
_NOISE: Final = 4
_HISTOGRAM_ROWS: Final = 8192  # fewer rows can share fewer columns
_WEIGHTS: Final = 4096


class _Ready:
    """What is made ahead for one key: noise for answers, zeros to encrypt with."""

    def __init__(
        self, public: PublicKey, zeros: Callable[[int], list[FreshZero]]
    ) -> None:
        self.noise = NoisePool(public)
        self.zeros = ZeroPool(public)
        self.noise_stock = Stock(self.noise, partial(draw_noise, public), _NOISE)
        self.zeros_stock = Stock(self.zeros, zeros, _ZEROS)


class PaillierWorkers:
    """``processes`` workers; 0 works in the caller's thread, for tests."""

    def __init__(self, processes: int) -> None:
        self._pool = WorkerPool(processes)
        self.lanes = max(1, processes)  # what is done at once
        self._own: dict[PublicKey, _Ready] = {}
        self._peers: dict[PublicKey, _Ready] = {}
        self._stocking = Lock()  # guards the dicts and their stocks

    def __enter__(self) -> Self:
        """Leave the block to close the workers."""
        return self

    def __exit__(self, *reason: object) -> None:
        """Close the workers."""
        self.close()

    def encrypt_own(
        self,
        private: PrivateKey,
        plaintexts: Sequence[int],
    ) -> list[int]:
        """Encrypt under the caller's own key.

        At 3072 bits about .2 ms each if it has safe primes, otherwise 1 ms.
        """
        work = partial(operations.encrypt_own, private.to_bytes())
        return self._encrypt(self._own.get(private.public), work, plaintexts)

    def prefill_own(self, private: PrivateKey, count: int) -> None:
        """Have ``encrypt_own`` of so many plaintexts wait for nobody, soon."""
        with self._stocking:
            ready = self._own.get(private.public)
            if ready is None:
                make = partial(operations.zeros_own, private.to_bytes())
                ready = self._own[private.public] = _Ready(private.public, make)
            ready.zeros_stock.order(self._pool, count)

    def encrypt_for(
        self,
        public: PublicKey,
        plaintexts: Sequence[int],
    ) -> list[int]:
        """Encrypt the caller's own plaintexts under a peer's key.

        Never for what was computed from the peer's ciphertexts; see ``rerandomise``.
        """
        work = partial(operations.encrypt_for, public)
        return self._encrypt(self._peers.get(public), work, plaintexts)

    def prefill_for(self, public: PublicKey, count: int) -> None:
        """Have ``encrypt_for`` of so many plaintexts wait for nobody, soon."""
        with self._stocking:
            self._peer(public).zeros_stock.order(self._pool, count)

    def decrypt(
        self,
        private: PrivateKey,
        ciphertexts: Sequence[int],
    ) -> list[int]:
        """Return the residues in [0, n) of ciphertexts under the caller's key."""
        work = partial(operations.decrypt, private.to_bytes())
        return self._map(work, ciphertexts, _DECRYPTIONS)

    def fresh_noise(self, public: PublicKey, count: int) -> list[AnswerNoise]:
        """Draw r^n mod n², each value for one use; about 45 ms each at 3072 bits."""
        jobs = [
            partial(draw_noise, public, len(part))
            for part in self._cut(range(count), _NOISE)
        ]
        return list(chain.from_iterable(self._do(jobs)))

    def prefill(self, public: PublicKey, count: int) -> None:
        """Have ``count`` values of noise for answers made while nothing else runs."""
        with self._stocking:
            self._peer(public).noise_stock.order(self._pool, count)

    def rerandomise(
        self,
        public: PublicKey,
        ciphertexts: Sequence[int],
    ) -> list[int]:
        """Multiply each answer by an r^n of its own: prefilled ones, then fresh."""
        with self._stocking:
            ready = self._peer(public)
            answers = ready.noise.rerandomise(ciphertexts)
            ready.noise_stock.recall(len(ciphertexts) - len(answers))
        rest = ciphertexts[len(answers) :]
        noise = self.fresh_noise(public, len(rest))
        return answers + NoisePool(public, noise).rerandomise(rest)

    def histogram(
        self,
        public: PublicKey,
        ciphertexts: Sequence[int],
        bins: Bins,
        widths: Sequence[int],
    ) -> list[list[int]]:
        """Sum ciphertexts per bin of every column; see ``histogram.histogram``."""
        if len(bins) != len(ciphertexts):
            raise ValueError("one row of bins per ciphertext")
        jobs = [
            partial(
                histogram,
                public,
                ciphertexts[rows.start : rows.stop],
                bins[rows.start : rows.stop],
                widths,
            )
            for rows in self._cut(range(len(ciphertexts)), _HISTOGRAM_ROWS)
        ]
        sums = [[1] * width for width in widths]
        for part in self._do(jobs):
            sums = [public.add(one, two) for one, two in zip(sums, part, strict=True)]
        return sums

    def multiplications(self, rows: int, widths: Sequence[int]) -> int:
        """Return about how many multiplications ``histogram`` takes in all workers."""
        parts = self._cut(range(rows), _HISTOGRAM_ROWS)
        return sum(multiplications(len(part), widths) for part in parts)

    def weighted_products(
        self,
        public: PublicKey,
        bases: Sequence[int],
        exponents: NDArray[np.int64],
    ) -> list[int]:
        """Return one encrypted weighted sum a row of ``exponents``.

        See ``histogram.weighted_products``.
        """
        largest = max(1, _WEIGHTS // max(1, len(bases)))
        jobs = [
            partial(weighted_products, public, bases, exponents[rows.start : rows.stop])
            for rows in self._cut(range(len(exponents)), largest)
        ]
        return list(chain.from_iterable(self._do(jobs)))

    def weighted_sums(
        self, public: PublicKey, rows: Sequence[Sequence[int]], weights: Sequence[int]
    ) -> list[int]:
        """Return one encrypted weighted sum a row of ciphertexts.

        See ``powers.weighted_sum``.
        """
        return self._do([partial(weighted_sum, public, row, weights) for row in rows])

    def drop(self, public: PublicKey) -> None:
        """Forget the key's noise, and all tables and private keys in the workers."""
        with self._stocking:
            dropped = [self._own.pop(public, None), self._peers.pop(public, None)]
        for ready in dropped:
            if ready:
                ready.noise_stock.cancel()
                ready.zeros_stock.cancel()
        self._pool.replace_processes()
        operations.forget()

    def close(self) -> None:
        """End the workers at once and forget all noise."""
        self._pool.close()
        self._own.clear()
        self._peers.clear()

    def _peer(self, public: PublicKey) -> _Ready:
        if public not in self._peers:
            make = partial(operations.zeros_for, public)
            self._peers[public] = _Ready(public, make)
        return self._peers[public]

    def _encrypt(
        self,
        ready: _Ready | None,
        work: Callable[[Sequence[int]], list[int]],
        plaintexts: Sequence[int],
    ) -> list[int]:
        """Encrypt with what was made ahead, and the rest now."""
        done = ready.zeros.encrypt(plaintexts) if ready else []
        return done + self._map(work, plaintexts[len(done) :], _ENCRYPTIONS)

    def _cut(self, items: range, largest: int) -> Iterator[range]:
        """Cut into equal ranges of at most ``largest``, as many for each process."""
        rounds = max(1, -(-len(items) // (largest * self.lanes)))
        size = max(1, -(-len(items) // (rounds * self.lanes)))
        return (items[start : start + size] for start in range(0, len(items), size))

    def _map(
        self,
        work: Callable[[Sequence[int]], list[int]],
        items: Sequence[int],
        largest: int,
    ) -> list[int]:
        jobs = [
            partial(work, items[part.start : part.stop])
            for part in self._cut(range(len(items)), largest)
        ]
        return list(chain.from_iterable(self._do(jobs)))

    def _do(self, jobs: Sequence[Callable[[], _R]]) -> list[_R]:
        """Return the results in order; after a failure no further job is begun."""
        futures = [
            self._pool.submit(work, chunk=chunk) for chunk, work in enumerate(jobs)
        ]
        try:
            return [future.result() for future in futures]
        finally:
            for future in futures:
                future.cancel()
