"""Reading an export, or a log that is served file by file, entry by entry.

Nothing is verified here: whoever searches an export verifies it first (``audit``), or
verifies what it found (``evidence.audit``).
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from veilscore.keys.errors import ProofError
from veilscore.keys.tlog.archive import LogFiles
from veilscore.keys.tlog.checkpoint import open_checkpoint
from veilscore.keys.tlog.events import read_event
from veilscore.keys.tlog.export import (
    CHECKPOINT,
    LOG,
    decode_text,
    read_log_document,
)
from veilscore.keys.tlog.reader import Entry
from veilscore.keys.tlog.tiles import (
    HEIGHT,
    WIDTH,
    Tile,
    decode_bundle,
    tile_reader,
)
from veilscore.keys.tlog.tree import HashReader

# Called with how many entries were read, and of how many.
Progress = Callable[[int, int], object]


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which events are sought; an empty text fits all."""

    actor: str = ""
    kind: str = ""
    correlation: str = ""

    def fits(self, entry: Entry) -> bool:
        """Say whether this is one of them."""
        event = entry.opened.event
        return (
            self.actor in {"", event.actor}
            and self.kind in {"", entry.opened.kind}
            and self.correlation in {"", event.correlation}
        )


def size_of(files: LogFiles) -> int:
    """Return how many entries an export says that it has; raises ProofError."""
    key = read_log_document(files.read(LOG))
    return open_checkpoint(decode_text(files.read(CHECKPOINT)), key).size


def entries_of(
    files: LogFiles, progress: Progress = lambda _done, _total: None
) -> Iterator[Entry]:
    """Yield all entries of an export; raises ProofError, which names the file."""
    for entries in bundles_from(files, 0, size_of(files), progress):
        yield from entries


def bundles_from(
    files: LogFiles,
    start: int,
    size: int,
    progress: Progress = lambda _done, _total: None,
) -> Iterator[list[Entry]]:
    """Yield the entries from ``start`` of a log of ``size``, a bundle at a time.

    Raises:
        ProofError: they cannot be read; names the file.

    """
    for number in range(start // WIDTH, -(-size // WIDTH)):
        progress(max(number * WIDTH, start) - start, size - start)
        entries = bundle_of(files, size, number)
        yield [entry for entry in entries if entry.index >= start]
    progress(size - start, size - start)


def bundle_of(files: LogFiles, size: int, number: int) -> list[Entry]:
    """Return the entries of one bundle of a log of ``size`` entries.

    Raises:
        ProofError: they cannot be read; names the file.

    """
    first = number * WIDTH
    bundle = Tile(None, number, min(WIDTH, size - first))
    try:
        leaves = decode_bundle(files.read(bundle.path), bundle.width)
        return [
            Entry(index, read_event(leaf)) for index, leaf in enumerate(leaves, first)
        ]
    except ProofError as error:
        error.place = error.place or bundle.path
        raise


def hashes_of(files: LogFiles, size: int) -> HashReader:
    """Return what reads the hashes of a log's tree of ``size`` entries."""

    def read_tile(level: int, number: int) -> bytes:
        below = size >> HEIGHT * level  # hashes on this level
        width = min(WIDTH, below - number * WIDTH)
        return files.read(Tile(level, number, width).path)

    return tile_reader(read_tile)
