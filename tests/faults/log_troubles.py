"""Three ways in which a coordinator cannot write its log for a while, and may read it.

All are the kernel's doing. A limit on the size of files needs no privilege and works
everywhere, but its error is EFBIG; a full file system gives ENOSPC, and is a tmpfs that
only root may mount. (``PRAGMA max_page_count`` would be SQLite's own word: no write
would fail half-way.) A log file that may only be read, as one that was restored with
the wrong permissions, is mounted over itself for root, who may write to all others.
"""

import resource
import subprocess
from typing import Protocol

from tests.integration.small_disk import SmallDisk
from tests.protocol.score_world import World
from veilscore.v1.audit_pb2 import Started

_FILLING = 40  # events; then the log's files are larger than those of all nodes


class Trouble(Protocol):
    """A log that cannot be written from ``begin`` to ``end``."""

    def begin(self, hub: World) -> None: ...

    def end(self, hub: World) -> None: ...


class FileLimit:
    """No file of this process may become larger than the log's is now."""

    def begin(self, hub: World) -> None:
        for _ in range(_FILLING):
            hub.append_own(Started(version="0.1"))
        wal = hub.log.with_name(f"{hub.log.name}-wal")
        self._before = resource.getrlimit(resource.RLIMIT_FSIZE)
        limit = (wal.stat().st_size, self._before[1])
        resource.setrlimit(resource.RLIMIT_FSIZE, limit)

    def end(self, hub: World) -> None:
        del hub
        resource.setrlimit(resource.RLIMIT_FSIZE, self._before)


class FullDisk:
    """The file system of the log and its guard is full."""

    def __init__(self, disk: SmallDisk) -> None:
        self._disk = disk

    def begin(self, hub: World) -> None:
        del hub
        self._disk.fill()

    def end(self, hub: World) -> None:
        del hub
        self._disk.free()


class ReadOnlyFile:
    """The coordinator is started on a log file that it may read and not write."""

    def __init__(self, *, mounted: bool) -> None:
        self._mounted = mounted

    def begin(self, hub: World) -> None:
        hub.reopen_log(lambda: self._protect(hub))

    def end(self, hub: World) -> None:
        hub.reopen_log(lambda: self._release(hub))

    def _protect(self, hub: World) -> None:
        if self._mounted:
            _mount("--bind", str(hub.log), str(hub.log))
            _mount("-o", "remount,bind,ro", str(hub.log))
        else:
            hub.log.chmod(0o400)

    def _release(self, hub: World) -> None:
        if self._mounted:
            subprocess.run(["umount", hub.log], check=True)
        else:
            for path in hub.log.parent.glob(f"{hub.log.name}*"):
                path.chmod(0o600)  # SQLite gave its files beside it the same mode


def _mount(*arguments: str) -> None:
    subprocess.run(["mount", *arguments], check=True, capture_output=True)
