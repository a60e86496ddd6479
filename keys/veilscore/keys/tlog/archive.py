"""An export on disk: a directory, or an uncompressed tar that is never unpacked.

Files are read one at a time and none larger than the largest entry bundle, so a
hostile export can neither fill memory nor write outside its place.
"""

import io
import tarfile
from collections.abc import Generator, Iterable
from contextlib import contextmanager
from pathlib import Path
from typing import Protocol, Self

from veilscore.keys.errors import AuditError, LogStoreError, ProofError
from veilscore.keys.tlog.tiles import MAX_LEAF, WIDTH

ARCHIVE = "archive"  # the step of an audit in which an export is opened
MAX_FILE = WIDTH * (2 + MAX_LEAF)  # bytes


class LogFiles(Protocol):
    """The files of a log by name; ``read`` raises ProofError for a missing one."""

    def read(self, name: str) -> bytes:
        """Return a file's content."""
        ...


class ExportFiles(LogFiles, Protocol):
    """The files of an export, which has those of its log and no other."""

    def names(self) -> set[str]:
        """Name every file."""
        ...


def write_tar(path: Path, files: Iterable[tuple[str, bytes]]) -> None:
    """Write files as an uncompressed tar that depends on nothing but them."""
    with tarfile.open(path, "w", format=tarfile.USTAR_FORMAT) as tar:
        for name, data in files:
            member = tarfile.TarInfo(name)
            member.size = len(data)
            tar.addfile(member, io.BytesIO(data))


class DirectoryExport:
    """An export in a directory."""

    def __init__(self, root: Path) -> None:
        self._root = root

    def names(self) -> set[str]:
        """Name every file."""
        files = (path for path in self._root.rglob("*") if not path.is_dir())
        return {path.relative_to(self._root).as_posix() for path in files}

    def read(self, name: str) -> bytes:
        """Return a file's content."""
        path = self._root / name
        try:
            data = _beginning(path) if path.is_file() else None  # a pipe may never end
        except OSError as error:
            raise ProofError("the file is missing", place=name) from error
        if data is None:
            raise ProofError("the file is missing", place=name)
        return _within_limit(name, data)


def _beginning(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(MAX_FILE + 1)


class _PlainMember(tarfile.TarInfo):
    """A plain file or a folder, described by its one header.

    Headers that speak about the next one (GNU, pax) are followed as deep as there are
    any and read into memory whatever size they claim; no file of an export needs them.
    """

    @classmethod
    def frombuf(cls, buf: bytes | bytearray, encoding: str, errors: str) -> Self:
        """Read a header; raises ProofError if it stands for anything else."""
        member = super().frombuf(buf, encoding, errors)
        if member.type not in {tarfile.REGTYPE, tarfile.AREGTYPE, tarfile.DIRTYPE}:
            raise ProofError(f"{member.name!r} is no plain file")
        if not 0 <= member.size <= MAX_FILE:
            raise ProofError(
                f"the file is over {MAX_FILE} bytes long", place=member.name
            )
        return member


# What tarfile raises on bytes that are no tar; ValueError for absurd offsets.
_DAMAGED = (tarfile.TarError, ValueError)


class TarExport:
    """An export in a tar.

    Raises LogStoreError if there is none, AuditError if it is damaged or ambiguous.
    """

    def __init__(self, path: Path) -> None:
        self._members: dict[str, tarfile.TarInfo] = {}
        try:
            self._tar = tarfile.open(path, "r:", tarinfo=_PlainMember)  # noqa: SIM115 - ``close`` closes it
        except OSError as error:
            raise LogStoreError("there is no export", place=str(path)) from error
        except _DAMAGED as error:
            raise AuditError(ARCHIVE, "this is not a tar", place=str(path)) from error
        except ProofError as error:
            raise AuditError(ARCHIVE, str(error), place=str(path)) from error
        try:
            self._index()
        except (*_DAMAGED, ProofError) as error:
            self.close()
            raise AuditError(ARCHIVE, str(error), place=str(path)) from error

    def _index(self) -> None:
        for member in self._tar:
            name = member.name.removeprefix("./")
            if member.isdir():
                continue
            if name in self._members:
                raise ProofError(f"{name!r} is twice in the tar")
            self._members[name] = member

    def close(self) -> None:
        """Close the tar."""
        self._tar.close()

    def names(self) -> set[str]:
        """Name every file."""
        return set(self._members)

    def read(self, name: str) -> bytes:
        """Return a file's content."""
        member = self._members.get(name)
        try:
            file = member and self._tar.extractfile(member)
            data = file.read(MAX_FILE + 1) if file else None
        except _DAMAGED as error:
            raise ProofError("the tar is damaged", place=name) from error
        if data is None:
            raise ProofError("the file is missing", place=name)
        return _within_limit(name, data)


def _within_limit(name: str, data: bytes) -> bytes:
    if len(data) > MAX_FILE:
        raise ProofError(f"the file is over {MAX_FILE} bytes long", place=name)
    return data


@contextmanager
def open_export(path: Path) -> Generator[ExportFiles, None, None]:
    """Open an export: a directory, or else a tar."""
    if path.is_dir():
        yield DirectoryExport(path)
        return
    tar = TarExport(path)
    try:
        yield tar
    finally:
        tar.close()
