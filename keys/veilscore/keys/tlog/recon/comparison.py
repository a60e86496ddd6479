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
from veilscore.keys.tlog.export import CHECKPOINT, decode_text
from veilscore.keys.tlog.log_policy import LogPolicy
from veilscore.keys.tlog.note import only_by
from veilscore.keys.tlog.reader import Entry
from veilscore.keys.tlog.recon.finding import NEVER_HONEST, Exhibit, Finding, Kind
from veilscore.keys.tlog.recon.mark import Mark
from veilscore.keys.tlog.recon.requests import Requests
from veilscore.keys.tlog.search import Progress, bundles_from
from veilscore.keys.tlog.shown_tree import ShownTree
from veilscore.keys.tlog.tlog_proof import TlogProof
from veilscore.keys.tlog.tree import leaf_hash
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
    shown = ShownTree(files, note, policy.open_signed(note))
    recon = _Recon(party, own, shown, policy, mark or Mark(), now_ms)
    if recon.continues():
        recon.read_own()
        recon.read_log(progress)
    return recon.report()


@dataclass(slots=True)
class _Recon:
    """One reconciliation; its parts are called in their order."""

    party: str
    own: OwnRecord
    shown: ShownTree
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
    # Where the log must hold which of our events by number, if that is known, and which
    # of our receipts says first that a tree of some size had some root.
    due: dict[int, int | None] = field(default_factory=dict[int, int | None])
    roots: dict[tuple[int, bytes], int] = field(
        default_factory=dict[tuple[int, bytes], int]
    )
    requests: Requests = field(init=False)
    open_signed: Callable[[str], Checkpoint] = field(init=False)

    def __post_init__(self) -> None:
        self.seq, self.logged = self.mark.seq, self.mark.logged
        self.requests = Requests(self.party)
        self.requests.read(self.mark.requests, "mark")
        self.open_signed = lru_cache(self.policy.open_signed)

    def continues(self) -> bool:
        """See whether the tree begins with that of the mark; a fork is found if not."""
        if not self.mark.checkpoint:
            return True
        old, size = self.policy.open_signed(self.mark.checkpoint), self.shown.size
        if self.shown.begins_with(old.size, old.root):
            return True
        what = f"the tree of {size} entries does not continue that of {old.size}"
        if old.size > size:
            what = f"it shrank from {old.size} to {size} entries"
        self._find(
            Finding(Kind.FORK, 0, f"the log: {what}: keep it as evidence"),
            older=self.mark.checkpoint,
        )
        return False

    def read_own(self) -> None:
        """Take our events since the mark, and those that had no receipt by then.

        An event that is proved in a larger tree than is shown, and all that follow, are
        left to the next time.
        """
        previous = self.own.event(self.mark.seq) if self.mark.seq else None
        head = read_event(previous.leaf).head if previous else ActorHead()
        for seq in self.mark.unsettled:
            known = self.own.event(seq)
            if known is not None and not self._take_receipt(seq, known):
                self.unsettled.append(seq)
        for each in self.own.after(self.mark.seq):
            opened = read_event(each.leaf)
            if not self._take_receipt(opened.event.seq, each):
                return
            try:
                head.check_next(opened.event)
            except ProofError as error:
                self._find(Finding(Kind.CHAIN, opened.event.seq, error.what))
            head, self.seq = opened.head, opened.event.seq
            self.kinds[opened.kind] += 1

    def _take_receipt(self, seq: int, each: OwnEvent) -> bool:
        """Note what an event's receipt says; says if the shown log is so new."""
        proof = each.proof
        if proof is None:
            self._await(seq, each)
            return True
        try:
            kept = self.open_signed(proof.checkpoint)
        except ProofError as error:
            self._find(Finding(Kind.FORK, seq, f"its receipt: {error.what}"))
        else:
            if kept.size > self.shown.size and self.now_ms is not None:
                if not self._is_young(each):
                    self._ask_again(seq, kept.size, proof.checkpoint)
                return False
            if kept.size <= self.shown.size:  # an export may be older
                self.roots.setdefault((kept.size, kept.root), seq)
        if self.mark.size <= proof.index < self.shown.size:
            self.due[seq] = proof.index
        return True

    def _await(self, seq: int, each: OwnEvent) -> None:
        """Leave an event without a receipt to the next time."""
        if not self.own.has_receipts:
            self.due[seq] = None
            return
        self.unsettled.append(seq)
        if not self._is_young(each):
            what = "the log has not proved it yet"
            self._find(Finding(Kind.WAITING, seq, what))

    def _ask_again(self, seq: int, proved: int, newer: str) -> None:
        """See whether the log still shows less than it has proved.

        The receipt may have come after the checkpoint that is compared.
        """
        note = decode_text(self.shown.files.read(CHECKPOINT))
        size = self.policy.open_signed(note).size
        if size >= proved:
            return
        what = f"the log shows {size} entries and has proved it among {proved}"
        log = self.policy.logs[self.shown.head.origin]
        # Where checkpoints are cosigned, one that is not is not to be shown yet.
        is_final = only_by(newer, log) != newer or only_by(note, log) == note
        kind = Kind.STALE if is_final else Kind.WAITING
        self._find(Finding(kind, seq, what), older=newer)

    def read_log(self, progress: Progress) -> None:
        """Read what is new in the log, and compare all of it."""
        start, roots = self._start(), deque(sorted(self.roots))
        while roots and roots[0][0] <= start:
            if not self.shown.begins_with(*roots[0]):
                self._fork(*roots[0])
            roots.popleft()
        edge = self.shown.edge(start)
        for entries in bundles_from(self.shown.files, start, self.shown.size, progress):
            hashes = [leaf_hash(entry.opened.leaf) for entry in entries]
            first, done = edge.size, 0
            while roots and roots[0][0] <= first + len(hashes):
                size, root = roots.popleft()
                edge = edge.extend(hashes[done : size - first])
                done = size - first
                if edge.root() != root:
                    self._fork(size, root)
            edge = edge.extend(hashes[done:])
            for entry in entries:
                self.requests.add(entry.opened)
                if entry.opened.event.actor == self.party:
                    self._compare_entry(entry)
        self.shown.check_read(edge)
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

    def _fork(self, size: int, root: bytes) -> None:
        """Note that a receipt is of a tree that the shown one does not begin with."""
        seq = self.roots[size, root]
        own = self.own.event(seq)
        what = f"its receipt is of another log of {size} entries: keep it as evidence"
        older = own.proof.checkpoint if own and own.proof else ""
        self._find(Finding(Kind.FORK, seq, what), older=older)

    def _compare_entry(self, entry: Entry) -> None:
        """Compare what the log holds of ours with what we have."""
        opened, index = entry.opened, entry.index
        seq = opened.event.seq
        own = self.own.event(seq)
        if own is None:
            self._show(entry, Kind.UNKNOWN, f"entry {index} is not ours")
        elif own.leaf != opened.leaf:
            self._show(entry, Kind.DIFFERENT, f"entry {index} says otherwise")
        if seq != self.logged + 1:
            what = f"entry {index} follows event {self.logged}"
            self._show(entry, Kind.GAP, what)
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

    def _show(self, entry: Entry, kind: Kind, what: str) -> None:
        finding = Finding(kind, entry.opened.event.seq, what)
        if len(self.exhibits) >= _MOST_EXHIBITS:
            self._find(finding)
            return
        proof = self.shown.prove(entry)
        self._find(finding, leaf=entry.opened.leaf, proof=proof)

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

    def _is_young(self, each: OwnEvent) -> bool:
        return self._is_open(read_event(each.leaf).event.time_ms)

    def _is_open(self, time_ms: int) -> bool:
        """Say whether waiting may settle what is of this time, which may be ahead."""
        return self.now_ms is not None and abs(self.now_ms - time_ms) < OPEN_MS

    def _was_known(self, correlation: str) -> bool:
        logged = self.mark.logged
        return logged > 0 and 0 < self.own.first_about(correlation) <= logged

    def report(self) -> ReconReport:
        """Say what was found, and how far this has come."""
        mark = self.mark
        if self.compared:
            self.findings += self.requests.findings(self._is_open, self._was_known)
            mark = Mark(
                size=self.shown.size,
                checkpoint=self.shown.note,
                seq=self.seq,
                unsettled=tuple(self.unsettled),
                logged=self.logged,
                requests=self.requests.write(),
            )
        return ReconReport(
            self.party,
            self.seq - self.mark.seq,
            self.shown.size,
            tuple(self.findings),
            dict(self.kinds),
            tuple(self.exhibits),
            mark,
        )
