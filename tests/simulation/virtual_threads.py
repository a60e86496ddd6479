"""Threads that take turns on one virtual clock, so that a seed plays the same again.

The scoring desk uses threads, a timer, queues that are waited for and a clock. In here
they are all of one ``Scheduler``: a job of a lane runs when the scheduler is told to
settle, a caller's thread runs until it waits, and time passes only when it is told to.
Everything else is the product's.
"""

import logging
from collections import deque
from collections.abc import Callable, Generator
from concurrent.futures import Future
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from queue import Empty
from threading import Semaphore, Thread
from types import SimpleNamespace
from typing import Any, Generic, Self, TypeVar
from unittest.mock import patch

from veilscore.fault import Fault
from veilscore.node.hosting import asking as hosted_asking
from veilscore.node.scoring import asking, desk, journal, waiting

_LOG = logging.getLogger(__name__)
_SOON_S = 60.0  # of real time: a turn that takes longer hangs

_T = TypeVar("_T")


class Crash(BaseException):
    """The process of a party is killed at this point."""

    def __init__(self, party: str) -> None:
        super().__init__(party)
        self.party = party


class Task:
    """A caller's thread, which runs only when it has the turn."""

    def __init__(self, party: str, body: Callable[[], None]) -> None:
        self.party = party
        self.done = False
        self.crash: Crash | None = None
        self.ready: Callable[[], bool] = lambda: True
        self.until = 0.0  # when it stops waiting, whatever is ready
        self._body = body
        self._killed = False
        self._go, self._back = Semaphore(0), Semaphore(0)
        self._thread = Thread(target=self._run, daemon=True)
        self._thread.start()

    def resume(self) -> None:
        """Give it the turn until it waits or ends."""
        self._go.release()
        assert self._back.acquire(timeout=_SOON_S), "a caller hangs"

    def kill(self) -> None:
        """End it where it waits, as a dying process does."""
        self._killed = True
        self.resume()

    def pause(self, ready: Callable[[], bool], until: float) -> None:
        """Give the turn back; called on its own thread."""
        self.ready, self.until = ready, until
        self._back.release()
        self._go.acquire()
        if self._killed:
            raise Crash(self.party)

    def _run(self) -> None:
        self._go.acquire()
        try:
            self._body()
        except Crash as crash:
            self.crash = crash
        finally:
            self.done = True
            self._back.release()


@dataclass(eq=False, slots=True)
class _Alarm:
    at: float
    ring: Callable[[], object]


@dataclass
class Scheduler:
    """Who runs when; ``now`` is in seconds since 1970.

    ``crashed`` is told of a party whose process was killed. ``defects`` are errors that
    the product would log as unforeseen.
    """

    now: float
    crashed: Callable[[str], None] = lambda _: None
    current: Task | None = None
    tasks: list[Task] = field(default_factory=list[Task])
    jobs: deque[tuple["Lane", Callable[[], object]]] = field(
        default_factory=deque["tuple[Lane, Callable[[], object]]"]
    )
    alarms: list[_Alarm] = field(default_factory=list[_Alarm])
    defects: list[Exception] = field(default_factory=list[Exception])
    defer: Callable[[], bool] = lambda: False  # whether a proof comes late

    def spawn(self, party: str, body: Callable[[], None]) -> Task:
        """Let a caller of this party begin."""
        task = Task(party, body)
        self.tasks.append(task)
        self._turn(task)
        return task

    def wait(self, ready: Callable[[], bool], timeout: float) -> bool:
        """Wait on a caller's thread until something is there; return whether it is."""
        assert self.current is not None, "nobody may wait here"
        if not ready():
            self.current.pause(ready, self.now + timeout)
        return ready()

    def settle(self) -> None:
        """Let everybody go on who can."""
        while True:
            if self.jobs:
                self._work(*self.jobs.popleft())
            elif task := next(filter(self._can_go, self.tasks), None):
                self._turn(task)
            else:
                return

    def advance(self, seconds: float) -> None:
        """Let time pass, from one thing that happens to the next."""
        end = self.now + seconds
        while True:
            self.settle()
            waiting = [task.until for task in self.tasks if not task.done]
            due = [at for at in (*waiting, *(a.at for a in self.alarms)) if at <= end]
            if not due:
                break
            self.now = max(self.now, min(due))
            for alarm in [each for each in self.alarms if each.at <= self.now]:
                self.alarms.remove(alarm)
                self._guarded(alarm.ring)
        self.now = end
        self.settle()

    def kill(self, party: str) -> None:
        """End everything of a party that waits."""
        for task in self.tasks:
            if task.party == party and not task.done:
                self.current = task
                task.kill()
                self.current = None
        self.tasks = [task for task in self.tasks if not task.done]

    def _can_go(self, task: Task) -> bool:
        return task.ready() or self.now >= task.until

    def _turn(self, task: Task) -> None:
        self.current = task
        task.resume()
        self.current = None
        if task.done:
            self.tasks.remove(task)
        if task.crash is not None:
            self.crashed(task.crash.party)

    def _work(self, lane: "Lane", job: Callable[[], object]) -> None:
        if not lane.closed:
            self._guarded(job)

    def _guarded(self, job: Callable[[], object]) -> None:
        try:
            job()
        except Fault as fault:
            _LOG.info("%s", fault)
        except Exception as error:  # noqa: BLE001 - as a lane does, but kept
            self.defects.append(error)
        except Crash as crash:
            self.crashed(crash.party)


class Lane:
    """Stands for ``scoring.lane.Lane``."""

    def __init__(self, scheduler: Scheduler) -> None:
        self.closed = False
        self._scheduler = scheduler

    def submit(self, job: Callable[..., object], *args: object) -> None:
        self._scheduler.jobs.append((self, lambda: job(*args)))

    def close(self) -> None:
        self.closed = True


class Timer:
    """Stands for ``threading.Timer``."""

    daemon = False

    def __init__(
        self, scheduler: Scheduler, seconds: float, ring: Callable[[], object]
    ) -> None:
        self._alarms = scheduler.alarms
        self._alarm = _Alarm(scheduler.now + seconds, ring)

    def start(self) -> None:
        self._alarms.append(self._alarm)

    def cancel(self) -> None:
        if self._alarm in self._alarms:
            self._alarms.remove(self._alarm)


class LateExecutor:
    """Stands for an executor of one thread, whose job runs now or when it must."""

    def __init__(self, scheduler: Scheduler) -> None:
        self._scheduler = scheduler
        self._job: Callable[[], None] = lambda: None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is None or not issubclass(kind, Crash):
            self._run()

    def submit(self, job: Callable[..., object], *args: object) -> "LateFuture":
        future = LateFuture(self)

        def run() -> None:
            try:
                future.set_result(job(*args))
            except Exception as error:  # noqa: BLE001 - as an executor does
                future.set_exception(error)

        self._job = run
        if not self._scheduler.defer():
            self._run()
        return future

    def run(self) -> None:
        """Have the job done, if it is not."""
        self._run()

    def _run(self) -> None:
        job, self._job = self._job, lambda: None
        job()


class LateFuture(Future[Any]):
    """Has its job done when its result is asked for."""

    def __init__(self, executor: LateExecutor) -> None:
        super().__init__()
        self._executor = executor

    def result(self, timeout: float | None = None) -> Any:  # noqa: ANN401 - as a future
        self._executor.run()
        return super().result(timeout)


def _queue_of(scheduler: Scheduler) -> type:
    class Queue(Generic[_T]):
        """Stands for ``queue.SimpleQueue``."""

        def __init__(self) -> None:
            self._items = deque[_T]()

        def put(self, item: _T) -> None:
            self._items.append(item)

        def get(self, timeout: float) -> _T:
            if not scheduler.wait(lambda: bool(self._items), timeout):
                raise Empty
            return self._items.popleft()

    return Queue


@contextmanager
def virtual(scheduler: Scheduler) -> Generator[None]:
    """Let the scoring desks that are made in the body run by this scheduler."""
    clock = SimpleNamespace(monotonic=lambda: scheduler.now)

    def lane(_: str, *, threads: int, most: int) -> Lane:
        del threads, most
        return Lane(scheduler)

    def timer(seconds: float, ring: Callable[[], object]) -> Timer:
        return Timer(scheduler, seconds, ring)

    def executor(*_: object) -> LateExecutor:
        return LateExecutor(scheduler)

    with ExitStack() as stack:
        for module in (asking, hosted_asking, waiting, desk):
            stack.enter_context(patch.object(module, "time", clock))
        stack.enter_context(patch.object(desk, "Lane", lane))
        stack.enter_context(patch.object(desk, "Timer", timer))
        queue = _queue_of(scheduler)
        stack.enter_context(patch.object(waiting, "SimpleQueue", queue))
        stack.enter_context(patch.object(journal, "ThreadPoolExecutor", executor))
        yield
