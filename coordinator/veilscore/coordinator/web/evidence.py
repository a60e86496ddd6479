"""The log over REST, for programs: entries that fit, and proofs, under ``/v1``.

For whoever may read the log. A page of entries or a proof is as good as its reader's
check of it: nothing here needs to be believed.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from threading import Lock
from typing import Annotated, Final

from fastapi import APIRouter, Depends, Query
from pydantic import AwareDatetime, BaseModel, Field

from veilscore.coordinator.log import LogService
from veilscore.keys.tlog.reader import Entry
from veilscore.keys.tlog.tree import leaf_hash
from veilscore.runtime.errors import BusyError, RequestError
from veilscore.runtime.web.language import gettext_noop
from veilscore.runtime.web.problems import (
    BAD_REQUEST,
    FORBIDDEN,
    UNAUTHORIZED,
    problem_responses,
)

_MOST: Final = 500  # entries of a page
_LARGEST: Final = 2**53 - 1  # that JSON carries everywhere
_LOOKED_AT: Final = 20_000  # entries that one request may read in search of a time
_NO_ENTRY: Final = gettext_noop("bad-proof: the log has no such entry, or no such size")
_SEARCHING: Final = gettext_noop("busy: a hash is being sought for somebody else")
_SEARCH_S: Final = 1  # what is said to whom has to wait for another one's search
_Hash = Annotated[str, Query(pattern="^[0-9a-f]{64}$")]
_Text = Annotated[str, Query(max_length=200)]


class LogEntry(BaseModel):
    """An entry of the log, without what its event says in particular."""

    index: int = Field(description="Place in the log, counted from 0")
    time: datetime = Field(description="When, on the clock of its actor")
    actor: str = Field(description="Party that signed the event")
    type: str = Field(description="Type of the event")
    correlation: str = Field(description="Run or score request that it belongs to")
    leaf: str = Field(description="Hash of the entry (RFC 6962)")


class EntryPage(BaseModel):
    """A page of entries, the newest first."""

    entries: list[LogEntry] = Field(description="What fits; a page may be empty")
    next: int | None = Field(
        description="Value of before for the next page; null: there is none"
    )


class InclusionProof(BaseModel):
    """That the log holds an entry."""

    index: int = Field(description="Place in the log, counted from 0")
    leaf: str = Field(description="Hash of the entry (RFC 6962)")
    path: list[str] = Field(description="Hashes from the entry's sibling up")
    checkpoint: str = Field(description="Signed note of the tree that they lead to")
    proof: str = Field(description="All of this as a .tlog-proof file (C2SP)")


class ConsistencyProof(BaseModel):
    """That a newer tree of the log begins with an older one."""

    old: int = Field(description="Size of the older tree")
    new: int = Field(description="Size of the newer tree")
    old_root: str = Field(description="Root hash of the older tree")
    new_root: str = Field(description="Root hash of the newer tree")
    path: list[str] = Field(description="Hashes of the proof (RFC 6962)")


@dataclass(frozen=True, slots=True)
class Sought:
    """Which entries a page is made of; what is left out fits all."""

    type: _Text = ""
    actor: _Text = ""
    correlation: _Text = ""
    since: Annotated[AwareDatetime | None, Query(alias="from")] = None
    until: Annotated[AwareDatetime | None, Query(alias="to")] = None
    before: Annotated[int | None, Query(ge=0, le=_LARGEST)] = None
    limit: Annotated[int, Query(ge=1, le=_MOST)] = 50

    def is_in_time(self, entry: Entry) -> bool:
        """Say whether the actor's clock showed a time from ``since`` to ``until``."""
        time = _time(entry)
        return (self.since is None or self.since <= time) and (
            self.until is None or time < self.until
        )


def evidence_routes(log: LogService, may_read: Callable[..., None]) -> APIRouter:
    """Return the routes; ``may_read`` is the dependency of all of them."""
    router = APIRouter(
        prefix="/v1",
        dependencies=[Depends(may_read)],
        responses=problem_responses(
            {401: UNAUTHORIZED, 403: FORBIDDEN, 422: BAD_REQUEST}
        ),
    )

    searching = Lock()

    @router.get("/entries", summary="List entries of the log")
    def entries(sought: Annotated[Sought, Depends()]) -> EntryPage:
        """List entries that fit, the newest first, up to 500.

        Times begin with from and end before to, as on the clock of whoever made the
        event. The next page is asked for by before; where times are rare it comes
        empty, and next leads on.
        """
        found, before = _look(log, sought)
        return EntryPage(entries=[_describe(entry) for entry in found], next=before)

    @router.get(
        "/proof/inclusion",
        summary="Prove that the log holds an entry",
        responses=problem_responses({404: _NO_ENTRY, 503: _SEARCHING}),
    )
    def inclusion(
        index: Annotated[int | None, Query(ge=0, le=_LARGEST)] = None,
        leaf: _Hash | None = None,
    ) -> InclusionProof:
        """Return the proof of the entry at an index, or of the one with a hash.

        The checkpoint is the newest that covers it. The entry itself is at
        /events/{index}/entry. A hash is sought in the whole log, for one reader at a
        time.
        """
        if (index is None) == (leaf is None):
            raise RequestError(
                "one of index and leaf must be given", remedy="Name one of the two."
            )
        at = _seek(log, bytes.fromhex(leaf), searching) if leaf else index or 0
        entry, proof = log.event(at), log.inclusion(at)
        return InclusionProof(
            index=at,
            leaf=leaf_hash(entry.opened.leaf).hex(),
            path=[node.hex() for node in proof.path],
            checkpoint=proof.checkpoint,
            proof=proof.text,
        )

    @router.get(
        "/proof/consistency",
        summary="Prove that the log only grew",
        responses=problem_responses({404: _NO_ENTRY}),
    )
    def consistency(
        old: Annotated[int, Query(ge=1, le=_LARGEST)],
        new: Annotated[int, Query(ge=1, le=_LARGEST)],
    ) -> ConsistencyProof:
        """Return the proof that the tree of new entries begins with that of old."""
        path = log.consistency(old, new)
        return ConsistencyProof(
            old=old,
            new=new,
            old_root=log.root(old).hex(),
            new_root=log.root(new).hex(),
            path=[node.hex() for node in path],
        )

    return router


def _seek(log: LogService, digest: bytes, turn: Lock) -> int:
    """Return where a leaf hash is; it takes reading all of them, so one at a time."""
    if not turn.acquire(blocking=False):
        raise BusyError("a hash is being sought for somebody else", after_s=_SEARCH_S)
    try:
        return log.find_leaf(digest)
    finally:
        turn.release()


def _look(log: LogService, sought: Sought) -> tuple[list[Entry], int | None]:
    """Return what fits, and where the next page begins."""
    found: list[Entry] = []
    before = sought.before
    timeless = sought.since is None and sought.until is None
    at_once = sought.limit if timeless else _MOST
    for _ in range(_LOOKED_AT // _MOST):
        entries = log.events(
            actor=sought.actor,
            kind=sought.type,
            correlation=sought.correlation,
            before=before,
            limit=at_once,
        )
        for entry in entries:
            if sought.is_in_time(entry):
                found.append(entry)
                if len(found) == sought.limit:
                    return found, entry.index or None
        if len(entries) < at_once:
            return found, None
        before = entries[-1].index
    return found, before


def _describe(entry: Entry) -> LogEntry:
    event = entry.opened.event
    return LogEntry(
        index=entry.index,
        time=_time(entry),
        actor=event.actor,
        type=entry.opened.kind,
        correlation=event.correlation,
        leaf=leaf_hash(entry.opened.leaf).hex(),
    )


def _time(entry: Entry) -> datetime:
    return datetime.fromtimestamp(entry.opened.event.time_ms / 1000, UTC)
