"""Compares this node's own log with that of all parties, once a day, by itself.

It reads what is new of the log over the hub, which learns that it does. What it found,
and what its own log is like, it says in an event for everybody; what shows that the log
or somebody else lies it keeps in files beside, and says so in incidents. How far it
came is on disk with these events or not at all, so a restart repeats nothing. If the
log does not take them, they stand in the node's own log all the same.
"""

import logging
import threading
from collections import Counter
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Final

from veilscore.fault import Fault
from veilscore.keys.tlog.chain import ActorChain
from veilscore.keys.tlog.checkpoint import Checkpoint
from veilscore.keys.tlog.database import Database
from veilscore.keys.tlog.export import CHECKPOINT, decode_text
from veilscore.keys.tlog.log_policy import LogPolicy
from veilscore.keys.tlog.recon.comparison import ReconReport, reconcile
from veilscore.node.log.hub_log import HubLog
from veilscore.node.log.incidents import Incidents
from veilscore.node.log.receipts import Receipts
from veilscore.node.log.recon_state import (
    Difference,
    ReconState,
    is_overdue,
    waited_since,
)
from veilscore.v1.audit_pb2 import LogReconciled, TypeCount
from veilscore.v1.hub_pb2 import ReadLogResponse

_LOG = logging.getLogger(__name__)

LOOK_S: Final = 1.0  # between looks at the clock
FIRST_S: Final = 300.0  # after a start, for what the start brings
AGAIN_S: Final = 600.0  # after it could not be done
_STOP_S: Final = 1.0
_TOLD: Final = 20  # differences on the status page and in the log file


class Reconciliation:
    """Of one party, from ``start`` until ``close``; ``every_s`` apart.

    ``part`` gets a part of a static file of the log, ``policy`` says which log it must
    be and whose cosignatures count. ``fault`` says why it could not be done the last
    time.
    """

    def __init__(
        self,
        party: str,
        database: Database,
        chain: ActorChain,
        receipts: Receipts,
        incidents: Incidents,
        part: Callable[[str, int], ReadLogResponse],
        policy: LogPolicy,
        clock: Callable[[], float],
        *,
        every_s: float,
    ) -> None:
        self.fault = ""
        self._party = party
        self._db = database
        self._chain = chain
        self._receipts = receipts
        self._incidents = incidents
        self._part = part
        self._policy = policy
        self._clock = clock
        self._every_s = every_s
        self._started = clock()
        self._not_before = self._started + min(FIRST_S, every_s)
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._run, name="recon", daemon=True)
        ReconState.prepare(database)

    def start(self) -> None:
        """Begin to look at the clock."""
        self._thread.start()

    def close(self) -> None:
        """Stop looking; what is under way ends at the next file that it reads.

        It may wait for a hub that is silent: whoever closes the link ends that, too.
        """
        self._closing.set()
        if self._thread.is_alive():
            self._thread.join(_STOP_S)

    def state(self) -> ReconState:
        """Return what the last one found; raises LogStoreError."""
        return ReconState.read(self._db)

    @property
    def incidents(self) -> int:
        """How many files about the log the operator has not moved away yet."""
        return self._incidents.waiting

    def is_overdue(self) -> bool:
        """Whether the log keeps this node from comparing; a new process has a try."""
        now = self._clock()
        if 0 <= now - self._started < FIRST_S + AGAIN_S:
            return False
        return is_overdue(waited_since(self._db), now, self._every_s)

    def is_due(self) -> bool:
        """Say whether it is time; a clock that was set back makes it time at once."""
        now = self._clock()
        last = self.state().at_ms / 1000
        return now >= self._not_before and not last <= now < last + self._every_s

    def reconcile(self) -> ReconReport:
        """Compare now, and record what was found.

        Raises a Fault if the log cannot be reached, does not show what it has signed,
        or too few witnesses have cosigned it.
        """
        now_ms = int(self._clock() * 1000)
        log = HubLog(self._part, self._closing)
        mark = ReconState.mark(self._db)
        note = decode_text(log.read(CHECKPOINT))
        head = self._policy.open(note)
        report = reconcile(
            self._party,
            self._chain,
            log,
            note,
            self._policy,
            mark=mark,
            now_ms=now_ms,
        )
        self._record(report, note, head, first=mark.seq + 1, now_ms=now_ms)
        return report

    def _record(
        self,
        report: ReconReport,
        note: str,
        head: Checkpoint,
        *,
        first: int,
        now_ms: int,
    ) -> None:
        key = self._policy.logs[head.origin]
        since_ms = self.state().at_ms
        incidents = self._incidents.found(report, key, note, since_ms=since_ms)
        state = ReconState(
            at_ms=now_ms,
            entries=head.size,
            found=len(report.findings),
            differences=tuple(
                Difference(each.kind, each.event, each.what, each.correlation)
                for each in report.findings[:_TOLD]
            ),
        )
        with self._db.transaction():
            if incidents:
                self._receipts.write(*incidents, correlation="")
            size, root = self._chain.head()
            told = LogReconciled(
                own_size=size,
                own_root=root,
                first_seq=first,
                last_seq=first - 1 + report.own,
                events=_counts(report.kinds),
                log_size=head.size,
                log_root=head.root,
                findings=_counts(Counter(str(each.kind) for each in report.findings)),
            )
            last = self._receipts.write(told, correlation="")
            state.write(self._db, report.mark)
        self.fault = ""
        for each in state.differences:
            _LOG.warning(
                "reconciliation: %s, event %d: %s", each.kind, each.event, each.what
            )
        _LOG.info("reconciled %d entries: %d differences", head.size, state.found)
        with suppress(Fault):  # it stays pending and reaches the log later, if ever
            self._receipts.prove(last)

    def _run(self) -> None:
        while not self._closing.wait(LOOK_S):
            try:
                if self.is_due():
                    self.reconcile()
            except Fault as fault:
                self._put_off(str(fault))
            except Exception as error:  # noqa: BLE001 - a defect must not end it for good
                _LOG.exception("the reconciliation failed")
                self._put_off(type(error).__name__)

    def _put_off(self, what: str) -> None:
        if not self._closing.is_set():
            self._not_before = self._clock() + min(AGAIN_S, self._every_s)
            self.fault = what
            _LOG.warning("the log could not be compared with our own: %s", what)


def _counts(of: Mapping[str, int]) -> list[TypeCount]:
    return [TypeCount(type=name, count=of[name]) for name in sorted(of)]
