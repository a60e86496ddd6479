"""What must hold after whatever befell a log: nothing lost, no fork, and it goes on.

The bank's events are the same whenever they are made again, so the log must hold the
first of them, whole and in order, and nothing else. Every root that the log ever signed
or acknowledged must be that of its first leaves, by a second implementation. The guard
must never stand behind what was acknowledged: it is read before the log is opened.
"""

import shutil
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from tests.unit.tlog.sample_log import ORIGIN, Parties, serve
from tests.vectors.tlog import make_tree
from veilscore.keys.tlog.checkpoint import open_checkpoint
from veilscore.keys.tlog.events import ActorHead, OpenedEvent
from veilscore.keys.tlog.guard import LogGuard
from veilscore.keys.tlog.store import LogStore


@dataclass(frozen=True, slots=True)
class Acknowledged:
    """A checkpoint that a child printed after the call had returned."""

    size: int
    root: bytes

    @classmethod
    def read(cls, lines: Sequence[str]) -> "list[Acknowledged]":
        """Return what was acknowledged, in order, of the lines of ``appending``."""
        words = [line.split() for line in lines if line[:1].isdecimal()]
        return [cls(int(size), bytes.fromhex(root)) for size, root in words]


class Judge:
    """Judges one log in a folder, to which only the bank ever appends."""

    def __init__(self, folder: Path, parties: Parties) -> None:
        self.folder = folder
        self._parties = parties
        self._story = parties.story("bank")
        self._events: list[OpenedEvent] = []
        self.acknowledged = 0  # entries

    def create(self, size: int) -> None:
        """Make the log, with as many events."""
        with self._store(new=True) as store:
            store.append(self._first(size))
        self.acknowledged = size

    def copy(self, folder: Path) -> "Judge":
        """Return the judge of a copy of the log, which is closed."""
        shutil.copytree(self.folder, folder)
        judge = Judge(folder, self._parties)
        judge._story, judge._events = self._story, self._events
        judge.acknowledged = self.acknowledged
        return judge

    def _store(self, *, new: bool = False) -> closing[LogStore]:
        hub, guard = self._parties.signers["hub"], self.folder / "log-guard.sqlite"
        begin = LogStore.create if new else LogStore.open
        return closing(begin(self.folder / "log.sqlite", ORIGIN, hub, guard=guard))

    def _first(self, count: int) -> list[OpenedEvent]:
        while len(self._events) < count:
            self._events.append(next(self._story))
        return self._events[:count]

    @property
    def head(self) -> ActorHead:
        """The last event that the bank knows to be in the log."""
        return self._first(self.acknowledged)[-1].head

    def judge(self, acknowledged: Sequence[Acknowledged]) -> None:
        """Fail unless all of it holds; append what is not acknowledged yet, and more.

        ``acknowledged`` is what was since the last time.
        """
        told = max([self.acknowledged, *(each.size for each in acknowledged)])
        guarded, guarded_root = self._guarded()
        assert guarded >= told, "acknowledged before the guard took note"
        with self._store() as store:
            leaves = self._check_leaves(store, told)
            assert guarded_root == make_tree.mth(leaves[:guarded])
            for each in acknowledged:
                assert each.root == make_tree.mth(leaves[: each.size])
            self._check_signed(store, leaves)
            self._go_on(store, told)
        guarded, _ = self._guarded()
        assert guarded == self.acknowledged

    def _guarded(self) -> tuple[int, bytes]:
        path = self.folder / "log-guard.sqlite"
        with closing(LogGuard.open(path, ORIGIN)) as guard:
            return guard.head()

    def _check_leaves(self, store: LogStore, told: int) -> list[bytes]:
        """Return the leaves, of which no acknowledged one is absent or another."""
        size = store.size
        assert size >= told, f"{told - size} acknowledged entries were lost"
        leaves = [store.entry(index).opened.leaf for index in range(size)]
        assert leaves == [event.leaf for event in self._first(size)]
        return leaves

    def _check_signed(self, store: LogStore, leaves: list[bytes]) -> None:
        """Compare the checkpoints since the last time with the leaves."""
        for index in range(self.acknowledged - 1, len(leaves)):
            proof = store.receipt(index)
            signed = open_checkpoint(proof.checkpoint, store.key)
            assert signed.root == make_tree.mth(leaves[: signed.size])

    def _go_on(self, store: LogStore, told: int) -> None:
        """Send what the bank believes not to be in the log, and one event more."""
        size = store.size
        events = self._first(size + 1)[told:]
        service = serve(store, self._parties)
        proofs = service.append([event.leaf for event in events])
        for event, proof in zip(events, proofs, strict=True):
            proof.verify(event.leaf, store.key)
        assert store.size == size + 1
        self.acknowledged = store.size
