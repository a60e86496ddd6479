"""Noise made ahead of its use, by workers that have nothing else to do.

It lies in the memory of this process, in a pool that uses every value once; nothing of
it is stored.
"""

from collections.abc import Callable, Sequence
from concurrent.futures import Future
from functools import partial
from typing import Generic, Protocol, TypeVar

from veilscore.keys.paillier.worker_pool import WorkerPool

_Noise = TypeVar("_Noise")
_Taken_contra = TypeVar("_Taken_contra", contravariant=True)


class Pool(Protocol[_Taken_contra]):
    """Where noise of one kind and key waits."""

    def __len__(self) -> int:
        """Count what is left."""
        ...

    def fill(self, noise: Sequence[_Taken_contra], /) -> None:
        """Add what was made for this pool."""
        ...


class Stock(Generic[_Noise]):
    """Keeps a pool filled with what ``draw`` makes; not to be shared unguarded.

    A job draws ``largest`` values at most.
    """

    def __init__(
        self, pool: Pool[_Noise], draw: Callable[[int], list[_Noise]], largest: int
    ) -> None:
        self._pool = pool
        self._draw = draw
        self._largest = largest
        self._making: list[tuple[int, Future[list[_Noise]]]] = []

    def order(self, workers: WorkerPool, count: int) -> None:
        """Have the pool hold ``count`` values soon; ``draw`` must pickle."""
        self._making = [item for item in self._making if not item[1].done()]
        missing = count - len(self._pool) - sum(size for size, _ in self._making)
        for start in range(0, missing, self._largest):
            size = min(self._largest, missing - start)
            job = workers.submit(partial(self._draw, size), background=True)
            job.add_done_callback(self._fill)
            self._making.append((size, job))

    def recall(self, count: int) -> None:
        """Cancel about as many that are not begun: somebody makes them now."""
        for size, job in self._making:
            if count > 0 and job.cancel():
                count -= size

    def cancel(self) -> None:
        """Make no more."""
        for _, job in self._making:
            job.cancel()

    def _fill(self, made: Future[list[_Noise]]) -> None:
        if not made.cancelled() and made.exception() is None:
            self._pool.fill(made.result())
