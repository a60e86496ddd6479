"""Finds planted secrets in bytes, also inside what is compressed there.

One pass whatever the number of secrets: every 8 bytes of the data are looked up among
the beginnings of all forms. zlib and gzip streams are found at any place, members of
zip files (Flower's bundles are some) too, and bare deflate streams at any place of data
up to ``BARE_BYTES``, at the start of what is longer. What is found inside is searched
the same way, ``_DEPTH`` deep. SQLite files are searched as bytes, where deleted rows
may still be, and cell by cell, because a page's end can cut a value in two.
"""

import re
import sqlite3
import zlib
from collections.abc import Iterable, Iterator
from contextlib import closing, suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from tests.attacks.canary_forms import Canary, CanaryNumber
from veilscore.lab.beginnings import Beginnings

BARE_BYTES = 1 << 16
_DEPTH = 3
_INFLATED = 1 << 26  # bytes of one stream that are looked at
_BLOCK = 1 << 20
_TRIAL = 48  # bytes of a possible stream that must make sense first

# RFC 1950: method 8, no dictionary, check bits that make it a multiple of 31.
_ZLIB = [
    bytes((method, flags))
    for method in range(0x08, 0x80, 0x10)
    for flags in range(256)
    if (256 * method + flags) % 31 == 0 and not flags & 0x20
]
_HEADERS = b"|".join([b"\x1f\x8b\x08", *map(re.escape, _ZLIB)])
_STREAM = re.compile(b"(?=" + _HEADERS + b")")  # looked ahead: headers may overlap
_MEMBER = re.compile(rb"PK\x03\x04.{4}\x08\0.{16}(?P<name>..)(?P<extra>..)", re.DOTALL)
_EITHER, _BARE = 47, -15  # zlib's wbits: a zlib or gzip header, or none
_SQLITE = b"SQLite format 3\0"


@dataclass(frozen=True, slots=True)
class Leak:
    """A secret where it must not be."""

    where: str
    what: str
    form: str

    def __str__(self) -> str:
        """Say all of it in one line, without the secret."""
        return f"{self.what} as {self.form} in {self.where}"


class LeakScanner:
    """Searches for these secrets."""

    def __init__(self, secrets: Iterable[Canary | CanaryNumber]) -> None:
        secrets = tuple(secrets)
        long = (
            ((each.what, form), text) for each in secrets for form, text in each.forms()
        )
        self._long = Beginnings(8, long)
        short = (
            ((each.what, form), text)
            for each in secrets
            if isinstance(each, CanaryNumber)
            for form, text in each.short_forms()
        )
        self._short = Beginnings(4, short)

    def scan(self, where: str, data: bytes) -> set[Leak]:
        """Return every secret in ``data``."""
        return set(self._scan(where, data, _DEPTH))

    def scan_folder(self, folder: Path) -> set[Leak]:
        """Return every secret in the names and the bytes of all files.

        Databases are opened, which changes their files: this is for a copy.
        """
        files = {
            str(path.relative_to(folder)): path.read_bytes()
            for path in sorted(folder.rglob("*"))
            if path.is_file()
        }
        found = self.scan("the names of files", "\n".join(files).encode())
        for name, data in files.items():
            found |= self.scan(name, data)
        for name, data in files.items():
            if data.startswith(_SQLITE):
                for table, cell in _cells(folder / name):
                    found |= self.scan(f"{name}, table {table}", cell)
        return found

    def _scan(self, where: str, data: bytes, depth: int) -> Iterator[Leak]:
        for _, (what, form) in self._long.find(data):
            yield Leak(where, what, form)
        yield from self._neighbours(where, data)
        if not depth:
            return
        for kind, inside in _inflated(data):
            yield from self._scan(f"{where}, {kind}", inside, depth - 1)
        if len(data) <= BARE_BYTES:
            # Most of it is noise: it is searched in one piece and not inflated again.
            noise = b"\0".join(_inflated_anywhere(data))
            yield from self._scan(f"{where}, deflate", noise, 0)

    def _neighbours(self, where: str, data: bytes) -> Iterator[Leak]:
        """Yield numbers of 32 bits that stand next to each other."""
        places = dict(self._short.find(data))
        for at, (what, form) in places.items():
            if at + 4 in places or at - 4 in places:
                yield Leak(where, what, form)


def _inflated(data: bytes) -> Iterator[tuple[str, bytes]]:
    """Yield what streams with a header hold, and a bare one at the start."""
    view = memoryview(data)
    for match in _STREAM.finditer(data):
        yield "zlib or gzip", _inflate_part(view[match.start() :], _EITHER)
    for match in _MEMBER.finditer(data):
        skipped = sum(
            int.from_bytes(match[part], "little") for part in ("name", "extra")
        )
        yield "zip", _inflate_part(view[match.end() + skipped :], _BARE)
    yield "deflate", _inflate_part(view, _BARE)


def _inflated_anywhere(data: bytes) -> Iterator[bytes]:
    view = memoryview(data)
    # RFC 1951, 3.2.3: bits 1 and 2 say how a block is compressed. There is no way 3,
    # and what way 0 does not compress is found as it is.
    ways = np.frombuffer(data, np.uint8) >> 1 & 3
    for at in np.flatnonzero((ways == 1) | (ways == 2)).tolist():
        if _inflate(view[at : at + _TRIAL], _BARE):
            yield _inflate(view[at:], _BARE)


def _inflate(data: memoryview, wbits: int) -> bytes:
    try:
        return zlib.decompressobj(wbits).decompress(data, _INFLATED)
    except zlib.error:
        return b""


def _inflate_part(data: memoryview, wbits: int) -> bytes:
    """Return what a stream holds until it breaks off."""
    engine = zlib.decompressobj(wbits)
    held = bytearray()
    with suppress(zlib.error):
        for at in range(len(data)):
            held += engine.decompress(data[at : at + 1])
            if engine.eof or len(held) > _INFLATED:
                break
    return bytes(held)


def _cells(path: Path) -> Iterator[tuple[str, bytes]]:
    """Yield the texts and blobs of a database, of its write-ahead log too."""
    with closing(sqlite3.connect(path)) as database:
        tables = database.execute("SELECT name FROM sqlite_schema WHERE type = 'table'")
        for (table,) in tables.fetchall():
            name = table.replace('"', '""')
            for row in database.execute(f'SELECT * FROM "{name}"'):  # noqa: S608 - quoted
                for cell in row:
                    if isinstance(cell, bytes):
                        yield table, cell
                    elif isinstance(cell, str):
                        yield table, cell.encode()
