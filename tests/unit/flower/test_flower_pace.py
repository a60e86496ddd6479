import threading
import time

from veilscore.runtime.flower.pace import Pace


def waited(pace: Pace) -> float:
    started = time.monotonic()
    pace.wait()
    return time.monotonic() - started


def test_an_idle_loop_sleeps_long() -> None:
    assert waited(Pace(idle_s=0.3, fast_s=0.01)) >= 0.3


def test_a_poke_ends_the_sleep_and_the_next_ones_are_short() -> None:
    pace = Pace(idle_s=30.0, fast_s=0.05, hold_s=30.0)
    threading.Timer(0.05, pace.poked.set).start()
    assert waited(pace) < 5
    assert 0.05 <= waited(pace) < 5
    assert 0.05 <= waited(pace) < 5


def test_a_poke_before_the_sleep_is_not_lost() -> None:
    pace = Pace(idle_s=30.0)
    pace.poked.set()
    assert waited(pace) < 5


def test_the_hurry_ends_by_itself() -> None:
    pace = Pace(idle_s=0.3, fast_s=0.001, hold_s=0.0)
    pace.poked.set()
    pace.wait()
    assert waited(pace) >= 0.3


def test_the_hurry_ends_when_it_was_found() -> None:
    pace = Pace(idle_s=0.3, fast_s=0.001, hold_s=30.0)
    pace.poked.set()
    pace.wait()
    pace.rest()
    assert waited(pace) >= 0.3
