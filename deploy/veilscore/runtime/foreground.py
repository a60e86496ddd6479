"""A program in the foreground: writes its log to standard error, ends when told to."""

import logging
import signal
import threading
from typing import Final

_LOOK_S: Final = 0.5


class Foreground:
    """Catches SIGTERM and Ctrl-C from here on; only the main thread may make one."""

    def __init__(self) -> None:
        logging.basicConfig(
            level=logging.INFO,
            format="%(asctime)s %(levelname)s %(name)s: %(message)s",
        )
        self._stop = threading.Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._on_signal)

    def _on_signal(self, _number: int, _frame: object) -> None:
        self._stop.set()

    def wait(self) -> None:
        """Wait until the program is told to end."""
        while not self._stop.wait(_LOOK_S):  # without a timeout one may go unnoticed
            pass
