"""A TCP forwarder between two processes of a test: a line that can fail.

It can break (connections end, the next one is accepted), be away for a while
(connections end, the next one is refused), or go silent, which nobody is told.
"""

import socket
import struct
import threading
from contextlib import suppress

_HOST = "127.0.0.1"


class Wire:
    """Forwards to the port ``target``; whoever uses the line dials ``port``."""

    def __init__(self, target: int, port: int = 0) -> None:
        self._target = target
        self._open: set[socket.socket] = set()
        self._flowing = threading.Event()
        self._flowing.set()
        self.port = port
        self.restore()

    def cut(self) -> None:
        """Break every connection; new ones are accepted."""
        for end in list(self._open):
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)

    def sever(self) -> None:
        """Break every connection and refuse new ones until ``restore``."""
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)  # wakes the accepting thread
        self._listener.close()
        self.cut()

    def restore(self) -> None:
        """Accept connections, at the port of before if there was one."""
        self._listener = socket.create_server((_HOST, self.port))
        self.port = int(self._listener.getsockname()[1])
        accept = threading.Thread(
            target=self._accept, args=(self._listener,), daemon=True
        )
        accept.start()

    def stall(self) -> None:
        """Deliver nothing until ``flow``, and tell nobody."""
        self._flowing.clear()

    def flow(self) -> None:
        """Deliver what waits, and go on."""
        self._flowing.set()

    def close(self) -> None:
        """Sever the line for good."""
        self.sever()
        self.flow()

    def _accept(self, listener: socket.socket) -> None:
        with suppress(OSError):
            while True:
                near, _ = listener.accept()
                carry = threading.Thread(
                    target=self._carry, args=(listener, near), daemon=True
                )
                carry.start()

    def _carry(self, listener: socket.socket, near: socket.socket) -> None:
        """Forward one connection until both of its directions have ended."""
        # Ended with a reset where it must: nobody at the far end looks like that.
        near.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        with (
            near,
            suppress(OSError),
            socket.create_connection((_HOST, self._target)) as far,
        ):
            ends = {near, far}
            for end in ends:
                end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self._open |= ends
            if listener.fileno() < 0:  # severed before ``cut`` could see them
                return
            back = threading.Thread(target=self._pump, args=(far, near), daemon=True)
            back.start()
            self._pump(near, far)
            back.join()
            self._open -= ends

    def _pump(self, source: socket.socket, sink: socket.socket) -> None:
        with suppress(OSError):
            while data := source.recv(1 << 16):
                self._flowing.wait()
                sink.sendall(data)
        with suppress(OSError):
            sink.shutdown(socket.SHUT_WR)
