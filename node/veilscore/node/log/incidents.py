"""What never happens among honest parties: told in the log, with evidence on disk.

An incident in the log names its evidence by its hash. Of what a reconciliation found
the evidence is a file that other parties can verify, and so it is of a party that broke
the rules of secure aggregation; of an envelope that came again, or late, it is the
envelope, sealed as it came, which the hub has seen, too.

All evidence is on disk before anything of it is told. Each kind has its own number of
incidents a day, counted in this node's own log, so that neither a restart nor a flood
of one kind keeps another from being told; and its own number of files, of which the
newest stay. Files about the log or about sums wait for the operator to move them away.
"""

import hashlib
import logging
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Final

from veilscore.keys import files
from veilscore.keys.aggregation.evidence import MisconductEvidence
from veilscore.keys.aggregation.terms import Pinned
from veilscore.keys.errors import Breach, FileError, MisconductError, ProofError
from veilscore.keys.identity import Signer
from veilscore.keys.registry import Registry
from veilscore.keys.tlog.chain import ActorChain
from veilscore.keys.tlog.evidence.contradiction import Contradiction, Evidence
from veilscore.keys.tlog.evidence.event import EventEvidence
from veilscore.keys.tlog.note import NoteKey
from veilscore.keys.tlog.recon.comparison import ReconReport
from veilscore.keys.tlog.recon.finding import NEVER_HONEST, Exhibit
from veilscore.node.log.receipts import Receipts
from veilscore.v1.audit_pb2 import Incident
from veilscore.v1.training_pb2 import RunContract

_LOG = logging.getLogger(__name__)

FOLDER: Final = "incidents"  # in the node's state
REPLAY: Final = "replay-refused"
MOST_A_DAY: Final = 16  # incidents of a kind
MOST_KEPT: Final = 64  # files of a kind, of 1 MiB at most, about sums of 4
_KINDS: Final = len(NEVER_HONEST) + 1 + len(Breach)
_DAY_MS: Final = 86_400_000
_SUMS: Final = ".misconduct"  # ends the names of files about sums


def about_the_log(folder: Path) -> list[Path]:
    """Return the evidence that the operator has not moved away yet."""
    return sorted(folder.glob("*.json"))


def about_sums(folder: Path) -> list[Path]:
    """Return the same of parties that broke the rules of secure aggregation."""
    return sorted(folder.glob(f"*{_SUMS}"))


class Incidents:
    """One node's, in one folder; no two threads tell of the same kind at a time."""

    def __init__(
        self,
        folder: Path,
        party: str,
        signer: Signer,
        chain: ActorChain,
        receipts: Receipts,
        clock: Callable[[], float],
    ) -> None:
        self._folder = folder
        self._party = party
        self._signer = signer
        self._chain = chain
        self._receipts = receipts
        self._clock = clock
        # When there will be something to tell of a kind again; spares a flood the log.
        self._spent: dict[str, int] = {}

    @property
    def waiting(self) -> int:
        """How many files about the log the operator has not moved away yet."""
        return len(about_the_log(self._folder))

    @property
    def misconducts(self) -> int:
        """How many files about sums the operator has not moved away yet."""
        return len(about_sums(self._folder))

    def found(
        self, report: ReconReport, log: NoteKey, note: str, *, since_ms: int
    ) -> list[Incident]:
        """Keep the evidence of what a reconciliation found at a checkpoint.

        Returns the incidents to be recorded. ``since_ms`` is when the one before was:
        one that is done again, because this process was killed before it recorded
        anything, replaces its files. Raises FileError if not all is on disk, and
        LogStoreError.
        """
        incidents: list[Incident] = []
        told: Counter[str] = Counter()
        for exhibit in report.exhibits:
            kind = str(exhibit.finding.kind)
            try:
                data = self._evidence(exhibit, log, note)
            except ProofError as error:
                _LOG.error("%s cannot be shown: %s", kind, error)
                continue
            name = _name(exhibit, since_ms)
            self._keep(kind, name, ".json", data)
            if self._may_tell(kind, told[kind]):
                told[kind] += 1
                digest = hashlib.sha256(data).digest()
                incidents.append(Incident(kind=kind, evidence=digest))
            else:
                _LOG.error("over %d times %s in a day: not told", MOST_A_DAY, kind)
        return incidents

    def replayed(self, envelope: bytes) -> bool:
        """Have an envelope told that came again, or late; return whether it is.

        Nobody waits for the log: the event goes with the next ones, or by ``catch_up``.
        Raises FileError or LogStoreError.
        """
        if not self._may_tell(REPLAY, 0):
            return False
        digest = hashlib.sha256(envelope).digest()
        self._keep(REPLAY, digest.hex()[:16], ".envelope", envelope)
        self._receipts.write(Incident(kind=REPLAY, evidence=digest), correlation="")
        return True

    def misconduct(
        self,
        error: MisconductError,
        contract: RunContract,
        digest: bytes,
        registry: Registry,
    ) -> bool:
        """Have a breach of secure aggregation told; return whether it is.

        ``digest`` is of the run's contract as sent. Nobody waits for the log, as above.
        Raises FileError or LogStoreError.
        """
        kind, hub = str(error.breach), registry.coordinator
        data = MisconductEvidence.sign(
            error,
            contract.run,
            digest,
            [
                Pinned(entry.party, registry.party(entry.party).key)
                for entry in contract.roster
            ],
            Pinned(hub.name, hub.key),
            finder=self._party,
            signer=self._signer,
            found_s=int(self._clock()),
        )
        shown = hashlib.sha256(data).digest()
        self._keep(kind, shown.hex()[:16], _SUMS, data)
        if not self._may_tell(kind, 0):
            _LOG.error("over %d times %s in a day: not told", MOST_A_DAY, kind)
            return False
        incident = Incident(kind=kind, evidence=shown)
        self._receipts.write(incident, correlation=contract.run)
        return True

    def _evidence(self, exhibit: Exhibit, log: NoteKey, note: str) -> bytes:
        """Return what shows a finding to others; raises ProofError if nothing does."""
        now_s = int(self._clock())
        if exhibit.proof is None:
            contradiction = Contradiction(log, exhibit.older, note)
            return Evidence.sign(contradiction, self._party, self._signer, now_s)
        own = self._chain.event(exhibit.finding.event)
        return EventEvidence.sign(
            exhibit.finding,
            exhibit.proof,
            exhibit.leaf,
            log,
            own=own.leaf if own else b"",
            finder=self._party,
            signer=self._signer,
            found_s=now_s,
        )

    def _keep(self, kind: str, name: str, suffix: str, data: bytes) -> None:
        try:
            self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            file = self._folder / f"{kind}-{name}{suffix}"
            files.replace(file, data)
            self._make_room(kind, suffix, file)
        except OSError as error:
            raise FileError(
                f"evidence cannot be kept: {error.strerror}",
                party=self._party,
                place=str(self._folder),
                remedy="Check the permissions of the folder and the disk.",
            ) from error

    def _make_room(self, kind: str, suffix: str, newest: Path) -> None:
        others = {*self._folder.glob(f"{kind}-*{suffix}")} - {newest}
        by_age = sorted(others, key=lambda path: (path.stat().st_mtime_ns, path.name))
        for old in by_age[: max(0, len(by_age) + 1 - MOST_KEPT)]:
            _LOG.error("over %d files of %s: %s is deleted", MOST_KEPT, kind, old.name)
            old.unlink(missing_ok=True)

    def _may_tell(self, kind: str, told: int) -> bool:
        """Say whether one more may be told; ``told`` are not recorded yet."""
        now_ms = int(self._clock() * 1000)
        if 0 < self._spent.get(kind, 0) - now_ms < _DAY_MS:
            return False
        newest = self._chain.log.entries(kind="incident", limit=_KINDS * MOST_A_DAY)
        times = [
            each.opened.event.time_ms
            for each in newest
            if each.opened.event.incident.kind == kind
            # A clock that was set back by more than a day silences nobody.
            and abs(now_ms - each.opened.event.time_ms) < _DAY_MS
        ]
        if len(times) >= MOST_A_DAY:
            self._spent[kind] = min(times) + _DAY_MS
        return len(times) + told < MOST_A_DAY


def _name(exhibit: Exhibit, since_ms: int) -> str:
    """Return the same for the same finding since the same comparison."""
    finding, index = exhibit.finding, exhibit.proof.index if exhibit.proof else 0
    about = f"{since_ms} {finding.correlation} {index} {exhibit.older}".encode()
    digest = hashlib.sha256(about + exhibit.leaf).hexdigest()
    return f"{finding.event}-{digest[:16]}"
