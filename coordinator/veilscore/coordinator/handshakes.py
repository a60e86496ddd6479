"""Counts TLS connections that led to no call, for the operator's log.

gRPC tells Python when a handshake begins and when a call comes, not when a handshake
fails: a wrong or expired certificate would leave no trace but a line on standard
error. Which connection failed is not known, only how many. No clock: seconds of one
monotonic clock, given by the caller.
"""

from collections import OrderedDict, deque
from typing import Final

PATIENCE_S: Final = 2.0
# Addresses remembered, so that a second call of a connection is not taken for the
# first of another.
_MAX_PEERS: Final = 4096


class Handshakes:
    """Connections that began and have not led to a call."""

    def __init__(self) -> None:
        self._began: deque[float] = deque()
        self._peers: OrderedDict[str, None] = OrderedDict()

    def began(self, now: float) -> None:
        """Note a new connection."""
        self._began.append(now)

    def called(self, peer: str) -> None:
        """Note a call; ``peer`` is the caller's address and port."""
        if peer in self._peers:
            return
        self._peers[peer] = None
        if len(self._peers) > _MAX_PEERS:
            self._peers.popitem(last=False)
        if self._began:
            self._began.popleft()

    def take_failed(self, now: float) -> int:
        """Return, once, how many connections led to nothing for a while."""
        failed = 0
        while self._began and now - self._began[0] > PATIENCE_S:
            self._began.popleft()
            failed += 1
        return failed
