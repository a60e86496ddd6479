"""Small files that must be private, and whole after a crash.

Everything written here can be read by its owner only and is on disk on return.
"""

import os
import stat
import tempfile
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

from veilscore.keys.errors import FileError

# A file that is being written is named PROCESS-writes-RANDOM.unfinished.
_OF = "-writes-"
_UNFINISHED = ".unfinished"


def create(path: Path, data: bytes) -> None:
    """Write a new file; raises FileError if there is one."""
    with _named(path, "written"):
        _write(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), data)
        _sync(path.parent)


def replace(path: Path, data: bytes) -> None:
    """Write a file: after a crash it holds the old or the new bytes, whole.

    A crash may also leave a file beside it, which ``sweep`` knows by its name.
    """
    with _named(path, "written"):
        descriptor, temporary = tempfile.mkstemp(  # mode 0600
            _UNFINISHED, f"{os.getpid()}{_OF}", path.parent
        )
        try:
            _write(descriptor, data)
            Path(temporary).replace(path)
        finally:
            Path(temporary).unlink(missing_ok=True)
        _sync(path.parent)


def sweep(folder: Path) -> None:
    """Delete what killed processes left of their ``replace`` in a folder and below."""
    with _named(folder, "swept"):
        for path in folder.rglob(f"*{_OF}*{_UNFINISHED}"):
            writer = path.name.partition(_OF)[0]
            if writer.isdecimal() and not _lives(int(writer)):
                path.unlink(missing_ok=True)


def read(path: Path) -> bytes:
    """Return a file's bytes; raises FileError."""
    with _named(path, "read"):
        return path.read_bytes()


def read_private(path: Path) -> bytes:
    """Return a file's bytes; raises FileError if others may read or write it."""
    with _named(path, "read"), path.open("rb") as file:
        mode = os.fstat(file.fileno()).st_mode
        data = file.read()
    check_private(path, mode)
    return data


def check_private(path: Path, mode: int) -> None:
    """Raise FileError if ``mode`` lets others than the owner read or write the file."""
    if mode & (stat.S_IRWXG | stat.S_IRWXO):
        raise FileError(
            "other users of this machine may read or write this file",
            place=str(path),
            remedy=f"Run: chmod 600 {path}",
        )


def _lives(process: int) -> bool:
    """Say whether there is another process of this number."""
    if process == os.getpid():
        return False  # this one is just starting
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass  # it is another user's
    return True


def _write(descriptor: int, data: bytes) -> None:
    with os.fdopen(descriptor, "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


def _sync(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)  # makes new names durable
    finally:
        os.close(descriptor)


@contextmanager
def _named(path: Path, verb: str) -> Generator[None]:
    try:
        yield
    except OSError as error:
        raise FileError(
            f"the file cannot be {verb}: {error.strerror}",
            place=str(path),
            remedy="Check the path, the permissions of its folder and the disk.",
        ) from error
