"""A process that computes for one parent: ``python -m ...worker_process FD``.

FD is an inherited socket to the parent. Keys arrive over it only. The process ends the
moment the parent's end is closed, also in the middle of a job and also when the parent
was killed; it does not depend on signals, which follow threads on Linux.
"""

import os
import signal
import sys
from collections.abc import Callable
from multiprocessing.connection import Connection
from queue import SimpleQueue
from threading import Thread
from typing import Any, Final, TypeAlias

_NICENESS: Final = 10
_Jobs: TypeAlias = SimpleQueue[Callable[[], Any]]


def main() -> None:
    """Do jobs in the order they arrive, until the parent is gone."""
    # Ctrl-C reaches every process of the terminal; the parent decides what it means.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    os.nice(_NICENESS)
    connection: Connection[Any, Any] = Connection(int(sys.argv[1]))
    jobs: _Jobs = SimpleQueue()
    Thread(target=_receive, args=(connection, jobs), daemon=True).start()
    while True:
        work = jobs.get()
        try:
            outcome = True, work()
        except Exception as error:  # noqa: BLE001 - the parent raises it
            outcome = False, error
        connection.send(outcome)


def _receive(connection: "Connection[Any, Any]", jobs: _Jobs) -> None:
    try:
        while True:
            jobs.put(connection.recv())
    finally:  # the parent is gone, or sent what this version cannot read
        os._exit(0)


if __name__ == "__main__":
    main()
