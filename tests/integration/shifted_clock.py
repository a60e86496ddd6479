"""A time of day that a test moves while a party and its children run.

A library of a few lines (``shifted_clock.c``) is loaded before the C library; only the
kernel could do the same for a whole machine, and it would for all parties at once. The
test compiles it, so it needs a C compiler.
"""

import os
import shutil
import subprocess
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

_SOURCE = Path(__file__).with_suffix(".c")
_COMPILER = "cc"


def can_shift() -> bool:
    """Say whether there is a C compiler."""
    return shutil.which(_COMPILER) is not None


class ShiftedClock:
    """The clock of one party; ``folder`` is for its two files."""

    def __init__(self, folder: Path, party: str) -> None:
        self._library = folder / "shifted_clock.so"
        self._file = folder / f"{party}.clock"
        if not self._library.exists():
            words = ["-shared", "-fPIC", "-O1", "-Wall", "-Werror", "-o"]
            subprocess.run(
                [_COMPILER, *words, self._library, _SOURCE, "-ldl"], check=True
            )
        self._file.write_bytes(bytes(8))

    def shift(self, seconds: int) -> None:
        """Let the party's clock differ from this machine's by so much."""
        # In place: the party has this file mapped.
        with self._file.open("r+b", buffering=0) as file:
            file.write(seconds.to_bytes(8, "little", signed=True))

    @contextmanager
    def worn(self) -> Generator[None]:
        """Let the processes that the body starts go by this clock."""
        worn = {"LD_PRELOAD": str(self._library), "SHIFTED_CLOCK": str(self._file)}
        os.environ.update(worn)
        try:
            yield
        finally:
            for name in worn:
                del os.environ[name]
