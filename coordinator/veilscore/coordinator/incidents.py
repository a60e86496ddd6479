"""What never happens among honest members: told in the log, with evidence on disk.

The evidence is a file that other parties can verify (``keys.aggregation.evidence``). It
is on disk before anything of it is told; the log names it by its hash. Who broke the
rules has left the run, so that there is one incident of a member and run at most.
"""

import hashlib
import logging
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from veilscore.keys import files
from veilscore.keys.aggregation.evidence import MisconductEvidence
from veilscore.keys.aggregation.terms import Terms
from veilscore.keys.errors import FileError, MisconductError
from veilscore.keys.identity import Signer
from veilscore.keys.tlog.events import Detail
from veilscore.v1.audit_pb2 import Incident

_log = logging.getLogger(__name__)

FOLDER: Final = "incidents"  # in the coordinator's state


@dataclass(frozen=True, slots=True)
class Incidents:
    """The coordinator's, in one folder; ``log`` enters an event about a run."""

    folder: Path
    party: str
    signer: Signer
    log: Callable[[str, Detail], None]
    clock: Callable[[], float]

    def caught(self, terms: Terms, error: MisconductError) -> Path:
        """Keep what shows that a member broke the rules, then tell it in the log.

        Raises FileError if the evidence is not on disk, and what ``log`` raises.
        """
        data = MisconductEvidence.sign(
            error,
            terms.run,
            terms.contract,
            terms.roster,
            terms.aggregator,
            finder=self.party,
            signer=self.signer,
            found_s=int(self.clock()),
        )
        digest = hashlib.sha256(data).digest()
        file = self.folder / f"{error.breach}-{digest.hex()[:16]}.json"
        try:
            self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        except OSError as problem:
            raise FileError(
                f"the folder cannot be made: {problem.strerror}",
                place=str(self.folder),
                remedy="Check the permissions of the folder above it and the disk.",
            ) from problem
        files.replace(file, data)
        _log.error("%s broke the rules of a sum: %s", error.party, file)
        self.log(terms.run, Incident(kind=str(error.breach), evidence=digest))
        return file
