"""What one end of a stream still has to send, or to send again.

Reliable frames wait in two queues, urgent and bulk, get the next number when they
are taken, and are kept until acknowledged. Bulk stops while a window's worth of it
is unacknowledged; urgent frames do not. It learns names and sizes only.
"""

from collections import deque
from typing import Final

from veilscore.runtime.chunks import is_urgent
from veilscore.runtime.errors import WireError
from veilscore.v1 import hub_pb2

WINDOW_BYTES: Final = 16 * 1024 * 1024
# Charged for each frame besides its data, so that a flood of tiny chunks is
# counted for the memory it takes.
FRAME_COST: Final = 512


def is_bulk(frame: hub_pb2.Frame) -> bool:
    """Say whether a frame is subject to the window."""
    return frame.HasField("chunk") and not is_urgent(frame.chunk)


def cost(frame: hub_pb2.Frame) -> int:
    """Return what a frame counts for, the same at both ends."""
    return len(frame.chunk.data) + FRAME_COST


class Outbox:
    """Reliable frames of one direction of one session."""

    def __init__(self) -> None:
        self._urgent: deque[hub_pb2.Frame] = deque()
        self._bulk: deque[hub_pb2.Frame] = deque()
        self._unacked: deque[hub_pb2.Frame] = deque()
        self._replay: deque[hub_pb2.Frame] = deque()
        self._pending = {True: 0, False: 0}
        self._unacked_bulk = 0
        self._sent: int = 0
        self._acked: int = 0

    def pending(self, *, urgent: bool) -> int:
        """Return the cost in bytes of what is queued or not yet acknowledged."""
        return self._pending[urgent]

    def add(self, frame: hub_pb2.Frame) -> None:
        """Queue a frame."""
        bulk = is_bulk(frame)
        (self._bulk if bulk else self._urgent).append(frame)
        self._pending[not bulk] += cost(frame)

    def take(self) -> hub_pb2.Frame | None:
        """Return the frame to send next, numbered, or None if none may go."""
        # What was sent before comes first: a new frame ahead of it would look
        # like a gap.
        if self._replay:
            return self._replay.popleft()
        if self._urgent:
            frame = self._urgent.popleft()
        elif self._bulk and self._unacked_bulk < WINDOW_BYTES:
            frame = self._bulk.popleft()
            self._unacked_bulk += cost(frame)
        else:
            return None
        self._sent += 1
        frame.seq = self._sent
        self._unacked.append(frame)
        return frame

    def acknowledge(self, received: int) -> None:
        """Forget frames up to ``received``; raises WireError on impossible ones."""
        if not self._acked <= received <= self._sent:
            raise WireError("an acknowledgement is of frames that were never sent")
        self._acked = received
        while self._unacked and self._unacked[0].seq <= received:
            frame = self._unacked.popleft()
            bulk = is_bulk(frame)
            self._pending[not bulk] -= cost(frame)
            if bulk:
                self._unacked_bulk -= cost(frame)

    def replay(self) -> None:
        """Send everything unacknowledged again, on a new stream."""
        self._replay = deque(self._unacked)

    def recipients(self) -> tuple[str, ...]:
        """Name the recipients of envelopes that are not acknowledged."""
        frames = (*self._unacked, *self._urgent, *self._bulk)
        return tuple(sorted({frame.chunk.to for frame in frames if frame.chunk.to}))
