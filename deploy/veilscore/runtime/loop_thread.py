"""An asyncio loop on a thread of its own, and one more thread for callbacks.

gRPC's streams live on the loop; the rest of a program calls in from ordinary threads
and is called back on one. Callbacks run one after the other in the order they were
posted: they may block, but a slow one delays the next. Nobody learns anything here.
"""

import asyncio
import logging
import threading
from collections.abc import Callable, Coroutine
from concurrent.futures import CancelledError, Future, ThreadPoolExecutor
from contextlib import suppress
from functools import partial
from typing import Any, ParamSpec, TypeVar, TypeVarTuple

from veilscore.runtime.errors import UnreachableError

_log = logging.getLogger(__name__)

_T = TypeVar("_T")
_P = ParamSpec("_P")
_Ts = TypeVarTuple("_Ts")


class LoopThread:
    """``name`` is what its threads are called; it is started once."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._callbacks = ThreadPoolExecutor(1, f"{name}-callbacks")
        self._stopping = False
        self._waited_for: set[Future[Any]] = set()
        self._calls = threading.Lock()  # guards the two above

    def start(self) -> None:
        """Start the loop; it runs until ``stop``."""
        self._loop = asyncio.new_event_loop()
        # A daemon: a program that forgets to stop it still ends.
        self._thread = threading.Thread(target=self._run, name=self._name, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        with asyncio.Runner(loop_factory=lambda: self._loop) as runner:
            runner.get_loop().run_forever()

    def call(
        self, coroutine: Coroutine[None, None, _T], timeout_s: float | None = None
    ) -> _T:
        """Run a coroutine on the loop and return its result to another thread.

        Raises TimeoutError after ``timeout_s``, when the coroutine is cancelled, and
        UnreachableError if the loop was stopped.
        """
        with self._calls:
            if self._stopping:
                coroutine.close()
                raise UnreachableError("this connection has been closed")
            future = asyncio.run_coroutine_threadsafe(coroutine, self._loop)
            self._waited_for.add(future)
        try:
            return future.result(timeout_s)
        except TimeoutError:
            future.cancel()
            raise
        except CancelledError as error:
            raise UnreachableError("this connection has been closed") from error
        finally:
            with self._calls:
                self._waited_for.discard(future)

    def soon(self, callback: Callable[[*_Ts], object], *args: *_Ts) -> None:
        """Run a callback on the loop, from any thread; not once ``stop`` was called."""
        with self._calls:
            stopping = self._stopping
        if not stopping:
            self._on_loop(callback, *args)

    def _on_loop(self, callback: Callable[[*_Ts], object], *args: *_Ts) -> None:
        with suppress(RuntimeError):  # the loop is closed
            self._loop.call_soon_threadsafe(callback, *args)

    def post(
        self, callback: Callable[_P, object], *args: _P.args, **kwargs: _P.kwargs
    ) -> None:
        """Run a callback on the callback thread; what it raises is logged."""
        self._callbacks.submit(_logged, partial(callback, *args, **kwargs))

    def stop(self) -> None:
        """Cancel what runs on the loop, forget callbacks that wait, end both threads.

        A callback may call it: the callback that runs now is not waited for.
        """
        self._callbacks.shutdown(wait=False, cancel_futures=True)
        with self._calls:
            self._stopping = True
        self._on_loop(self._loop.stop)
        self._thread.join()
        with self._calls:  # calls that the loop no longer came to
            for future in self._waited_for:
                future.cancel()


def _logged(callback: Callable[[], object]) -> None:
    try:
        callback()
    except Exception:  # noqa: BLE001 - nobody else would hear of it
        _log.exception("a callback failed")
