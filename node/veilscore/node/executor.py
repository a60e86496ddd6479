"""The node's resident Flower executor: what arrives is served by installed code.

A stock SuperNode installs and executes whatever app the coordinator ships. This one
hands its tasks to the executor, which knows one app: this package's ``client_app``.
The shipped bundle is hashed for the audit and otherwise ignored.
"""

import threading
from collections.abc import Callable

from flwr.app import Context, Message

from veilscore.node.client_app import Handler, make_app
from veilscore.runtime.flower.client_task import TaskRecord, serve_client_task
from veilscore.runtime.flower.worker import RuntimeApi, Worker

# Messages wait for the app in a thread each; more than these stay at the SuperNode.
_THREADS = 4


class Executor:
    """Serves a SuperNode's tasks with ``handler``, one message at a time.

    ``audit`` gets a record of every message answered, on the thread that served it
    and never on two at once.
    """

    def __init__(
        self,
        api: RuntimeApi,
        handler: Handler,
        audit: Callable[[TaskRecord], None],
    ) -> None:
        self._app = make_app(handler)
        self._endpoint = api.endpoint
        self._audit = audit
        self._app_turn = threading.Lock()
        self._audit_turn = threading.Lock()
        self._worker = Worker(api, "flwr-clientapp", self._serve, threads=_THREADS)

    def start(self) -> None:
        """Begin to take tasks."""
        self._worker.start()

    def poke(self) -> None:
        """Look for a task now."""
        self._worker.poke()

    def stop(self, grace_s: float) -> None:
        """Take no more tasks and wait so long for steps in hand."""
        self._worker.stop(grace_s)

    def _serve(self, token: str) -> None:
        record = serve_client_task(self._endpoint, self._answer, token)
        with self._audit_turn:
            self._audit(record)

    def _answer(self, message: Message, context: Context) -> Message:
        with self._app_turn:
            return self._app(message, context)
