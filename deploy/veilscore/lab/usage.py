"""What a process and its descendants use, read from Linux's /proc.

Memory is PSS: a page shared by several processes counts in parts, so that the figures
of all processes add up. See proc(5).
"""

import os
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

_PROC = Path("/proc")
_PARENT, _USER, _SYSTEM = 1, 11, 12  # fields of stat behind the name


def family(root: int) -> list[int]:
    """Return a process and all of its descendants, without those that just ended."""
    children: dict[int, list[int]] = {}
    for entry in _PROC.glob("[0-9]*"):
        with suppress(OSError):
            children.setdefault(int(_stat(entry)[_PARENT]), []).append(int(entry.name))
    found = [root]
    for process in found:  # grows while it is walked
        found += children.get(process, [])
    return found


def memory_mib(processes: Iterable[int]) -> float:
    """Return the proportional set size of these processes together."""
    kib = 0
    for process in processes:
        with suppress(OSError):
            for line in (
                (_PROC / str(process) / "smaps_rollup").read_text().splitlines()
            ):
                if line.startswith("Pss:"):
                    kib += int(line.split()[1])
    return kib / 1024


def cpu_seconds(processes: Iterable[int]) -> float:
    """Return the processor time that these processes have had."""
    ticks = 0
    for process in processes:
        with suppress(OSError):
            fields = _stat(_PROC / str(process))
            ticks += int(fields[_USER]) + int(fields[_SYSTEM])
    return ticks / os.sysconf("SC_CLK_TCK")


def _stat(entry: Path) -> list[str]:
    # The name stands in brackets and may hold anything, brackets too.
    return (entry / "stat").read_text().rpartition(")")[2].split()
