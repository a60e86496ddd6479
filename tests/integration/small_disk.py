"""A small file system in the place of a folder, which a test can fill to the last byte.

It is a tmpfs: mounting one needs root, and Linux. ENOSPC comes from the kernel.
"""

import ctypes
import shutil
import subprocess
import tempfile
from pathlib import Path

_CLONE_NEWNS = 0x0002_0000  # linux/sched.h
_MIB = 96  # taken only while it is full


class SmallDisk:
    """What lies in ``folder`` moves to a disk of its own until ``close``."""

    def __init__(self, folder: Path, mib: int = _MIB) -> None:
        self._folder = folder
        self._ballast = folder / "ballast"
        with tempfile.TemporaryDirectory() as aside:
            shutil.copytree(folder, aside, dirs_exist_ok=True)
            options = f"size={mib}m,mode=700"
            subprocess.run(
                ["mount", "-t", "tmpfs", "-o", options, "tmpfs", folder],
                check=True,
                capture_output=True,
            )
            shutil.copytree(aside, folder, dirs_exist_ok=True)

    def fill(self) -> None:
        """Leave no byte; the superuser gets none either."""
        with self._ballast.open("wb", buffering=0) as file:
            for size in (1 << 20, 1 << 12, 1):
                try:
                    while True:
                        file.write(bytes(size))
                except OSError:
                    continue

    def free(self) -> None:
        """Give the space back."""
        self._ballast.unlink(missing_ok=True)

    def close(self) -> None:
        """Unmount, and keep what was on the disk: logs say why something failed."""
        self.free()
        with tempfile.TemporaryDirectory() as aside:
            shutil.copytree(self._folder, aside, dirs_exist_ok=True)
            # Lazily: a process that was just killed may still have files open.
            subprocess.run(["umount", "--lazy", self._folder], check=True)
            shutil.copytree(aside, self._folder, dirs_exist_ok=True)


def mount_privately() -> bool:
    """Let this process and its children alone see what it mounts from now on.

    So nothing stays mounted when they are gone, even if they are killed. Returns
    whether this user may mount at all.
    """
    if ctypes.CDLL(None).unshare(_CLONE_NEWNS) != 0:
        return False
    done = subprocess.run(["mount", "--make-rprivate", "/"], check=False)
    return done.returncode == 0
