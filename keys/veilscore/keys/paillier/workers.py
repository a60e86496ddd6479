"""Paillier work of a node, done in niced worker processes.

The methods block and may be called from any thread; each cuts its work into chunks of
a few tenths of a second, so that calls share the processes.
Tables, and private keys while they are used, live in the workers' memory only.

Ciphertexts are checked ones (``PublicKey.decode``), plaintexts are residues. Every
method raises WorkerError when a process is lost or the workers are closed.
"""

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from functools import partial
from itertools import chain
from threading import Lock
from typing import Final, Self, TypeVar

import numpy as np
from numpy.typing import NDArray

from veilscore.keys.paillier import operations
from veilscore.keys.paillier.answer_noise import AnswerNoise, NoisePool, draw_noise
from veilscore.keys.paillier.histogram import Bins, histogram, weighted_products
from veilscore.keys.paillier.private import PrivateKey
from veilscore.keys.paillier.public import PublicKey
from veilscore.keys.paillier.worker_pool import WorkerPool

_R = TypeVar("_R")

# Items of a chunk: at 3072 bits a few tenths of a second, a histogram's under one.
_ENCRYPTIONS: Final = 128
_DECRYPTIONS: Final = 32
_NOISE: Final = 4
_HISTOGRAM_ROWS: Final = 8192  # fewer rows can share fewer columns
_WEIGHTS: Final = 4096


@dataclass(slots=True)
class _Stock:
    """Noise of one key: unused, and the jobs under way with their sizes."""

    pool: NoisePool
    making: list[tuple[int, Future[list[AnswerNoise]]]] = field(
        default_factory=list[tuple[int, Future[list[AnswerNoise]]]]
    )


class PaillierWorkers:
    """``processes`` workers; 0 works in the caller's thread, for tests."""

    def __init__(self, processes: int) -> None:
        self._pool = WorkerPool(processes)
        self._lanes = max(1, processes)
        self._stocks: dict[PublicKey, _Stock] = {}
        self._stocking = Lock()  # guards the dict and its stocks

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
        return self._map(work, plaintexts, _ENCRYPTIONS)

    def encrypt_for(
        self,
        public: PublicKey,
        plaintexts: Sequence[int],
    ) -> list[int]:
        """Encrypt the caller's own plaintexts under a peer's key; never answers."""
        work = partial(operations.encrypt_for, public)
        return self._map(work, plaintexts, _ENCRYPTIONS)

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
            stock = self._stock(public)
            stock.making = [item for item in stock.making if not item[1].done()]
            missing = count - len(stock.pool) - sum(size for size, _ in stock.making)
            for start in range(0, missing, _NOISE):
                size = min(_NOISE, missing - start)
                job = self._pool.submit(
                    partial(draw_noise, public, size), background=True
                )
                job.add_done_callback(partial(_fill, stock.pool))
                stock.making.append((size, job))

    def rerandomise(
        self,
        public: PublicKey,
        ciphertexts: Sequence[int],
    ) -> list[int]:
        """Multiply each answer by an r^n of its own: prefilled ones, then fresh."""
        with self._stocking:
            stock = self._stock(public)
            answers = stock.pool.rerandomise(ciphertexts)
            missing = len(ciphertexts) - len(answers)
            for size, job in stock.making:  # else it would be made twice
                if missing > 0 and job.cancel():
                    missing -= size
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

    def drop(self, public: PublicKey) -> None:
        """Forget the key's noise, and all tables and private keys in the workers."""
        with self._stocking:
            stock = self._stocks.pop(public, None)
        for _, job in stock.making if stock else ():
            job.cancel()
        self._pool.replace_processes()
        operations.forget()

    def close(self) -> None:
        """End the workers at once and forget all noise."""
        self._pool.close()
        self._stocks.clear()

    def _stock(self, public: PublicKey) -> _Stock:
        return self._stocks.setdefault(public, _Stock(NoisePool(public)))

    def _cut(self, items: range, largest: int) -> Iterator[range]:
        """Cut into equal ranges of at most ``largest``, as many for each process."""
        rounds = max(1, -(-len(items) // (largest * self._lanes)))
        size = max(1, -(-len(items) // (rounds * self._lanes)))
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


def _fill(pool: NoisePool, made: Future[list[AnswerNoise]]) -> None:
    if not made.cancelled() and made.exception() is None:
        pool.fill(made.result())
