"""The loop thread: order of callbacks, failures, deadlines and the end."""

import asyncio
import queue
import threading
from collections.abc import Generator

import pytest

from veilscore.runtime.errors import UnreachableError
from veilscore.runtime.loop_thread import LoopThread


@pytest.fixture
def thread() -> Generator[LoopThread]:
    running = LoopThread("test")
    running.start()
    yield running
    running.stop()


async def _answer() -> int:
    await asyncio.sleep(0)
    return 42


def test_a_coroutine_runs_on_the_loop_and_its_result_comes_back(
    thread: LoopThread,
) -> None:
    assert thread.call(_answer()) == 42


def test_a_late_coroutine_is_cancelled(thread: LoopThread) -> None:
    cancelled = threading.Event()

    async def late() -> None:
        try:
            await asyncio.sleep(60)
        finally:
            cancelled.set()

    with pytest.raises(TimeoutError):
        thread.call(late(), 0.05)
    assert cancelled.wait(5)


def test_callbacks_keep_their_order_and_survive_one_that_fails(
    thread: LoopThread, caplog: pytest.LogCaptureFixture
) -> None:
    seen: queue.Queue[int] = queue.Queue()

    def fail() -> None:
        raise LookupError("a bug in a callback")

    thread.post(seen.put, 1)
    thread.post(fail)
    thread.post(seen.put, 2)
    assert [seen.get(timeout=5) for _ in range(2)] == [1, 2]
    assert "a callback failed" in caplog.text


def test_a_callback_may_call_the_loop_it_was_posted_from(thread: LoopThread) -> None:
    seen: queue.Queue[int] = queue.Queue()
    thread.post(lambda: seen.put(thread.call(_answer())))
    assert seen.get(timeout=5) == 42


def test_who_waits_when_the_loop_stops_is_told() -> None:
    thread = LoopThread("test")
    thread.start()
    waiting = threading.Event()

    async def never() -> None:
        waiting.set()
        await asyncio.Event().wait()

    threading.Timer(0.05, thread.stop).start()
    with pytest.raises(UnreachableError):
        thread.call(never())
    assert waiting.is_set()
    with pytest.raises(UnreachableError):
        thread.call(never())
    thread.soon(waiting.clear)
    assert waiting.is_set()
