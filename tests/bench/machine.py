"""The machine that figures were taken on, without its name, its users or its paths."""

import os
import platform
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from gmpy2 import mp_version

_PACKAGES = ("gmpy2", "phe", "numpy", "sf-heu", "pypaillier")


def describe() -> dict[str, str]:
    """Return what a reader needs to compare figures, in the order to show it."""
    return {
        "date": datetime.now(UTC).strftime("%Y-%m-%d"),
        "processor": _first("/proc/cpuinfo", "model name"),
        "cores": str(len(os.sched_getaffinity(0))),
        "memory": f"{_memory_gib():.0f} GiB",
        "Python": platform.python_version(),
        "GMP": mp_version().removeprefix("GMP "),
    } | {package: _version(package) for package in _PACKAGES}


def load() -> str:
    """Return how many processes were ready to run in the last minute."""
    return f"{os.getloadavg()[0]:.1f}"


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "not installed"


def _memory_gib() -> float:
    return int(_first("/proc/meminfo", "MemTotal").split()[0]) / 2**20


def _first(file: str, wanted: str) -> str:
    for line in Path(file).read_text(encoding="utf-8").splitlines():
        name, _, value = line.partition(":")
        if name.strip() == wanted:
            return value.strip()
    return platform.machine()  # ARM names no model
