"""A claim on one task of a Runtime API, kept up while it is served.

Nobody learns anything here: the SuperLink or SuperNode of this host hears a heartbeat.
"""

import contextlib
import threading
from collections.abc import Generator

import httpx
from flwr.proto.runtime_pb2 import SendTaskHeartbeatRequest
from flwr.supercore.interceptors import RuntimeTokenHttpInterceptor

from veilscore.runtime.flower.endpoint import Endpoint, RuntimeClient

# The owner of a claimed task gives it up after a minute without a heartbeat.
_HEARTBEAT_S = 15.0
# Flower's limit of 2 h would keep a thread for a message whose run has ended.
PULL_LIMIT_S = 60.0
PULL_BACKOFF_S = 0.03


@contextlib.contextmanager
def claimed(
    endpoint: Endpoint, token: str, stopping: threading.Event | None = None
) -> Generator[RuntimeClient]:
    """Give a client for one task and keep the task alive while it is in use."""
    client = RuntimeClient(endpoint, [RuntimeTokenHttpInterceptor(token)], stopping)
    done = threading.Event()
    heart = threading.Thread(target=_beat, args=(client, done), daemon=True)
    heart.start()
    try:
        yield client
    finally:
        done.set()
        heart.join()
        client.close()


def _beat(client: RuntimeClient, done: threading.Event) -> None:
    # Flower's own heartbeat interrupts the process when a task was taken away.
    while True:
        with contextlib.suppress(httpx.HTTPError):
            client.SendTaskHeartbeat(SendTaskHeartbeatRequest())
        if done.wait(_HEARTBEAT_S):
            return
