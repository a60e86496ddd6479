"""Jobs for worker processes: who gets which next, and what happens when one dies.

A thread a process hands out jobs and waits for results. Foreground jobs go before
background ones, and a call's first chunk before another call's second, so that a short
call waits for the chunks under way and not for a long call.

Processes are started by exec, not by multiprocessing: its spawn runs the parent's main
module again, which would load all of a node, and leaves a tracker process behind.
"""

import heapq
import itertools
import os
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass, field
from multiprocessing import Pipe
from threading import Condition, Lock, Thread
from typing import Any, TypeVar

from veilscore.keys.errors import WorkerError

_R = TypeVar("_R")


@dataclass(order=True, slots=True)
class _Job:
    rank: tuple[bool, int, int]
    work: Callable[[], Any] = field(compare=False)
    future: Future[Any] = field(compare=False)


class WorkerPool:
    """``processes`` workers; 0 does every job in the caller's thread."""

    def __init__(self, processes: int) -> None:
        self._arrivals = itertools.count()
        self._jobs: list[_Job] = []  # a heap
        self._closed = False
        self._worn = [False] * processes  # to be replaced as soon as idle
        self._changed = Condition()  # guards the four above
        self._inline = Lock()
        self._processes = [_Process() for _ in range(processes)]
        self._threads = [
            Thread(target=self._serve, args=(index,), name="paillier", daemon=True)
            for index in range(processes)
        ]
        for thread in self._threads:
            thread.start()

    def submit(
        self, work: Callable[[], _R], *, chunk: int = 0, background: bool = False
    ) -> Future[_R]:
        """Queue chunk number ``chunk`` of a call; ``work`` must pickle.

        The future raises what ``work`` raises, and WorkerError when the process is lost
        or the pool closed. Raises WorkerError when it is closed already.
        """
        future: Future[_R] = Future()
        with self._changed:
            if self._closed:
                raise _closed()
            if self._threads:
                rank = (background, chunk, next(self._arrivals))
                heapq.heappush(self._jobs, _Job(rank, work, future))
                self._changed.notify()
                return future
        with self._inline:
            try:
                future.set_result(work())
            except Exception as error:  # noqa: BLE001 - whoever waits raises it
                future.set_exception(error)
        return future

    def replace_processes(self) -> None:
        """End every process as soon as it is idle: its memory and secrets go."""
        with self._changed:
            self._worn = [True] * len(self._worn)
            self._changed.notify_all()

    def close(self) -> None:
        """End all processes, also busy ones; whoever waits gets WorkerError."""
        with self._changed:
            self._closed = True
            abandoned, self._jobs = self._jobs, []
            self._changed.notify_all()
        for job in abandoned:
            if job.future.set_running_or_notify_cancel():
                job.future.set_exception(_closed())
        for process in self._processes:
            process.kill()
        for thread in self._threads:
            thread.join()

    def _serve(self, index: int) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(
                    lambda: self._closed or self._jobs or self._worn[index]
                )
                if self._closed:
                    break
                worn, self._worn[index] = self._worn[index], False
                job = None if worn else heapq.heappop(self._jobs)
            if job is None:
                self._processes[index].stop()
            elif job.future.set_running_or_notify_cancel():
                self._run(index, job)
        self._processes[index].stop()

    def _run(self, index: int, job: _Job) -> None:
        try:
            succeeded, outcome = self._running(index).call(job.work)
        except Exception as error:  # noqa: BLE001 - a thread that ends strands its jobs
            self._processes[index].stop()
            lost = WorkerError(
                "a worker process ended before its answer",
                remedy="Try again; if it recurs, look for a lack of memory.",
            )
            lost.__cause__ = error
            job.future.set_exception(lost)
        else:
            if succeeded:
                job.future.set_result(outcome)
            else:
                job.future.set_exception(outcome)

    def _running(self, index: int) -> "_Process":
        """Return a process that runs: one that ended while idle took no job along."""
        with self._changed:
            if self._closed:
                raise _closed()
            if self._processes[index].has_ended():
                self._processes[index].stop()
                self._processes[index] = _Process()
            return self._processes[index]


class _Process:
    """One worker and the pipe to it; nobody else holds our end."""

    def __init__(self) -> None:
        self._connection, theirs = Pipe()
        with theirs:
            self._process = subprocess.Popen(
                [
                    sys.executable,
                    "-P",
                    "-m",
                    "veilscore.keys.paillier.worker_process",
                    str(theirs.fileno()),
                ],
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                # numpy would start a thread with buffers for every core.
                env={**os.environ, "OPENBLAS_NUM_THREADS": "1"},
            )

    def call(self, work: Callable[[], Any]) -> tuple[bool, Any]:
        """Return whether the work succeeded, and its result or exception."""
        self._connection.send(work)
        outcome: tuple[bool, Any] = self._connection.recv()
        return outcome

    def has_ended(self) -> bool:
        """Say whether the process is gone, stopped here or killed by somebody else."""
        return self._process.poll() is not None

    def kill(self) -> None:
        """End the process; whoever waits in ``call`` gets an exception."""
        self._process.kill()

    def stop(self) -> None:
        """End the process, wait for it and close the pipe."""
        self._process.kill()
        self._process.wait()
        self._connection.close()


def _closed() -> WorkerError:
    return WorkerError(
        "the worker processes are closed", remedy="Start the program again."
    )
