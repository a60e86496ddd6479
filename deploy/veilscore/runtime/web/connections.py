"""How many web connections there may be, and how long one may take to ask.

A connection costs its server a file descriptor, and the coordinator's web shares its
process with the hub and the log. So strangers get a share of the descriptors and no
more, and who does not ask in time loses the connection. uvicorn does neither: it counts
requests, and its idle timer starts after a first answer. Nothing is known here of what
is asked, nor by whom.
"""

import asyncio
import logging
import resource
import socket
from collections.abc import Mapping
from typing import Any, Final, cast

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

HEAD_S: Final = 10.0  # for a TLS handshake, and then for a whole request head
_BODY_S: Final = 60.0  # for a whole body, once its head is here
_MOST: Final = 1000  # connections
_SHARE: Final = 4  # of this many parts of all descriptors, one is for the web

_log = logging.getLogger(__name__)


def most_connections() -> int:
    """Return how many connections this process can give to its web pages."""
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return _MOST if soft == resource.RLIM_INFINITY else min(_MOST, soft // _SHARE)


class Listener(socket.socket):
    """A listening socket with at most ``most`` open connections.

    Who comes when there are as many is hung up on. For asyncio's own event loop:
    another one would accept connections by itself.
    """

    def __init__(self, listening: socket.socket, most: int) -> None:
        super().__init__(fileno=listening.detach())
        self._most = most
        self._open: list[socket.socket] = []
        self._full = False

    def accept(self) -> tuple[socket.socket, Any]:
        """Accept a connection; ConnectionAbortedError for one too many."""
        accepted, address = super().accept()
        if len(self._open) >= self._most:
            self._open = [each for each in self._open if each.fileno() >= 0]
        full, before = len(self._open) >= self._most, self._full
        self._full = full
        if full:
            accepted.close()
            if not before:
                _log.warning(
                    "there are %d web connections; no more are taken", self._most
                )
            raise ConnectionAbortedError
        self._open.append(accepted)
        return accepted, address


class TimedProtocol(H11Protocol):
    """HTTP/1.1 for clients that ask in time; from others it hangs up."""

    _limits: Mapping[type, float] = {h11.IDLE: HEAD_S, h11.SEND_BODY: _BODY_S}
    _watched: type | None = None  # what the client is doing since the timer runs
    _timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Take a connection, after its handshake; a request must follow."""
        super().connection_made(cast("asyncio.Transport", transport))
        self._watch()

    def data_received(self, data: bytes) -> None:
        """Take bytes of a request."""
        super().data_received(data)
        self._watch()

    def connection_lost(self, exc: Exception | None) -> None:
        """Let go of a connection."""
        self._stop()
        super().connection_lost(exc)

    def _watch(self) -> None:
        """Let a time run for what the client does now, if it does not run yet.

        Between two requests nothing runs here: that is uvicorn's idle time, which the
        first byte of a request ends.
        """
        state = self.conn.their_state
        if state is self._watched:
            return
        self._stop()
        self._watched = state
        limit = self._limits.get(state)
        if limit is not None and not self.transport.is_closing():
            self._timer = self.loop.call_later(limit, self._hang_up)

    def _stop(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _hang_up(self) -> None:
        # At once: to end TLS properly would be to wait for the client once more.
        self.transport.abort()
