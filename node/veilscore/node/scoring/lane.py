"""A few threads with a short queue: what peers send must not fill the memory."""

import logging
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from threading import BoundedSemaphore
from typing import ParamSpec

from veilscore.fault import Fault

_LOG = logging.getLogger(__name__)
_P = ParamSpec("_P")


class Lane:
    """Runs jobs in the order they come, ``threads`` at a time.

    Of more than ``most`` unfinished jobs the newest are dropped. Failures are logged.
    """

    def __init__(self, name: str, *, threads: int, most: int) -> None:
        self._name = name
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix=name)
        self._room = BoundedSemaphore(most)

    def submit(
        self, job: Callable[_P, object], *args: _P.args, **kwargs: _P.kwargs
    ) -> None:
        """Have the job done soon; returns at once, also after ``close``."""
        if not self._room.acquire(blocking=False):
            _LOG.warning("%s: too much waits, a message was dropped", self._name)
            return
        try:
            future = self._pool.submit(job, *args, **kwargs)
        except RuntimeError:  # it is closed
            self._room.release()
        else:
            future.add_done_callback(self._finish)

    def close(self) -> None:
        """Drop what waits and wait for what is being done."""
        self._pool.shutdown(cancel_futures=True)

    def _finish(self, future: Future[object]) -> None:
        self._room.release()
        error = None if future.cancelled() else future.exception()
        if error is not None:
            # Texts of unforeseen errors may hold ids.
            told = error if isinstance(error, Fault) else type(error).__name__
            _LOG.warning("%s: %s", self._name, told)
