"""What a piece of work costs: CPU and wall time, memory, bytes on the wire.

CPU time is that of all threads of this process. Peak memory is the most that the whole
process held during the work, imports and keys included; Linux forgets the older peak
when it is asked to.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Self, TypeVar

_R = TypeVar("_R")


@dataclass(frozen=True, slots=True)
class Cost:
    """Of one unit of work, which the row that shows it names."""

    cpu_s: float = 0.0
    wall_s: float = 0.0
    peak_mib: float = 0.0
    wire_bytes: float = 0.0

    def __add__(self, other: "Cost") -> "Cost":
        """Return the cost of both, one after the other."""
        return Cost(
            self.cpu_s + other.cpu_s,
            self.wall_s + other.wall_s,
            max(self.peak_mib, other.peak_mib),
            self.wire_bytes + other.wire_bytes,
        )

    def times(self, count: float) -> "Cost":
        """Return the cost of ``count`` such units."""
        return Cost(
            self.cpu_s * count,
            self.wall_s * count,
            self.peak_mib,
            self.wire_bytes * count,
        )

    def sending(self, wire_bytes: float) -> "Cost":
        """Return the same cost with these bytes on the wire."""
        return Cost(self.cpu_s, self.wall_s, self.peak_mib, wire_bytes)


@dataclass(slots=True)
class Stopwatch:
    """Measures what happens in its block; ``cost`` holds after it."""

    cost: Cost = Cost()
    _cpu: float = 0.0
    _wall: float = 0.0

    def __enter__(self) -> Self:
        _forget_peak()
        self._cpu, self._wall = time.process_time(), time.perf_counter()
        return self

    def __exit__(self, *reason: object) -> None:
        cpu, wall = time.process_time(), time.perf_counter()
        self.cost = Cost(cpu - self._cpu, wall - self._wall, _peak_mib())


def timed(work: Callable[[], _R]) -> tuple[_R, Cost]:
    """Return the result of the work and its cost."""
    with Stopwatch() as watch:
        result = work()
    return result, watch.cost


def timed_again(work: Callable[[], _R], repeats: int) -> tuple[_R, Cost]:
    """Return the work's result and its cost in the repeat that took least CPU time."""
    runs = [timed(work) for _ in range(repeats)]
    return min(runs, key=lambda run: run[1].cpu_s)


def least(work: Callable[[], object], items: int, repeats: int) -> Cost:
    """Return the cost of an item in the repeat that took least CPU time."""
    return timed_again(work, repeats)[1].times(1 / items)


def _forget_peak() -> None:
    # "5" resets VmHWM; see proc(5).
    Path("/proc/self/clear_refs").write_text("5", encoding="ascii")


def _peak_mib() -> float:
    for line in Path("/proc/self/status").read_text(encoding="utf-8").splitlines():
        name, _, value = line.partition(":")
        if name == "VmHWM":
            return int(value.split()[0]) / 1024
    raise OSError("the kernel does not tell this process's peak memory")
