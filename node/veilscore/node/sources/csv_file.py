"""Read the declared columns of a CSV file, plain or gzipped, and write a small one."""

import csv
import gzip
import io
import zlib
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Final, TextIO, cast

from veilscore.keys import files
from veilscore.node.sources.origin import CHUNK_ROWS, Chunk, Origin

# No row of a table is longer, and a few kilobytes of gzip may hold a line of gigabytes.
_LONGEST_LINE: Final = 1 << 20  # characters


def read_csv(
    path: Path, encoding: str, columns: Sequence[str], origin: Origin
) -> Iterator[Chunk]:
    """Yield the columns as text; raise ``SourceError`` on a file that breaks off."""
    row = 0
    try:
        with _open(path, encoding) as file:
            # Strict, because a stray quote otherwise swallows the rows behind it.
            # Blank lines come out as empty lists and do not count.
            lines = filter(None, csv.reader(_lines(file, origin), strict=True))
            header = [name.strip() for name in next(lines, ())]
            if not header:
                raise origin.error("the file is empty", "Export it again")
            origin.require(columns, header)
            places = {column: header.index(column) for column in columns}
            while rows := list(islice(lines, CHUNK_ROWS)):
                _check_widths(rows, len(header), row, origin)
                row += len(rows)
                yield {
                    column: [cells[place] for cells in rows]
                    for column, place in places.items()
                }
    except FileNotFoundError as error:
        raise origin.error(
            "the file does not exist", "Correct the path, or export the file"
        ) from error
    except UnicodeDecodeError as error:
        other = "gb18030" if encoding == "utf-8" else "utf-8"
        raise origin.error(
            f"a line after data row {row} is not {encoding} text",
            f'Set encoding = "{other}", or export the file as {encoding}',
        ) from error
    except csv.Error as error:
        raise origin.error(
            f"a line after data row {row} is not CSV ({error})",
            "Close its quotes and double the quotes inside them",
        ) from error
    except (OSError, EOFError, zlib.error) as error:
        raise origin.error(
            f"the file cannot be read ({type(error).__name__})",
            "Check its permissions and that it was copied completely",
        ) from error


def write_csv(
    path: Path, header: Sequence[str], rows: Iterable[Sequence[object]]
) -> None:
    """Write a file whole or not at all; replaces an older one. Raises FileError."""
    text = io.StringIO(newline="")
    writer = csv.writer(text)
    writer.writerow(header)
    writer.writerows(rows)
    files.replace(path, text.getvalue().encode())


def _open(path: Path, encoding: str) -> TextIO:
    # Excel puts a byte order mark before UTF-8.
    codec = "utf-8-sig" if encoding == "utf-8" else encoding
    if path.suffix == ".gz":
        return cast("TextIO", gzip.open(path, "rt", encoding=codec, newline=""))
    return path.open(encoding=codec, newline="")


def _lines(file: TextIO, origin: Origin) -> Iterator[str]:
    while line := file.readline(_LONGEST_LINE + 1):
        if len(line) > _LONGEST_LINE:
            raise origin.error(
                f"a line is over {_LONGEST_LINE} characters long",
                "Export it again with one row a line",
            )
        yield line


def _check_widths(
    rows: list[list[str]], width: int, before: int, origin: Origin
) -> None:
    for at, cells in enumerate(rows, start=before + 1):
        if len(cells) != width:
            raise origin.error(
                f"the row has {len(cells)} cells and the header has {width}",
                "Quote cells that hold commas, and export every column",
                row=at,
            )
