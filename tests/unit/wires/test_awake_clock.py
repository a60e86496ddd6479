import pytest

from veilscore.runtime.awake_clock import LONGEST_S, AwakeClock


def test_a_process_that_runs_sees_time_pass() -> None:
    now = [7.0]
    clock = AwakeClock(lambda: now[0])
    assert clock() == 0
    for _ in range(10):
        now[0] += LONGEST_S / 2
        clock()
    assert clock() == pytest.approx(5 * LONGEST_S)


def test_a_time_in_which_it_stood_still_hardly_counts() -> None:
    now = [0.0]
    clock = AwakeClock(lambda: now[0])
    now[0] += 1
    assert clock() == 1
    now[0] += 3600
    assert clock() == 1 + LONGEST_S
    now[0] += 1
    assert clock() == 2 + LONGEST_S
