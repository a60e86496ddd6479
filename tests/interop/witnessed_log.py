"""A log that two witnesses cosign, and whoever holds all of its keys may make anew."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from tests.unit.tlog.sample_log import NOW_MS, ORIGIN, ROLES, Parties
from veilscore.keys.identity import Signer
from veilscore.keys.tlog.cosignature import WitnessKey
from veilscore.keys.tlog.database import Database
from veilscore.keys.tlog.events import ActorHead, Detail, OpenedEvent
from veilscore.keys.tlog.evidence.contradiction import Contradiction
from veilscore.keys.tlog.export import local_files, plan_export
from veilscore.keys.tlog.log_policy import LogPolicy
from veilscore.keys.tlog.note import NoteKey
from veilscore.keys.tlog.store import LogStore
from veilscore.keys.tlog.witness import Submission, Witness
from veilscore.v1.audit_pb2 import PartyJoined, Started

_NOW_S = NOW_MS // 1000


class Act(NamedTuple):
    """What an actor does; as an event it has a number and a signature."""

    actor: str
    detail: Detail


def started(actor: str, version: str) -> Act:
    return Act(actor, Started(version=version))


@dataclass(frozen=True)
class Keys:
    """All keys of a log: its parties', its own, and its witnesses' by their names."""

    parties: Parties
    witnesses: dict[str, Signer]

    @classmethod
    def generate(cls) -> "Keys":
        names = ("auditor.example/witness", "bureau.example/witness")
        return cls(Parties.generate(), {name: Signer.generate() for name in names})

    @property
    def hub(self) -> Signer:
        return self.parties.signers["hub"]

    @property
    def policy_text(self) -> str:
        """The policy file of who wants both witnesses, as coordinators write it."""
        lines = [
            "# Whose checkpoints count.",
            f"log {NoteKey(ORIGIN, self.hub.verify_key).vkey}",
        ]
        for name, signer in self.witnesses.items():
            short = name.partition(".")[0]
            vkey = WitnessKey(name, signer.verify_key).vkey
            lines.append(f"witness {short} {vkey} http://{short}.example:9090")
        shorts = " ".join(name.partition(".")[0] for name in self.witnesses)
        lines += [f"group witnesses all {shorts}", "quorum witnesses"]
        return "\n".join(lines) + "\n"

    @property
    def policy(self) -> LogPolicy:
        return LogPolicy.parse(self.policy_text.encode())

    @property
    def key_lines(self) -> list[str]:
        """What the Go program is to believe: the log's key, then the witnesses'."""
        names = self.witnesses.items()
        cosigners = [WitnessKey(name, each.verify_key).vkey for name, each in names]
        return [NoteKey(ORIGIN, self.hub.verify_key).vkey, *cosigners]

    def acts(self, count: int) -> list[Act]:
        """Four parties join; then the three others take turns."""
        joined = self.parties.registry.fingerprints()
        first = [
            Act("hub", PartyJoined(party=name, fingerprint=joined[name]))
            for name in ROLES
        ]
        actors = ("bank", "bureau", "market")
        rest = range(count - len(first))
        return first + [started(actors[at % 3], f"0.1.{at}") for at in rest]

    def events(self, acts: Sequence[Act]) -> list[OpenedEvent]:
        """Number and sign acts, each with the true key of its actor."""
        heads = dict.fromkeys(ROLES, ActorHead())
        events: list[OpenedEvent] = []
        for actor, detail in acts:
            events.append(self.parties.event(actor, heads[actor], detail))
            heads[actor] = events[-1].head
        return events


class WitnessedLog:
    """A coordinator's log and its witnesses, who know nothing of any other.

    Made twice with the same keys it is what a thief of all keys can do: witnesses that
    have forgotten what they saw cosign whatever continues nothing.
    """

    def __init__(self, folder: Path, keys: Keys) -> None:
        folder.mkdir()
        self._registry = keys.parties.registry_file
        self.store = LogStore.create(
            folder / "log.sqlite",
            ORIGIN,
            keys.hub,
            guard=folder / "guard.sqlite",
            witnessed=True,
        )
        self.reported = list[Contradiction]()
        self._databases = [
            Database(folder / f"{name.partition('.')[0]}.sqlite")
            for name in keys.witnesses
        ]
        self._witnesses = [
            Witness(
                database,
                name,
                signer,
                [self.store.key],
                clock=lambda: _NOW_S,
                report=self.reported.append,
            )
            for database, (name, signer) in zip(
                self._databases, keys.witnesses.items(), strict=True
            )
        ]

    def close(self) -> None:
        self.store.close()
        for database in self._databases:
            database.close()

    def grow(self, events: Sequence[OpenedEvent]) -> str:
        """Append, have the new checkpoint cosigned, and return it."""
        old = self.store.size
        self.store.append(events)
        note, new = self.store.signed(), self.store.size
        path = self.store.consistency(old, new) if old else ()
        body = Submission(old, path, note).body
        lines = [witness.add_checkpoint(body) for witness in self._witnesses]
        self.store.finalise(note + "".join(lines))
        return self.store.checkpoint()

    def files(self) -> dict[str, bytes]:
        """Return the files of an export."""
        get = local_files(self.store, self.store.key, self._registry)
        return dict(plan_export(get).files(get))


def publish(files: Mapping[str, bytes], folder: Path) -> Path:
    """Write an export into a new folder, as ``tar -xf`` does."""
    folder.mkdir()
    for name, data in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    return folder
