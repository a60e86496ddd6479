"""Messages of one run that are addressed to the coordinator, and waiting for them.

The hub's thread puts messages in; the thread that places the rows, or adds up, takes
them out. In a vertical run a holder sends the coordinator one message of a kind, and
one set in parts; in a horizontal run messages of sums, each of which is answered before
the next. Waiting ends early, with the reason, when the run is over: nobody hangs on a
message that will not come.
"""

import threading
from collections import Counter, defaultdict, deque
from collections.abc import Collection
from typing import Final

from veilscore.coordinator.errors import RunError
from veilscore.keys.point_set import MAX_PARTS, check_size
from veilscore.v1.training_pb2 import SumMessage, TrainingMessage

_MOST_SUMS: Final = 8  # messages of one sender that may wait: more than it has to say


class Inbox:
    """What the holders of one run sent; thread-safe."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._messages: dict[tuple[str, str], deque[TrainingMessage]] = defaultdict(
            deque
        )
        self._sent: Counter[tuple[str, str]] = Counter()
        self._sums: deque[tuple[str, SumMessage]] = deque()
        self._poked = False
        self._end: Exception | None = None

    @property
    def ended(self) -> bool:
        """Whether nobody waits here any more."""
        return self._end is not None

    def put(self, sender: str, message: TrainingMessage) -> None:
        """Keep a message.

        Raises RunError on one more than a run has of its kind, LinkageError on a part
        of a set that is too large.
        """
        kind = message.WhichOneof("body") or "nothing"
        if kind == "sum":
            self._put_sum(sender, message.sum)
            return
        most = 1
        if kind == "blinded_set":
            check_size(message.blinded_set.points, sender)
            most = MAX_PARTS
        with self._changed:
            self._sent[sender, kind] += 1
            if self._sent[sender, kind] > most:
                times = "twice" if most == 1 else f"more than {most} times"
                raise RunError(f"sent {kind} {times}", party=sender)
            self._messages[sender, kind].append(message)
            self._changed.notify_all()

    def _put_sum(self, sender: str, message: SumMessage) -> None:
        with self._changed:
            if self._end is not None:
                return
            if sum(name == sender for name, _ in self._sums) >= _MOST_SUMS:
                raise RunError(
                    f"sent over {_MOST_SUMS} messages of sums without an answer",
                    party=sender,
                    remedy="Update all nodes to one version and start the run again.",
                )
            self._sums.append((sender, message))
            self._changed.notify_all()

    def next_sum(self, timeout_s: float) -> tuple[str, SumMessage] | None:
        """Wait for the next message of a sum, of whichever sender.

        Returns nothing when so many seconds have passed, or after a ``poke``. Raises
        what ``end`` was given.
        """
        with self._changed:
            self._changed.wait_for(
                lambda: self._end or self._sums or self._poked, timeout_s
            )
            self._poked = False
            if self._end is not None:
                raise self._end
            return self._sums.popleft() if self._sums else None

    def poke(self) -> None:
        """Wake who waits for the next message of a sum."""
        with self._changed:
            self._poked = True
            self._changed.notify_all()

    def check_empty(self) -> None:
        """Raise RunError naming who sent what nobody has waited for."""
        with self._changed:
            left = [key for key, waiting in self._messages.items() if waiting]
        for sender, kind in left:
            raise RunError(
                f"sent more messages of kind {kind} than the step asks for",
                party=sender,
                remedy="Update all nodes to one version and start the run again.",
            )

    def end(self, reason: Exception) -> None:
        """Make whoever waits, now or later, raise the first reason given."""
        with self._changed:
            self._end = self._end or reason
            self._messages.clear()
            self._sums.clear()
            self._changed.notify_all()

    def take(
        self, kind: str, senders: Collection[str], timeout_s: float
    ) -> dict[str, TrainingMessage]:
        """Wait for a message of this kind from every sender.

        Raises what ``end`` was given, and RunError naming who sent nothing in time.
        """

        def missing() -> list[str]:
            return [name for name in senders if not self._messages[name, kind]]

        with self._changed:
            self._changed.wait_for(lambda: self._end or not missing(), timeout_s)
            if self._end is not None:
                raise self._end
            if late := missing():
                raise RunError(
                    f"did not send {kind} within {timeout_s:g} s",
                    party=", ".join(late),
                    remedy="See that node's status page.",
                )
            return {name: self._messages[name, kind].popleft() for name in senders}
