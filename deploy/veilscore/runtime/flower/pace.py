"""How long a polling loop sleeps: long while idle, briefly after a poke.

Fast polling alone keeps more than one core busy in an idle lab; slow polling alone
costs a second a hop. So every poller sleeps a second, and whoever knows that
something happened sets the event: the sleep ends, and for a few seconds the loop
polls fast.
"""

import threading
import time
from dataclasses import dataclass, field


@dataclass(slots=True)
class Pace:
    """The sleep of one polling loop; any thread may set ``poked``, one waits."""

    poked: threading.Event = field(default_factory=threading.Event)
    idle_s: float = 1.0
    fast_s: float = 0.05
    hold_s: float = 3.0
    _fast_until: float = field(default=0.0, init=False)

    def wait(self) -> None:
        """Sleep until the next poll is due or a poke comes."""
        fast = time.monotonic() < self._fast_until
        if self.poked.wait(self.fast_s if fast else self.idle_s):
            self.poked.clear()
            self._fast_until = time.monotonic() + self.hold_s

    def rest(self) -> None:
        """Poll slowly again: what the poke was about has been found."""
        self._fast_until = 0.0
