"""Four parties and a log, made anew for every test."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import date
from itertools import islice
from pathlib import Path

from veilscore.coordinator.cosigning import Cosigning
from veilscore.coordinator.log import LogService
from veilscore.keys.identity import Signer
from veilscore.keys.registry import PartyRecord, Registry, Role
from veilscore.keys.tlog.archive import write_tar
from veilscore.keys.tlog.events import (
    ActorHead,
    Detail,
    OpenedEvent,
    build_event,
    sign_event,
)
from veilscore.keys.tlog.export import local_files, plan_export
from veilscore.keys.tlog.log_policy import LogPolicy
from veilscore.keys.tlog.note import NoteKey
from veilscore.keys.tlog.store import LogStore
from veilscore.v1.audit_pb2 import PartyJoined, ScoreDecided, Started

ORIGIN = "hub.example/log"
NOW_MS = 1_790_000_000_000
ROLES = {
    "bank": {Role.DATA_HOLDER, Role.REQUESTER},
    "bureau": {Role.DATA_HOLDER},
    "hub": {Role.COORDINATOR},
    "market": {Role.DATA_HOLDER},
}


def own_word(log: NoteKey) -> LogPolicy:
    """Return a policy that believes a log without any witness."""
    return LogPolicy(logs={log.name: log}, quorum="none")


def serve(store: LogStore, parties: "Parties") -> LogService:
    """Return the service of a log that is final without a witness."""
    cosigning = Cosigning(store, own_word(store.key))
    return LogService(store, parties.registry, parties.signers["hub"], cosigning)


@dataclass(frozen=True)
class Parties:
    signers: Mapping[str, Signer]
    registry: Registry
    registry_file: bytes

    @classmethod
    def generate(cls) -> "Parties":
        return cls.of({name: Signer.generate() for name in ROLES})

    @classmethod
    def read(cls, keys: bytes) -> "Parties":
        """Return the parties of these ``private_bytes``."""
        each = [keys[at : at + 32] for at in range(0, len(keys), 32)]
        signers = map(Signer.from_private_bytes, each)
        return cls.of(dict(zip(ROLES, signers, strict=True)))

    def private_bytes(self) -> bytes:
        """Return all private keys, for a child process."""
        return b"".join(self.signers[name].private_bytes() for name in ROLES)

    @classmethod
    def of(cls, signers: Mapping[str, Signer]) -> "Parties":
        records = [
            PartyRecord(
                name=name,
                roles=frozenset(roles),
                key=signers[name].verify_key,
                flower_key="",
                joined=date(2026, 3, 1),
            )
            for name, roles in ROLES.items()
        ]
        file = Registry.sign(records, signers["hub"], 1)
        fingerprint = signers["hub"].verify_key.fingerprint
        return cls(signers, Registry.load(file, fingerprint), file)

    @property
    def fingerprint(self) -> bytes:
        return self.signers["hub"].verify_key.fingerprint

    def event(
        self,
        actor: str,
        head: ActorHead,
        detail: Detail | None = None,
        *,
        correlation: str = "",
        time_ms: int = NOW_MS,
    ) -> OpenedEvent:
        event = build_event(
            detail or Started(version=f"0.1.{head.seq}"),
            actor=actor,
            head=head,
            correlation=correlation,
            time_ms=time_ms,
        )
        return sign_event(event, self.signers[actor])

    def story(self, actor: str, head: ActorHead | None = None) -> Iterator[OpenedEvent]:
        """Yield an actor's events, the same ones whenever they are asked for."""
        head = head or ActorHead()
        while True:
            event = self.event(actor, head)
            yield event
            head = event.head

    def events(self, actor: str, count: int) -> list[OpenedEvent]:
        return list(islice(self.story(actor), count))


class SampleLog:
    """A coordinator's log in a directory, and what a test does with it."""

    witnessed = False

    def __init__(self, folder: Path, parties: Parties) -> None:
        self.parties = parties
        self.path = folder / "log.sqlite"
        self.guard = folder / "log-guard.sqlite"
        self.store = LogStore.create(
            self.path,
            ORIGIN,
            parties.signers["hub"],
            guard=self.guard,
            witnessed=self.witnessed,
        )
        self.service = self._serve()

    def _serve(self) -> LogService:
        return serve(self.store, self.parties)

    def open(self, path: Path | None = None, signer: Signer | None = None) -> LogStore:
        """Open a file as this log."""
        hub = signer or self.parties.signers["hub"]
        return LogStore.open(
            path or self.path, ORIGIN, hub, guard=self.guard, witnessed=self.witnessed
        )

    def reopen(self) -> None:
        self.store.close()
        self.store = self.open()
        self.service = self._serve()

    def announce(self) -> None:
        """Log that every party joined."""
        for name, fingerprint in self.parties.registry.fingerprints().items():
            joined = PartyJoined(party=name, fingerprint=fingerprint)
            self.service.append_own(joined, correlation="", now_ms=NOW_MS)

    def fill(self, count: int, *actors: str) -> None:
        """Append ``count`` events of every actor in one transaction an actor."""
        for actor in actors:
            head = self.store.head(actor)
            events: list[OpenedEvent] = []
            for at in range(count):
                detail = ScoreDecided(allowed=at % 2 == 0, code="", model=bytes(32))
                run = f"{at % 7:04x}"
                events.append(self.parties.event(actor, head, detail, correlation=run))
                head = events[-1].head
            self.store.append(events)

    def files(self) -> dict[str, bytes]:
        get = local_files(self.store, self.store.key, self.parties.registry_file)
        return dict(plan_export(get).files(get))

    def export(self, path: Path) -> Path:
        write_tar(path, self.files().items())
        return path
