"""The audit log as the coordinator runs it: takes signed events, gives out proofs.

The coordinator orders events; it cannot make, change or drop one of another party,
because each is signed by its actor and chained to the actor's one before. It learns
what the log says, which is what auditors may know.

How far an actor's clock may be off, and whether the caller is the actor, is checked
where the call comes in. Which role may read what is for the web.
"""

from collections import deque
from collections.abc import Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from threading import Lock

from veilscore.coordinator.cosigning import Cosigning
from veilscore.coordinator.errors import AppendError
from veilscore.keys.errors import ProofError
from veilscore.keys.identity import Signer
from veilscore.keys.registry import Registry
from veilscore.keys.tlog.events import (
    Detail,
    OpenedEvent,
    build_event,
    open_event,
    sign_event,
)
from veilscore.keys.tlog.export import log_document, static_file
from veilscore.keys.tlog.reader import Entry
from veilscore.keys.tlog.store import LogStore
from veilscore.keys.tlog.tiles import Tile
from veilscore.keys.tlog.tlog_proof import TlogProof

_WITNESSED_S = 5.0  # how long a receipt waits for witnesses


@dataclass(frozen=True, slots=True)
class _Waiting:
    """Events of one call, and where their places in the log will be."""

    events: Sequence[OpenedEvent]
    indices: Future[list[int]] = field(default_factory=Future[list[int]])


class LogService:
    """One log; every method may be called from any thread.

    What is handed in while another write is under way is written together, so that
    many callers wait for one write to the disk. ``registry`` is replaced by the owner
    when a party joins; ``cosigning`` must have been started. Everything raises
    LogStoreError when the store fails, or a witness has seen another log than this.
    """

    def __init__(
        self, store: LogStore, registry: Registry, signer: Signer, cosigning: Cosigning
    ) -> None:
        self.registry = registry
        self._store = store
        self._cosigning = cosigning
        self._signer = signer
        self._lock = Lock()  # from reading an actor's head to writing its event
        self._waiting: deque[_Waiting] = deque()

    def append(self, leaves: Sequence[bytes]) -> list[TlogProof]:
        """Append a party's events, all or none, and return their proofs.

        In a witnessed log they lead to a cosigned checkpoint, if there is one in time;
        else to one that only the log has signed. An event that the log holds already is
        answered with its proof again.

        Raises:
            AppendError: not an event signed by a registered party, or not the next
                of that party.

        """
        self._cosigning.check()
        try:
            waiting = _Waiting([open_event(leaf, self.registry) for leaf in leaves])
        except ProofError as error:
            raise AppendError(
                error.what, party=error.party, remedy=error.remedy
            ) from error
        self._waiting.append(waiting)
        with self._lock:
            self._write_waiting()
        indices = waiting.indices.result()
        self._cosigning.wait(max(indices) + 1, _WITNESSED_S)
        return self._store.receipts(indices)

    def append_own(self, detail: Detail, *, correlation: str, now_ms: int) -> None:
        """Sign and append an event of the coordinator itself; raises AppendError.

        Nobody waits for its receipt.
        """
        self._cosigning.check()
        actor = self.registry.coordinator.name
        with self._lock:
            event = build_event(
                detail,
                actor=actor,
                head=self._store.head(actor),
                correlation=correlation,
                time_ms=now_ms,
            )
            try:
                opened = sign_event(event, self._signer)
            except ProofError as error:
                raise AppendError(error.what, party=actor) from error
            self._append([opened])

    def _write_waiting(self) -> None:
        """Write what waits, together if it fits; nothing does if another call did."""
        batch: list[_Waiting] = []
        while self._waiting:
            batch.append(self._waiting.popleft())
        try:
            indices = iter(self._append([it for each in batch for it in each.events]))
        except Exception:  # noqa: BLE001 - one after the other, each to its own end
            for each in batch:
                try:
                    each.indices.set_result(self._append(each.events))
                except Exception as error:  # noqa: BLE001 - whoever waits raises it
                    each.indices.set_exception(error)
        else:
            for each in batch:
                each.indices.set_result([next(indices) for _ in each.events])

    def _append(self, events: Sequence[OpenedEvent]) -> list[int]:
        known = [self._find(opened) for opened in events]
        new = [
            opened for opened, index in zip(events, known, strict=True) if index is None
        ]
        try:
            written = iter(self._store.append(new) if new else ())
        except ProofError as error:
            raise AppendError(
                error.what,
                party=error.party,
                remedy="Send the party's events in order; if its record of them "
                "was lost, restore it.",
            ) from error
        self._cosigning.cover()
        return [next(written) if index is None else index for index in known]

    def _find(self, opened: OpenedEvent) -> int | None:
        """Return where the event is; raise AppendError if another is in its place."""
        event = opened.event
        known = self._store.find(event.actor, event.seq)
        if known is None:
            return None
        if known.opened.leaf == opened.leaf:
            return known.index
        raise AppendError(
            f"event {event.seq} of {event.actor} is in the log already, as "
            f"entry {known.index}, and says something else",
            party=event.actor,
            remedy="Restore the party's record of its events; two copies of it "
            "are in use, or an old one.",
        )

    @property
    def size(self) -> int:
        """Number of entries."""
        return self._store.size

    def log_document(self) -> bytes:
        """Return ``log.v1.json``."""
        return log_document(self._store.key)

    def checkpoint(self) -> str:
        """Return the newest checkpoint, a signed note."""
        return self._store.checkpoint()

    def tile(self, path: str) -> bytes:
        """Return the tile of hashes at a path like ``tile/0/000.p/5``.

        Raises:
            ProofError: there is no such tile.

        """
        tile = Tile.parse(path)
        if tile.level is None:
            raise ProofError("this is no path of a tile of hashes", place=path)
        return self._store.tile(tile)

    def entries(self, path: str) -> bytes:
        """Return the entry bundle at a path like ``tile/entries/000.p/5``.

        Raises:
            ProofError: there is no such bundle.

        """
        tile = Tile.parse(path)
        if tile.level is not None:
            raise ProofError("this is no path of an entry bundle", place=path)
        return self._store.tile(tile)

    def file(self, path: str) -> bytes:
        """Return the static file at a path: checkpoint, tile or entry bundle.

        Raises:
            ProofError: there is no such file.

        """
        return static_file(self._store, path)

    def event(self, index: int) -> Entry:
        """Return one entry; raises ProofError if there is none."""
        return self._store.entry(index)

    def events(
        self,
        *,
        actor: str = "",
        kind: str = "",
        correlation: str = "",
        before: int | None = None,
        limit: int = 50,
    ) -> list[Entry]:
        """Return the newest entries that fit, newest first; empty texts fit all."""
        return self._store.entries(
            actor=actor, kind=kind, correlation=correlation, before=before, limit=limit
        )

    def find_leaf(self, digest: bytes) -> int:
        """Return the index of the entry with a leaf hash.

        Raises:
            ProofError: there is no such entry.

        """
        return self._store.find_leaf(digest)

    def consistency(self, old: int, new: int) -> tuple[bytes, ...]:
        """Return the proof that a tree of ``new`` entries begins with one of ``old``.

        Raises:
            ProofError: the log was never so large, or shrank.

        """
        return self._store.consistency(old, new)

    def root(self, size: int) -> bytes:
        """Return the root of the tree of ``size`` entries; raises ProofError."""
        return self._store.root(size)

    def inclusion(self, index: int) -> TlogProof:
        """Return the proof of an entry in the newest checkpoint that covers it.

        Raises:
            ProofError: there is no such entry.

        """
        return self._store.inclusion(index)
