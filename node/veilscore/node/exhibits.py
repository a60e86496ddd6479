"""Files that show to others what this node found and honest parties never do.

Each lies in a folder until its operator has looked at it and moved it away; until then
the node says that it is not ready. An incident in the log names it by its hash. So many
a day are told of: whoever lies more often is convicted by these, and fills no log.
"""

import hashlib
import logging
from pathlib import Path
from typing import Final

from veilscore.keys import files
from veilscore.keys.errors import ProofError
from veilscore.keys.identity import Signer
from veilscore.keys.tlog.chain import ActorChain
from veilscore.keys.tlog.evidence.exhibit import write_exhibit
from veilscore.keys.tlog.finding import Exhibit
from veilscore.keys.tlog.note import NoteKey
from veilscore.keys.tlog.recon import ReconReport
from veilscore.v1.audit_pb2 import Incident

_LOG = logging.getLogger(__name__)

FOLDER: Final = "incidents"  # in the node's state
MOST_A_DAY: Final = 16
_DAY_MS: Final = 86_400_000


class Exhibits:
    """One node's exhibits, in one folder."""

    def __init__(
        self, folder: Path, party: str, signer: Signer, chain: ActorChain
    ) -> None:
        self._folder = folder
        self._party = party
        self._signer = signer
        self._chain = chain

    @property
    def kept(self) -> list[Path]:
        """The files that the operator has not moved away yet."""
        return sorted(self._folder.glob("*.json"))

    def keep(
        self, report: ReconReport, log: NoteKey, note: str, now_ms: int
    ) -> list[Incident]:
        """Write what a reconciliation at this checkpoint found to files.

        Returns the incidents to be recorded. Raises FileError.
        """
        left = MOST_A_DAY - self._told_since(now_ms - _DAY_MS)
        incidents: list[Incident] = []
        for exhibit in report.exhibits:
            data = self._write(exhibit, log, note, now_ms)
            if data is None:
                continue
            evidence = hashlib.sha256(data).digest()
            kind = str(exhibit.finding.kind)
            if len(incidents) == left:
                _LOG.error("over %d incidents in a day: no more are told", MOST_A_DAY)
                break
            self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            files.replace(self._folder / f"{kind}-{evidence.hex()[:16]}.json", data)
            incidents.append(Incident(kind=kind, evidence=evidence))
        return incidents

    def _told_since(self, then_ms: int) -> int:
        newest = self._chain.log.entries(kind="incident", limit=MOST_A_DAY)
        return sum(each.opened.event.time_ms > then_ms for each in newest)

    def _write(
        self, exhibit: Exhibit, log: NoteKey, note: str, now_ms: int
    ) -> bytes | None:
        own = self._chain.event(exhibit.finding.event)
        try:
            return write_exhibit(
                exhibit,
                log,
                note,
                own=own.leaf if own else b"",
                party=self._party,
                signer=self._signer,
                now_s=now_ms // 1000,
            )
        except ProofError as error:
            _LOG.error("%s cannot be shown: %s", exhibit.finding.kind, error)
            return None
