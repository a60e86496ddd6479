"""Reconciles a party's own events with the log, which must say the same.

The party has every event that it signed, in a chain without gaps, and the receipt for
each that the log took. The log must hold the same events, in trees that every receipt's
checkpoint is a beginning of; and what others said there about requests must fit what
this party said. Each difference is a finding that names the event.

Only the party itself can run it. It learns nothing but what both sides hold, which is
public.
"""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from enum import StrEnum

from veilscore.keys.errors import ProofError
from veilscore.keys.tlog.archive import ExportFiles
from veilscore.keys.tlog.chain import OwnEvent
from veilscore.keys.tlog.events import ActorHead, OpenedEvent, read_event
from veilscore.keys.tlog.log_policy import LogPolicy
from veilscore.keys.tlog.reader import Entry
from veilscore.keys.tlog.search import Progress, entries_of, hashes_of, size_of
from veilscore.keys.tlog.tree import Edge, HashReader


class Kind(StrEnum):
    """What a finding is about."""

    CHAIN = "chain"  # the own events do not follow each other
    WAITING = "waiting"  # an own event has no receipt yet
    MISSING = "missing"  # the log has proved an event, and does not hold it
    UNKNOWN = "unknown"  # the log has an event of this party that the party has not
    DIFFERENT = "different"  # both have an event of a number, with other content
    FORK = "fork"  # a receipt's checkpoint is no beginning of the log
    UNANSWERED = "unanswered"  # a holder has not decided on a request
    UNASKED = "unasked"  # a decision or an answer that belongs to no request
    UNFINISHED = "unfinished"  # allowed, and neither answered nor refused


@dataclass(frozen=True, slots=True)
class Finding:
    """One difference; ``event`` is the number of this party's event, 0 of another's."""

    kind: Kind
    event: int
    what: str
    correlation: str = ""


@dataclass(frozen=True, slots=True)
class ReconReport:
    """What was compared, and every difference; open items are what time may settle."""

    party: str
    own: int  # events of the party's own
    entries: int  # of the log
    findings: tuple[Finding, ...]

    @property
    def is_clean(self) -> bool:
        """Whether both sides say the same and nothing is open."""
        return not self.findings


def reconcile(
    own: Sequence[OwnEvent],
    files: ExportFiles,
    policy: LogPolicy,
    progress: Progress = lambda _done, _total: None,
) -> ReconReport:
    """Compare a party's own events with an export of the log, which was verified.

    Raises:
        ProofError: the export cannot be read, or there is nothing to compare.

    """
    if not own:
        raise ProofError("this party has no events yet")
    opened = [read_event(each.leaf) for each in own]
    party = opened[0].event.actor
    size = size_of(files)
    log = _Log(party)
    for entry in entries_of(files, progress):
        log.add(entry)
    read = hashes_of(files, size)
    findings = [
        *_chain(opened),
        *_own_in_log(own, opened, log, size),
        *_log_in_own(opened, log),
        *_forks(own, policy, size, read),
        *log.requests(),
    ]
    return ReconReport(party, len(own), size, tuple(findings))


@dataclass(slots=True)
class _Request:
    """What a log says about one score request."""

    asked: list[OpenedEvent] = field(default_factory=list[OpenedEvent])
    said: dict[str, list[OpenedEvent]] = field(
        default_factory=lambda: defaultdict[str, list[OpenedEvent]](list)
    )

    def concerns(self, party: str) -> bool:
        return party in self.said or any(e.event.actor == party for e in self.asked)


@dataclass(slots=True)
class _Log:
    """The party's events in the log, and all requests."""

    party: str
    own: dict[int, Entry] = field(default_factory=dict[int, Entry])  # by number
    asked: dict[str, _Request] = field(
        default_factory=lambda: defaultdict[str, _Request](_Request)
    )

    def add(self, entry: Entry) -> None:
        opened, event = entry.opened, entry.opened.event
        if event.actor == self.party:
            self.own[event.seq] = entry
        if opened.kind == "score_requested":
            self.asked[event.correlation].asked.append(opened)
        elif opened.kind in {"score_decided", "score_answered"}:
            self.asked[event.correlation].said[event.actor].append(opened)

    def requests(self) -> Iterator[Finding]:
        """Yield what does not fit in the requests that this party made or decided."""
        for correlation, request in self.asked.items():
            if request.concerns(self.party):
                yield from self._request(correlation, request)

    def _request(self, correlation: str, request: _Request) -> Iterator[Finding]:
        def finding(kind: Kind, opened: OpenedEvent, what: str) -> Finding:
            own = opened.event.actor == self.party
            return Finding(kind, opened.event.seq if own else 0, what, correlation)

        named: set[str] = set()
        for asked in request.asked:
            named |= {*asked.event.score_requested.holders}
            for holder in named - request.said.keys():
                yield finding(Kind.UNANSWERED, asked, f"{holder} did not decide")
        for actor, said in request.said.items():
            if actor not in named:
                yield finding(Kind.UNASKED, said[0], f"{actor} was not asked")
            last = said[-1]
            if last.kind == "score_decided" and last.event.score_decided.allowed:
                yield finding(Kind.UNFINISHED, last, f"{actor} allowed and is silent")
            if said[0].kind == "score_answered":
                yield finding(Kind.UNASKED, said[0], f"{actor} answered undecided")


def _chain(opened: Sequence[OpenedEvent]) -> Iterator[Finding]:
    head = ActorHead()
    for each in opened:
        try:
            head.check_next(each.event)
        except ProofError as error:
            yield Finding(Kind.CHAIN, each.event.seq, error.what)
        head = each.head


def _own_in_log(
    own: Sequence[OwnEvent], opened: Sequence[OpenedEvent], log: _Log, size: int
) -> Iterator[Finding]:
    for each, event in zip(own, opened, strict=True):
        seq, found = event.event.seq, log.own.get(event.event.seq)
        if each.proof is None:
            yield Finding(Kind.WAITING, seq, "the log has not proved it yet")
        elif each.proof.index >= size:
            continue  # the export is older than this event
        elif found is None:
            yield Finding(Kind.MISSING, seq, f"it was entry {each.proof.index}")
        elif found.index != each.proof.index:
            yield Finding(
                Kind.MISSING,
                seq,
                f"it was entry {each.proof.index} and is entry {found.index}",
            )
        if found is not None and found.opened.leaf != each.leaf:
            yield Finding(Kind.DIFFERENT, seq, f"entry {found.index} says otherwise")


def _log_in_own(opened: Sequence[OpenedEvent], log: _Log) -> Iterator[Finding]:
    known = {each.event.seq for each in opened}
    for seq, entry in log.own.items():
        if seq not in known:
            yield Finding(Kind.UNKNOWN, seq, f"entry {entry.index} is not ours")


def _forks(
    own: Sequence[OwnEvent], policy: LogPolicy, size: int, read: HashReader
) -> Iterator[Finding]:
    """Compare the tree of every receipt's checkpoint with that of the export."""
    compared: set[str] = set()
    for each in own:
        if each.proof is None or each.proof.checkpoint in compared:
            continue
        compared.add(each.proof.checkpoint)
        seq = read_event(each.leaf).event.seq
        try:
            kept = policy.open_signed(each.proof.checkpoint)
        except ProofError as error:
            yield Finding(Kind.FORK, seq, f"its receipt: {error.what}")
            continue
        if kept.size <= size and Edge.load(kept.size, read).root() != kept.root:
            yield Finding(
                Kind.FORK,
                seq,
                f"its receipt is of another log of {kept.size} entries: keep it as "
                "evidence",
            )
