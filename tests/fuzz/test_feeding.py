"""An input that a decoder does not come back from fails with the target's name."""

import signal
import threading
import time
from collections.abc import Callable
from typing import Final

import pytest

from tests.fuzz import target as fed
from tests.fuzz.target import Feeding, HangError, Target


def spin() -> None:
    while True:
        time.monotonic()


def deadlock() -> None:
    lock = threading.Lock()
    with lock, lock:
        pass


def wait_for_a_thread() -> None:
    threading.Event().wait()


STUCK: Final[dict[str, Callable[[], None]]] = {
    "busy": spin,
    "a lock": deadlock,
    "an event": wait_for_a_thread,
}


@pytest.mark.parametrize("how", STUCK)
def test_what_hangs_is_named(how: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fed, "_STUCK_S", 1.0)
    monkeypatch.setattr(fed, "_HANG_S", 0.3)
    feeding = Feeding("a decoder", Target(lambda _: STUCK[how](), [b""]))
    with pytest.raises(HangError, match="not done after") as caught:
        feeding.feed(b"an input")
    assert caught.value.__notes__ == ["a decoder was given b'an input'"]


def test_an_alarm_that_was_set_before_rings_when_it_should() -> None:
    rung: list[int] = []
    before = signal.signal(signal.SIGALRM, lambda number, _: rung.append(number))
    timer = signal.setitimer(signal.ITIMER_REAL, 0.3)
    try:
        for seconds in (0.0, 0.6):  # it is due after the first, during the second
            Feeding("a decoder", Target(lambda _: time.sleep(seconds), [])).feed(b"")  # noqa: B023 - called at once
        time.sleep(0.1)
    finally:
        signal.signal(signal.SIGALRM, before)
        signal.setitimer(signal.ITIMER_REAL, *timer)
    assert rung == [signal.SIGALRM]
