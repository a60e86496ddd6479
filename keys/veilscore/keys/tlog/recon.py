"""Reconciles a party's own log with the log of all parties, which must say the same.

The party has every event that it signed, in a chain without gaps, and the receipt for
each that the log took. The log must hold the same events, in trees that every receipt's
checkpoint is a beginning of; and what others said there about requests must fit what
this party said. Each difference is a finding that names the event.

Only what is new since the last time is read: a ``Mark`` says how far that was. What is
read is verified: it leads from the tree of then to the root that the log has signed, or
nothing is found at all.

Only the party itself can run it. It learns nothing but what both sides hold, which is
public.
"""

from collections import Counter, deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Protocol

from veilscore.keys.errors import ProofError
from veilscore.keys.tlog.archive import LogFiles
from veilscore.keys.tlog.chain import OwnEvent
from veilscore.keys.tlog.checkpoint import Checkpoint
from veilscore.keys.tlog.events import ActorHead, read_event
from veilscore.keys.tlog.finding import NEVER_HONEST, Exhibit, Finding, Kind
from veilscore.keys.tlog.log_policy import LogPolicy
from veilscore.keys.tlog.mark import Mark
from veilscore.keys.tlog.proof import (
    consistency_proof,
    inclusion_proof,
    verify_consistency,
)
from veilscore.keys.tlog.reader import Entry
from veilscore.keys.tlog.requests import Requests
from veilscore.keys.tlog.search import Progress, bundles_from, hashes_of
from veilscore.keys.tlog.tlog_proof import TlogProof
from veilscore.keys.tlog.tree import Edge, HashReader, leaf_hash
from veilscore.v1.audit_pb2 import LogReconciled

OPEN_MS = 600_000
"""How long a request or a receipt may be on its way: a query is valid half as long."""
_MOST_EXHIBITS = 16  # a log that lies more often is convicted by these


class OwnRecord(Protocol):
    """The party's side: its events by their numbers, and its tree."""

    @property
    def has_receipts(self) -> bool:
        """Whether an event without a receipt has none, or it is just not known."""
        ...

    def after(self, seq: int) -> Iterable[OwnEvent]:
        """Yield the events of larger numbers, in their order."""
        ...

    def event(self, seq: int) -> OwnEvent | None:
        """Return the event of this number."""
        ...

    def first_about(self, correlation: str) -> int:
        """Return the number of the first event about a run or request; 0: none."""
        ...

    def root(self, size: int) -> bytes:
        """Return the root of the first ``size`` events; raises ProofError."""
        ...


@dataclass(frozen=True, slots=True)
class ReconReport:
    """What was compared, and every difference; open items are what time may settle."""

    party: str
    own: int  # events of the party's own that were compared
    entries: int  # of the log
    findings: tuple[Finding, ...]
    kinds: dict[str, int]  # of the own events, by type
    exhibits: tuple[Exhibit, ...]
    mark: Mark

    @property
    def is_clean(self) -> bool:
        """Whether both sides say the same and nothing is open."""
        return not self.findings


def reconcile(
    party: str,
    own: OwnRecord,
    files: LogFiles,
    note: str,
    policy: LogPolicy,
    *,
    mark: Mark | None = None,
    now_ms: int | None = None,
    progress: Progress = lambda _done, _total: None,
) -> ReconReport:
    """Compare a party's own events with what is new in the log since ``mark``.

    ``note`` is the log's newest checkpoint; whether it is cosigned by enough witnesses
    is for the caller to see. Without ``now_ms`` everything that is open is a finding;
    with it, what is older than ``OPEN_MS``.

    Raises:
        ProofError: the log does not show what it has signed.

    """
    head = policy.open_signed(note)
    recon = _Recon(party, own, files, head, policy, mark or Mark(), now_ms)
    if recon.continues():
        recon.read_own()
        recon.read_log(note, progress)
    return recon.report(note)


@dataclass(frozen=True, slots=True)
class _Receipt:
    """What a receipt of ours says of the log's tree."""

    checkpoint: Checkpoint
    seq: int
    note: str

    @property
    def root(self) -> bytes:
        return self.checkpoint.root


@dataclass(slots=True)
class _Recon:
    """One reconciliation; its parts are called in their order."""

    party: str
    own: OwnRecord
    files: LogFiles
    head: Checkpoint
    policy: LogPolicy
    mark: Mark
    now_ms: int | None
    findings: list[Finding] = field(default_factory=list[Finding])
    exhibits: list[Exhibit] = field(default_factory=list[Exhibit])
    kinds: Counter[str] = field(default_factory=Counter[str])
    compared: bool = False
    seq: int = 0  # of the last own event
    logged: int = 0  # of the party's last event in the log
    unsettled: list[int] = field(default_factory=list[int])
    # Where the log must hold which of our events by number, if that is known, and what
    # its roots were, by receipts.
    due: dict[int, int | None] = field(default_factory=dict[int, int | None])
    roots: dict[int, list[_Receipt]] = field(default_factory=dict[int, list[_Receipt]])
    requests: Requests = field(init=False)
    read: HashReader = field(init=False)
    open_signed: Callable[[str], Checkpoint] = field(init=False)

    def __post_init__(self) -> None:
        self.seq, self.logged = self.mark.seq, self.mark.logged
        self.requests = Requests(self.party)
        self.requests.read(self.mark.requests, "mark")
        self.read = hashes_of(self.files, self.head.size)
        self.open_signed = lru_cache(self.policy.open_signed)

    def continues(self) -> bool:
        """See whether the tree begins with that of the mark; a fork is found if not."""
        if not self.mark.checkpoint:
            return True
        old = self.policy.open_signed(self.mark.checkpoint)
        try:
            self._check_beginning(old)
        except ProofError as error:
            self._find(
                Finding(Kind.FORK, 0, f"the log: {error.what}: keep it as evidence"),
                older=self.mark.checkpoint,
            )
            return False
        return True

    def _check_beginning(self, old: Checkpoint) -> None:
        """Raise ProofError unless the tree begins with that of a checkpoint."""
        if old.size > self.head.size:
            raise ProofError(f"it shrank from {old.size} to {self.head.size} entries")
        if old.size:
            path = consistency_proof(old.size, self.head.size, self.read)
            size, root = self.head.size, self.head.root
            verify_consistency(old.size, size, path, old.root, root)

    def read_own(self) -> None:
        """Take our events since the mark, and those that had no receipt by then."""
        previous = self.own.event(self.mark.seq) if self.mark.seq else None
        head = read_event(previous.leaf).head if previous else ActorHead()
        for seq in self.mark.unsettled:
            if (known := self.own.event(seq)) is not None:
                self._take_receipt(seq, known)
        for each in self.own.after(self.mark.seq):
            opened = read_event(each.leaf)
            try:
                head.check_next(opened.event)
            except ProofError as error:
                self._find(Finding(Kind.CHAIN, opened.event.seq, error.what))
            head, self.seq = opened.head, opened.event.seq
            self.kinds[opened.kind] += 1
            self._take_receipt(self.seq, each)

    def _take_receipt(self, seq: int, each: OwnEvent) -> None:
        if each.proof is None:
            if not self.own.has_receipts:
                self.due[seq] = None
                return
            self._wait(seq, each, "the log has not proved it yet")
            return
        if self.mark.size <= each.proof.index < self.head.size:
            self.due[seq] = each.proof.index
        try:
            kept = self.open_signed(each.proof.checkpoint)
        except ProofError as error:
            self._find(Finding(Kind.FORK, seq, f"its receipt: {error.what}"))
            return
        if kept.size > self.head.size:
            shows, proved = self.head.size, kept.size
            what = f"the log shows {shows} entries and has proved it among {proved}"
            self._wait(seq, each, what)
            return
        known = self.roots.setdefault(kept.size, [])
        if all(kept.root != receipt.root for receipt in known):
            known.append(_Receipt(kept, seq, each.proof.checkpoint))

    def _wait(self, seq: int, each: OwnEvent, what: str) -> None:
        """Leave an event to the next time; it is a finding if it has waited long."""
        self.unsettled.append(seq)
        if each.proof and self.now_ms is None:
            return  # an export may be older
        if not self._is_young(read_event(each.leaf).event.time_ms):
            self._find(Finding(Kind.WAITING, seq, what))

    def read_log(self, note: str, progress: Progress) -> None:
        """Read what is new in the log, and compare all of it."""
        start = self._start()
        sizes = deque(sorted(self.roots))
        while sizes and sizes[0] < start:
            self._compare_beginnings(sizes.popleft())
        edge = Edge.load(start, self.read)
        while sizes and sizes[0] == start:
            self._compare_root(sizes.popleft(), edge.root())
        for entries in bundles_from(self.files, start, self.head.size, progress):
            hashes = [leaf_hash(entry.opened.leaf) for entry in entries]
            first, done = edge.size, 0
            while sizes and sizes[0] <= first + len(hashes):
                size = sizes.popleft()
                edge = edge.extend(hashes[done : size - first])
                done = size - first
                self._compare_root(size, edge.root())
            edge = edge.extend(hashes[done:])
            for entry in entries:
                self.requests.add(entry.opened)
                if entry.opened.event.actor == self.party:
                    self._compare_entry(entry, note)
        if edge.root() != self.head.root:
            raise ProofError(
                "the log does not show the entries that lead to the root it has signed",
                place=f"{self.head.size} entries",
            )
        for seq, place in self.due.items():
            self._miss(seq, place, None)
        self.compared = True

    def _start(self) -> int:
        """Return which entry is read first: none before our own first one is ours.

        Where that is only its receipt tells.
        """
        if self.mark.checkpoint or self.now_ms is None:
            return self.mark.size
        return self.due.get(1) or 0

    def _compare_root(self, size: int, root: bytes) -> None:
        """Compare what receipts say of a size with the tree that was read."""
        for receipt in self.roots[size]:
            if receipt.root != root:
                self._fork(receipt)

    def _compare_beginnings(self, size: int) -> None:
        """Compare what receipts say of a size that lies before what is read."""
        for receipt in self.roots[size]:
            try:
                self._check_beginning(receipt.checkpoint)
            except ProofError:
                self._fork(receipt)

    def _fork(self, receipt: "_Receipt") -> None:
        size = receipt.checkpoint.size
        what = f"its receipt is of another log of {size} entries: keep it as evidence"
        self._find(Finding(Kind.FORK, receipt.seq, what), older=receipt.note)

    def _compare_entry(self, entry: Entry, note: str) -> None:
        """Compare what the log holds of ours with what we have."""
        opened, index = entry.opened, entry.index
        seq = opened.event.seq
        own = self.own.event(seq)
        if own is None:
            self._show(entry, note, Kind.UNKNOWN, f"entry {index} is not ours")
        elif own.leaf != opened.leaf:
            self._show(entry, note, Kind.DIFFERENT, f"entry {index} says otherwise")
        if seq != self.logged + 1:
            what = f"entry {index} follows event {self.logged}"
            self._show(entry, note, Kind.GAP, what)
        self.logged = seq
        place = self.due.pop(seq, None)
        if place not in {None, index}:
            self._miss(seq, place, index)
        if opened.kind == "log_reconciled":
            self._compare_own(seq, opened.event.log_reconciled)

    def _compare_own(self, seq: int, said: LogReconciled) -> None:
        """Compare our own log with what an event has told all others of it."""
        try:
            same = self.own.root(said.own_size) == said.own_root
        except ProofError:
            same = False
        if not same or said.own_size != seq - 1:
            what = "the own log is not the one that this event tells of"
            self._find(Finding(Kind.REWRITTEN, seq, what))

    def _miss(self, seq: int, place: int | None, found: int | None) -> None:
        """Note that the log does not hold an event where it has proved to hold it."""
        if place is None:
            self._find(Finding(Kind.WAITING, seq, "the log does not hold it yet"))
            return
        what = f"it was entry {place}"
        if found is not None:
            what += f" and is entry {found}"
        own = self.own.event(seq)
        leaf, proof = (own.leaf, own.proof) if own else (b"", None)
        self._find(Finding(Kind.MISSING, seq, what), leaf=leaf, proof=proof)

    def _show(self, entry: Entry, note: str, kind: Kind, what: str) -> None:
        if len(self.exhibits) >= _MOST_EXHIBITS:
            self._find(Finding(kind, entry.opened.event.seq, what))
            return
        path = inclusion_proof(entry.index, self.head.size, self.read)
        self._find(
            Finding(kind, entry.opened.event.seq, what),
            leaf=entry.opened.leaf,
            proof=TlogProof(entry.index, path, note),
        )

    def _find(
        self,
        finding: Finding,
        *,
        older: str = "",
        leaf: bytes = b"",
        proof: TlogProof | None = None,
    ) -> None:
        self.findings.append(finding)
        shown = finding.kind in NEVER_HONEST and (older or leaf)
        if shown and len(self.exhibits) < _MOST_EXHIBITS:
            self.exhibits.append(Exhibit(finding, older, leaf, proof))

    def _is_young(self, time_ms: int) -> bool:
        return self.now_ms is not None and self.now_ms - time_ms < OPEN_MS

    def _was_known(self, correlation: str) -> bool:
        return 0 < self.own.first_about(correlation) <= self.mark.seq

    def report(self, note: str) -> ReconReport:
        """Say what was found, and how far this has come."""
        mark = self.mark
        if self.compared:
            self.findings += self.requests.findings(self._is_young, self._was_known)
            mark = Mark(
                size=self.head.size,
                checkpoint=note,
                seq=self.seq,
                unsettled=tuple(self.unsettled),
                logged=self.logged,
                requests=self.requests.write(),
            )
        return ReconReport(
            self.party,
            self.seq - self.mark.seq,
            self.head.size,
            tuple(self.findings),
            dict(self.kinds),
            tuple(self.exhibits),
            mark,
        )
