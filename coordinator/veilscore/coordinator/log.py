"""The audit log as the coordinator runs it: takes signed events, gives out proofs.

The coordinator orders events; it cannot make, change or drop one of another party,
because each is signed by its actor and chained to the actor's one before. It learns
what the log says, which is what auditors may know.

How far an actor's clock may be off, and whether the caller is the actor, is checked
where the call comes in. Which role may read what is for the web.
"""

from threading import Lock

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
from veilscore.keys.tlog.export import log_document
from veilscore.keys.tlog.reader import Entry
from veilscore.keys.tlog.store import LogStore
from veilscore.keys.tlog.tiles import Tile
from veilscore.keys.tlog.tlog_proof import TlogProof


class LogService:
    """One log; every method may be called from any thread.

    ``registry`` is replaced by the owner when a party joins. Everything raises
    LogStoreError when the store fails.
    """

    def __init__(self, store: LogStore, registry: Registry, signer: Signer) -> None:
        self.registry = registry
        self._store = store
        self._signer = signer
        self._lock = Lock()  # from reading an actor's head to writing its event

    def append(self, leaf: bytes) -> TlogProof:
        """Append a party's event and return its proof; on a repeat, the same proof.

        Raises:
            AppendError: not an event signed by a registered party, or not the next
                of that party.

        """
        try:
            opened = open_event(leaf, self.registry)
        except ProofError as error:
            raise AppendError(
                error.what, party=error.party, remedy=error.remedy
            ) from error
        with self._lock:
            return self._append(opened)

    def append_own(self, detail: Detail, *, correlation: str, now_ms: int) -> TlogProof:
        """Sign and append an event of the coordinator itself; raises AppendError."""
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
            return self._append(opened)

    def _append(self, opened: OpenedEvent) -> TlogProof:
        event = opened.event
        known = self._store.find(event.actor, event.seq)
        if known is None:
            try:
                (index,) = self._store.append([opened])
            except ProofError as error:
                raise AppendError(
                    error.what,
                    party=event.actor,
                    remedy="Send the party's events in order; if its record of them "
                    "was lost, restore it.",
                ) from error
        elif known.opened.leaf == opened.leaf:
            index = known.index
        else:
            raise AppendError(
                f"event {event.seq} of {event.actor} is in the log already, as "
                f"entry {known.index}, and says something else",
                party=event.actor,
                remedy="Restore the party's record of its events; two copies of it "
                "are in use, or an old one.",
            )
        return self._store.receipt(index)

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

    def inclusion(self, index: int) -> TlogProof:
        """Return the proof of an entry in the newest checkpoint.

        Raises:
            ProofError: there is no such entry.

        """
        return self._store.inclusion(index)
