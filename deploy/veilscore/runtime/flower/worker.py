"""A resident worker: takes the tasks of one Runtime API as they come.

Flower's own worker starts a process for every task and shows its token on that
process's command line; this one serves tasks in threads of its own process.
"""

import logging
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal

import httpx
from flwr.proto.runtime_pb2 import AcquireTaskRequest
from flwr.supercore.interceptors import SuperExecAuthHttpInterceptor

from veilscore.runtime.flower.endpoint import Endpoint, RuntimeClient
from veilscore.runtime.flower.pace import Pace

_LOG = logging.getLogger(__name__)
_ACQUIRE = "/flwr.proto.Runtime/AcquireTask"


@dataclass(frozen=True, slots=True)
class RuntimeApi:
    """A Runtime API and the secret that lets a worker take tasks from it."""

    endpoint: Endpoint
    secret: bytes = field(repr=False)


class Worker:
    """Takes tasks of one kind for as long as the process lives.

    ``serve`` gets the token of each, on a thread of its own, at most ``threads`` at
    a time. Polls once a second, faster for a moment after ``poke``.
    """

    def __init__(
        self,
        api: RuntimeApi,
        kind: Literal["flwr-clientapp", "flwr-serverapp"],
        serve: Callable[[str], None],
        *,
        threads: int,
    ) -> None:
        auth = SuperExecAuthHttpInterceptor(
            master_secret=api.secret, protected_methods={_ACQUIRE}
        )
        self._client = RuntimeClient(api.endpoint, [auth])
        self._request = AcquireTaskRequest(supported_task_types=[kind])
        self._serve = serve
        self._threads = threads
        self._free = threading.Semaphore(threads)
        self._pace = Pace(fast_s=0.03)
        self._stopping = False
        self._trouble = httpx.ConnectError.__name__  # nothing listens at first
        self._thread = threading.Thread(target=self._poll, name=kind, daemon=True)

    def start(self) -> None:
        """Begin to take tasks."""
        self._thread.start()

    def poke(self) -> None:
        """Look for a task now."""
        self._pace.poked.set()

    def stop(self, grace_s: float) -> None:
        """Take no more tasks and wait so long for those in hand."""
        deadline = time.monotonic() + grace_s
        self._stopping = True
        self.poke()
        if self._thread.is_alive():
            self._thread.join(grace_s)
        for _ in range(self._threads):
            self._free.acquire(timeout=max(0.0, deadline - time.monotonic()))
        self._client.close()

    def _poll(self) -> None:
        while not self._stopping:
            if not self._free.acquire(timeout=self._pace.idle_s):
                continue
            token = self._acquire()
            if token:
                self._pace.rest()
                threading.Thread(target=self._run, args=(token,), daemon=True).start()
            else:
                self._free.release()
                self._pace.wait()

    def _acquire(self) -> str:
        token, trouble = "", ""
        try:
            token = self._client.AcquireTask(self._request).token
        except httpx.HTTPError as error:
            trouble = type(error).__name__
        if trouble != self._trouble:  # once, not once a second
            level = logging.WARNING if trouble else logging.INFO
            _LOG.log(level, "Flower's task queue: %s", trouble or "reachable")
            self._trouble = trouble
        return token

    def _run(self, token: str) -> None:
        try:
            self._serve(token)
        except Exception as error:  # noqa: BLE001 - one task must not end the worker
            _LOG.warning("a Flower task was given up: %s", type(error).__name__)
        finally:
            self._free.release()
