"""What the coordinator said waits for this node in Flower, and whether it came.

Flower hands a message out once. If the SuperNode ends with one in its memory, or the
answer to its question is lost on the line, nobody asks for it again, and the run would
wait for its deadline. The hub's notice says which message there is, so a node can tell.

No clock and no thread: times are arguments, in seconds.
"""

from dataclasses import dataclass, replace
from threading import Lock
from typing import Final

# Longer than a SuperNode waits for the answer to a message that was given up, and than
# a killed SuperLink is away: a minute.
OVERDUE_S: Final = 70.0


@dataclass(frozen=True, slots=True)
class _Summon:
    run: str
    step: str
    since: float


class Summons:
    """The newest step that this node is asked for; thread-safe."""

    def __init__(self) -> None:
        self._lock = Lock()  # guards both
        self._newest: _Summon | None = None
        self._came = ("", "")  # run and step

    def waits(self, run: str, step: str, now: float) -> None:
        """Note that a message of this step waits at the SuperLink."""
        with self._lock:
            self._newest = _Summon(run, step, now)

    def came(self, run: str, step: str) -> None:
        """Note that the message has reached this process, perhaps before its notice.

        While operators decide, ``join`` comes again and again: once is enough here.
        """
        with self._lock:
            self._came = (run, step)

    def ended(self, run: str) -> None:
        """Note that the run is over."""
        with self._lock:
            if self._newest is not None and self._newest.run == run:
                self._newest = None

    def renew(self, now: float) -> None:
        """Note that the line to the coordinator, which was away, is back."""
        with self._lock:
            if self._newest is not None:
                self._newest = replace(self._newest, since=now)

    def forget(self) -> None:
        """Note that whatever was under way is over: the hub forgot it."""
        with self._lock:
            self._newest = None

    def under_way(self) -> tuple[str, str] | None:
        """Return run and step of a message that a dying SuperNode may take along."""
        with self._lock:
            newest = self._newest
        return None if newest is None else (newest.run, newest.step)

    def overdue(self, now: float) -> tuple[str, str] | None:
        """Return run and step of a message that should have come long ago."""
        with self._lock:
            newest, came = self._newest, self._came
        if newest is None or (newest.run, newest.step) == came:
            return None
        return (newest.run, newest.step) if now >= newest.since + OVERDUE_S else None
