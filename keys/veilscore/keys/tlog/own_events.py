"""A party's own events as somebody gets them: its file, or an export of its own log.

They are compared with an export of the log of all by ``reconcile_export``. Nothing is
verified when they are read: ``check`` does that, by the registry of such an export,
which was audited.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path

from veilscore.keys.errors import ProofError, RegistryError
from veilscore.keys.registry import Registry
from veilscore.keys.tlog.archive import ExportFiles, open_export
from veilscore.keys.tlog.chain import OwnEvent, read_own
from veilscore.keys.tlog.checkpoint import open_checkpoint
from veilscore.keys.tlog.events import read_event
from veilscore.keys.tlog.export import CHECKPOINT, decode_text
from veilscore.keys.tlog.log_policy import LogPolicy
from veilscore.keys.tlog.note import NoteKey
from veilscore.keys.tlog.origin import own_origin
from veilscore.keys.tlog.recon import ReconReport, reconcile
from veilscore.keys.tlog.search import Progress, entries_of
from veilscore.keys.tlog.tree import EMPTY_ROOT, Edge, leaf_hash

_SQLITE = b"SQLite format 3\0"


class OwnEvents:
    """All events of a party, in their order, and the newest checkpoint of its log."""

    def __init__(
        self, events: Sequence[OwnEvent], *, checkpoint: str = "", receipts: bool = True
    ) -> None:
        if not events:
            raise ProofError("this party has no events yet")
        self.party = read_event(events[0].leaf).event.actor
        self.checkpoint = checkpoint
        self._events = events
        self._by_seq = {read_event(each.leaf).event.seq: each for each in events}
        self._receipts = receipts
        self._edge = Edge()  # of as many events as were asked about last

    @classmethod
    def read(cls, path: Path) -> "OwnEvents":
        """Read a node's file of events, or an export of its own log.

        Raises:
            LogStoreError, ProofError: it is neither, or has no events.

        """
        if path.is_file() and _is_database(path):
            events, note = read_own(path)
            return cls(events, checkpoint=note)
        with open_export(path) as export:
            leaves = [OwnEvent(entry.opened.leaf) for entry in entries_of(export)]
            note = decode_text(export.read(CHECKPOINT))
        return cls(leaves, checkpoint=note, receipts=False)

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
        head = open_checkpoint(self.checkpoint, log)
        if head.size != len(self._events) or head.root != self.root(head.size):
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
        return len(self._events)

    def after(self, seq: int) -> Iterator[OwnEvent]:
        """Yield the events of larger numbers."""
        yield from self._events[seq:]

    def event(self, seq: int) -> OwnEvent | None:
        """Return the event of this number."""
        return self._by_seq.get(seq)

    def first_about(self, correlation: str) -> int:
        """Return the number of the first event about a run or request; 0: none."""
        events = (read_event(each.leaf).event for each in self._events)
        return next((e.seq for e in events if e.correlation == correlation), 0)

    def root(self, size: int) -> bytes:
        """Return the root of the first ``size`` events; raises ProofError."""
        if size > len(self._events):
            raise ProofError(f"the log has no {size} entries", party=self.party)
        if size < self._edge.size:
            self._edge = Edge()
        new = self._events[self._edge.size : size]
        self._edge = self._edge.extend(leaf_hash(each.leaf) for each in new)
        return self._edge.root() if size else EMPTY_ROOT


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
