"""A party's own events as somebody gets them: its file, or an export of its own log.

They are compared with an export of the log of all by ``reconcile_export``. Nothing is
verified when they are read: ``check`` does that, by the registry of such an export,
which was audited.
"""

from collections.abc import Generator, Iterator
from contextlib import contextmanager
from functools import lru_cache, partial
from pathlib import Path

from veilscore.keys.errors import ProofError, RegistryError
from veilscore.keys.registry import Registry
from veilscore.keys.tlog.archive import ExportFiles, open_export
from veilscore.keys.tlog.chain import (
    OwnEvent,
    OwnFile,
    events_between,
    open_own,
)
from veilscore.keys.tlog.checkpoint import open_checkpoint
from veilscore.keys.tlog.events import read_event
from veilscore.keys.tlog.export import CHECKPOINT, decode_text
from veilscore.keys.tlog.log_policy import LogPolicy
from veilscore.keys.tlog.note import NoteKey
from veilscore.keys.tlog.origin import own_origin
from veilscore.keys.tlog.recon.comparison import ReconReport, reconcile
from veilscore.keys.tlog.search import Progress, bundle_of, size_of
from veilscore.keys.tlog.tiles import WIDTH
from veilscore.keys.tlog.tree import Edge, leaf_hash

_SQLITE = b"SQLite format 3\0"


class OwnEvents:
    """All events of a party, in their order, and the newest checkpoint of its log.

    They are read again whenever they are asked for, some at a time.
    """

    def __init__(self, file: OwnFile, *, receipts: bool = True) -> None:
        if not file.size:
            raise ProofError("this party has no events yet")
        self._file = file
        self.party = read_event(file.read(0, 1)[0].leaf).event.actor
        self._receipts = receipts
        self._edge = Edge()  # of as many events as were asked about last

    @classmethod
    @contextmanager
    def open(cls, path: Path) -> Generator["OwnEvents"]:
        """Open a node's file of events, or an export of its own log.

        Raises:
            LogStoreError, ProofError: it is neither, or has no events.

        """
        if path.is_file() and _is_database(path):
            with open_own(path) as file:
                yield cls(file)
            return
        with open_export(path) as export:
            yield cls(_read_export(export), receipts=False)

    def check(self, registry: Registry) -> None:
        """Verify that the party signed a tree of these events.

        Raises:
            ProofError: it did not; or it is not registered.

        """
        try:
            key = registry.party(self.party).key
        except RegistryError as error:
            raise ProofError(error.what, party=self.party) from error
        log = NoteKey(own_origin(self.party, key), key)
        head = open_checkpoint(self._file.checkpoint, log)
        if head.size != len(self) or head.root != self.root(head.size):
            raise ProofError(
                "the own log signed another tree than that of its events",
                party=self.party,
                place=f"{head.size} entries",
                remedy="Check the file by `veilscore audit fsck`.",
            )

    @property
    def has_receipts(self) -> bool:
        """Whether an event without a receipt has none: an export holds no receipts."""
        return self._receipts

    def __len__(self) -> int:
        """Return how many there are."""
        return self._file.size

    def after(self, seq: int) -> Iterator[OwnEvent]:
        """Yield the events of larger numbers."""
        return events_between(self._file.read, seq, len(self))

    def event(self, seq: int) -> OwnEvent | None:
        """Return the event of this number."""
        if not 0 < seq <= len(self):
            return None
        return next(iter(self._file.read(seq - 1, seq)), None)

    def first_about(self, correlation: str) -> int:
        """Return the number of the first event about a run or request; 0: none."""
        events = (read_event(each.leaf).event for each in self.after(0))
        return next((e.seq for e in events if e.correlation == correlation), 0)

    def root(self, size: int) -> bytes:
        """Return the root of the first ``size`` events; raises ProofError."""
        if size > len(self):
            raise ProofError(f"the log has no {size} entries", party=self.party)
        if size < self._edge.size:
            self._edge = Edge()
        new = events_between(self._file.read, self._edge.size, size)
        self._edge = self._edge.extend(leaf_hash(each.leaf) for each in new)
        return self._edge.root()


def reconcile_export(
    own: OwnEvents,
    files: ExportFiles,
    policy: LogPolicy,
    progress: Progress = lambda _done, _total: None,
) -> ReconReport:
    """Compare all of a party's own events with an export, which was verified.

    Raises what ``reconcile`` does.
    """
    note = decode_text(files.read(CHECKPOINT))
    return reconcile(own.party, own, files, note, policy, progress=progress)


def _is_database(path: Path) -> bool:
    with path.open("rb") as file:
        return file.read(len(_SQLITE)) == _SQLITE


def _read_export(export: ExportFiles) -> OwnFile:
    size = size_of(export)
    bundle = lru_cache(maxsize=2)(partial(bundle_of, export, size))

    def read(start: int, end: int) -> list[OwnEvent]:
        return [
            OwnEvent(entry.opened.leaf)
            for number in range(start // WIDTH, -(-end // WIDTH))
            for entry in bundle(number)
            if start <= entry.index < end
        ]

    return OwnFile(read, size, decode_text(export.read(CHECKPOINT)))
