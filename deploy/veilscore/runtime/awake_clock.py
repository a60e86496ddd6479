"""A clock that hardly counts the time in which its process did not run.

A process that was stopped, or whose machine stood still, heard nobody meanwhile. When
it wakes, a limit on others counted by the ordinary clock has passed before they can
have answered, and they would be blamed for it.
"""

import threading
import time
from collections.abc import Callable
from typing import Final

LONGEST_S: Final = 5.0


class AwakeClock:
    """Seconds that go on by at most LONGEST_S between two readings; thread-safe.

    Whoever counts by it reads it more often than that. A call that blocks for longer
    counts as LONGEST_S, too: limits become longer by it, never shorter.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = threading.Lock()  # guards both
        self._read_at = clock()
        self._seconds = 0.0

    def __call__(self) -> float:
        """Return the seconds since the clock was made."""
        with self._lock:
            now = self._clock()
            self._seconds += min(now - self._read_at, LONGEST_S)
            self._read_at = now
            return self._seconds
