"""The bank's own log beside a witnessed log, to which all parties write."""

from collections.abc import Generator, Sequence
from contextlib import contextmanager
from pathlib import Path

from tests.unit.tlog.published_log import MemoryExport
from tests.unit.tlog.sample_log import NOW_MS, Parties
from tests.unit.tlog.witnessed_log import WitnessedLog, witnessed_log
from veilscore.keys.tlog.chain import ActorChain, OwnEvent, OwnFile, open_own
from veilscore.keys.tlog.database import Database
from veilscore.keys.tlog.events import Detail
from veilscore.keys.tlog.recon.comparison import ReconReport, reconcile
from veilscore.keys.tlog.recon.finding import Kind
from veilscore.keys.tlog.recon.mark import Mark
from veilscore.keys.tlog.recon.own_events import OwnEvents, reconcile_export
from veilscore.v1.audit_pb2 import Started


class Desk:
    """What the bank and the others say, and what a reconciliation makes of it."""

    def __init__(self, folder: Path, log: WitnessedLog) -> None:
        self.log = log
        self.path = folder / "events.sqlite"
        self.database = Database(self.path)
        self.chain = ActorChain(self.database, log.parties.signers["bank"], "bank")
        self._cosigned = 0

    def say(self, detail: Detail, correlation: str = "", now_ms: int = NOW_MS) -> None:
        """Let the bank record an event."""
        (leaf,) = self.chain.extend([detail], correlation, now_ms)
        self.prove(leaf)

    def prove(self, leaf: bytes) -> None:
        """Let the log take an event, and the bank its receipt."""
        self.log.service.append([leaf])
        self.cosign()
        (proof,) = self.log.service.append([leaf])
        self.chain.confirm([(leaf, proof)])

    def others_say(
        self, actor: str, detail: Detail, correlation: str = "", now_ms: int = NOW_MS
    ) -> None:
        event = self.log.parties.event(
            actor,
            self.log.store.head(actor),
            detail,
            correlation=correlation,
            time_ms=now_ms,
        )
        self.log.service.append([event.leaf])

    def cosign(self) -> None:
        self.log.cosign(self._cosigned)
        self._cosigned = self.log.store.size

    def export(self) -> MemoryExport:
        self.cosign()
        return MemoryExport(self.log.files())

    def recon(self, own: Sequence[OwnEvent] | None = None) -> ReconReport:
        events = read_chain(self.path) if own is None else own
        return reconcile_export(held(events), self.export(), self.log.policy)


def read_chain(path: Path) -> list[OwnEvent]:
    """Return all events of the party whose file this is, in their order."""
    with open_own(path) as file:
        return [*file.read(0, file.size)]


def held(events: Sequence[OwnEvent]) -> OwnEvents:
    """Return these events as if they were read from a file."""
    return OwnEvents(OwnFile(lambda start, end: events[start:end], len(events), ""))


class Reads(MemoryExport):
    """An export that remembers which bundles were read."""

    def __init__(self, files: MemoryExport) -> None:
        super().__init__(files)
        self.bundles: set[str] = set()

    def read(self, name: str) -> bytes:
        if name.startswith("tile/entries/"):
            self.bundles.add(name)
        return super().read(name)


class Days:
    """Reconciles day after day, from what is on disk."""

    def __init__(self, desk: Desk) -> None:
        self.desk = desk
        self.mark = Mark()
        self.bundles: set[str] = set()

    def recon(
        self, now_ms: int = NOW_MS, files: MemoryExport | None = None
    ) -> ReconReport:
        read = Reads(files if files is not None else self.desk.export())
        report = reconcile(
            "bank",
            self.desk.chain,
            read,
            read["checkpoint"].decode(),
            self.desk.log.policy,
            mark=Mark.read(self.mark.text),
            now_ms=now_ms,
        )
        self.mark, self.bundles = report.mark, read.bundles
        return report

    def kinds(self, now_ms: int = NOW_MS) -> list[tuple[Kind, int]]:
        return [(each.kind, each.event) for each in self.recon(now_ms).findings]


@contextmanager
def recon_desk(folder: Path, parties: Parties) -> Generator[Desk]:
    with witnessed_log(folder, parties) as log:
        made = Desk(folder, log)
        made.say(Started(version="1"))
        yield made
        made.database.close()
