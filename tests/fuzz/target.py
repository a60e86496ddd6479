"""What is fuzzed, and what counts as failure: anything but a result or a ``Fault``.

A decoder must also answer within a second, must not wait for what does not come and
must not fill the memory: a small input that keeps a process busy or makes it large is
an attack, whatever it decodes to.
"""

import resource
import signal
import time
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Final, TypeVar

from google.protobuf.message import DecodeError, Message

from veilscore.fault import Fault
from veilscore.runtime.errors import WireError

LONGEST_S: Final = 1.0  # of processor time for one input
_HANG_S: Final = 20.0  # of processor time, after which it is not waited for
# By the clock, also for what waits and uses no processor. So long that a busy machine
# cannot need it.
_STUCK_S: Final = 60.0
_ALARMS: Final = (signal.SIGVTALRM, signal.SIGALRM)
_AT_ONCE_S: Final = 1e-3
# Above what the process had when its target began. The key of a keystore takes 128 MiB
# by design (scrypt, log2 n = 17); nothing else comes near.
MOST_MEMORY: Final = 256 * 1024  # KiB, as the system counts


@dataclass(frozen=True, slots=True)
class Target:
    """A decoder of the product, and bytes that it accepts.

    ``refused`` are bytes as well formed that it refuses. Both are what inputs are made
    of. ``once_wrong`` are inputs that did something else than they should before it was
    put right. ``share`` is how many inputs it gets, as a part of the usual number:
    less for one whose work, like a signature, takes long however good the input.
    """

    decode: Callable[[bytes], object]
    samples: Sequence[bytes]
    once_wrong: Sequence[bytes] = ()
    refused: Sequence[bytes] = ()
    share: float = 1.0


class HangError(BaseException):
    """An input that a decoder does not come back from; no ``except`` swallows it."""


@dataclass(slots=True)
class Feeding:
    """One target being fed; remembers the worst that it did."""

    name: str
    target: Target
    inputs: int = 0
    refused: int = 0
    slowest_s: float = 0.0
    memory: int = 0  # KiB above the beginning
    _before: int = 0

    def __post_init__(self) -> None:
        """Forget what the process needed for other targets."""
        Path("/proc/self/clear_refs").write_text("5", encoding="ascii")
        pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
        self._before = pages * resource.getpagesize() // 1024

    def feed(self, data: bytes) -> None:
        """Decode one input; raises what is no Fault, and says which input it was."""
        began = time.process_time()
        try:
            with _alarms():
                self.target.decode(data)
        except Fault:
            self.refused += 1
        except BaseException as error:
            error.add_note(f"{self.name} was given {data!r}")
            raise
        spent = time.process_time() - began
        self.inputs += 1
        self.slowest_s = max(self.slowest_s, spent)
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        self.memory = max(self.memory, peak - self._before)
        told = f"{self.name} was given {data!r}"
        assert spent <= LONGEST_S, f"{spent:.2f} s: {told}"
        assert self.memory <= MOST_MEMORY, f"{self.memory} KiB more: {told}"

    def __str__(self) -> str:
        """Say what came of it in one line."""
        return (
            f"{self.name}: {self.inputs} inputs, {self.refused} refused, slowest "
            f"{1000 * self.slowest_s:.0f} ms, {self.memory / 1024:.0f} MiB more"
        )


_Kind = TypeVar("_Kind", bound=Message)


def by_grpc(kind: type[_Kind], data: bytes) -> _Kind:
    """Return what gRPC hands to the product; it refuses what is no message itself."""
    try:
        return kind.FromString(data)
    except DecodeError as error:
        raise WireError("gRPC refuses this") from error


@contextmanager
def _alarms() -> Generator[None]:
    """Give up on an input that takes too long, of the processor's time or the clock's.

    pytest's own alarm goes by the clock, too: what is left of it is set again.
    """

    def ring(number: int, frame: FrameType | None) -> None:
        del frame
        clock = number == signal.SIGALRM
        spent = f"{_STUCK_S:g} s" if clock else f"{_HANG_S:g} s of processor time"
        raise HangError(f"not done after {spent}")

    before = {kind: signal.signal(kind, ring) for kind in _ALARMS}
    began = time.monotonic()
    signal.setitimer(signal.ITIMER_VIRTUAL, _HANG_S)
    left, again = signal.setitimer(signal.ITIMER_REAL, _STUCK_S)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)
        signal.setitimer(signal.ITIMER_REAL, 0)
        for kind, handler in before.items():
            signal.signal(kind, handler)
        if left:
            due = began + left - time.monotonic()
            signal.setitimer(signal.ITIMER_REAL, max(due, _AT_ONCE_S), again)
