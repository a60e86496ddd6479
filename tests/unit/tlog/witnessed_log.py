"""A log, two witnesses of it, and the policy that asks for both."""

from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from tests.unit.tlog.sample_log import Parties, SampleLog
from veilscore.keys.identity import Signer
from veilscore.keys.tlog.checkpoint import open_checkpoint
from veilscore.keys.tlog.database import Database
from veilscore.keys.tlog.evidence.contradiction import Contradiction
from veilscore.keys.tlog.log_policy import LogPolicy
from veilscore.keys.tlog.store import LogStore
from veilscore.keys.tlog.witness import Submission, Witness

NOW_S = 1_790_000_000


@dataclass
class Observer:
    """One witness of one log, and what it found."""

    name: str
    witness: Witness
    database: Database
    found: list[Contradiction] = field(default_factory=list[Contradiction])

    @classmethod
    def watch(cls, name: str, folder: Path, log: LogStore) -> "Observer":
        found: list[Contradiction] = []
        database = Database(folder / f"{name}.sqlite")
        witness = Witness(
            database,
            f"{name}.example/witness",
            Signer.generate(),
            [log.key],
            clock=lambda: NOW_S,
            report=found.append,
        )
        return cls(name, witness, database, found)


class WitnessedLog(SampleLog):
    """A log whose checkpoints are final once ``cosign`` was called."""

    witnessed = True
    cosigned = ""  # what a test has had cosigned, if it says so here

    def __init__(self, folder: Path, parties: Parties) -> None:
        super().__init__(folder, parties)
        self.observers = [
            Observer.watch(name, folder, self.store) for name in ("auditor", "bureau")
        ]

    @property
    def policy(self) -> LogPolicy:
        return LogPolicy.parse(self.policy_text().encode())

    def policy_text(self, *urls: str) -> str:
        lines = [f"log {self.store.key.vkey}"]
        for at, observer in enumerate(self.observers):
            url = urls[at] if urls else ""
            lines.append(f"witness {observer.name} {observer.witness.key.vkey} {url}")
        names = " ".join(observer.name for observer in self.observers)
        return "\n".join(
            [*lines, f"group all-of-them all {names}", "quorum all-of-them"]
        )

    def submission(self, old: int, note: str = "") -> Submission:
        note = note or self.store.signed()
        size = open_checkpoint(note, self.store.key).size
        path = self.store.consistency(old, size) if old else ()
        return Submission(old, path, note)

    def cosign(self, old: int) -> str:
        """Have the newest checkpoint cosigned by all, and make it final."""
        body = self.submission(old).body
        lines = [each.witness.add_checkpoint(body) for each in self.observers]
        note = self.store.signed() + "".join(lines)
        self.store.finalise(note)
        return note

    def close(self) -> None:
        for observer in self.observers:
            observer.database.close()
        self.store.close()


@contextmanager
def witnessed_log(folder: Path, parties: Parties) -> Generator[WitnessedLog]:
    log = WitnessedLog(folder, parties)
    yield log
    log.close()
