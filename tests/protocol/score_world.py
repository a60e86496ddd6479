"""Three data holders with cards of one model, a coordinator's log and a hub in memory.

Everything but the wire is real: keys, sealing, Paillier, the log and its proofs. The
wire hands envelopes over at once; a test may put a ``wiretap`` into it, which gets
sender, recipient and envelope and returns what is delivered to the recipient.
"""

from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import date
from pathlib import Path

from tests.protocol.score_cards import CARDS, ROWS, columns, manifest
from tests.unit.tlog.sample_log import own_word
from veilscore.coordinator.cosigning import Cosigning
from veilscore.coordinator.log import LogService
from veilscore.keys.identity import Signer
from veilscore.keys.keystore import Keystore
from veilscore.keys.paillier.private import PrivateKey
from veilscore.keys.paillier.workers import PaillierWorkers
from veilscore.keys.receiving import (
    SCORE,
)
from veilscore.keys.registry import PartyRecord, Registry, Role
from veilscore.keys.tlog.chain import ActorChain
from veilscore.keys.tlog.database import Database
from veilscore.keys.tlog.events import Detail, OpenedEvent
from veilscore.keys.tlog.export import local_files, plan_export
from veilscore.keys.tlog.store import LogStore
from veilscore.models.card_file import encode
from veilscore.models.scorecard import Card
from veilscore.node.columns import Columns
from veilscore.node.hosting.cards import HostedCards
from veilscore.node.log.incidents import FOLDER, Incidents
from veilscore.node.log.receipts import Receipts
from veilscore.node.records.desk import Records
from veilscore.node.records.openings import Openings, tag_key
from veilscore.node.records.shredder import Shredder
from veilscore.node.scoring.desk import ScoringDesk
from veilscore.node.scoring.ledger import Ledger
from veilscore.node.scoring.settings import ScoringSettings
from veilscore.node.shelf import Shelf, ShelvedModel
from veilscore.runtime.errors import UnreachableError
from veilscore.v1.hub_pb2 import AppendResponse, EventProof, SignedKey

ROLES = {
    "bank": {Role.DATA_HOLDER, Role.REQUESTER},
    "broker": {Role.REQUESTER},
    "bureau": {Role.DATA_HOLDER},
    "hub": {Role.COORDINATOR},
    "market": {Role.DATA_HOLDER},
}
START = 1_790_000_000.0
SOON = 10.0
PAILLIER_BITS = 2048
SETTINGS = ScoringSettings(requesters=("bank", "broker"), purposes=("pre_loan",))
Wiretap = Callable[[str, str, bytes], list[bytes]]


def pass_on(sender: str, recipient: str, data: bytes) -> list[bytes]:
    del sender, recipient
    return [data]


@dataclass(frozen=True)
class People:
    """Keys that take long to make; several worlds may share them."""

    signers: dict[str, Signer]
    keystores: dict[str, Keystore]
    paillier: dict[str, PrivateKey]
    registry: Registry

    @classmethod
    def create(cls, folder: Path, bits: int = PAILLIER_BITS) -> "People":
        signers = {name: Signer.generate() for name in ROLES}
        keystores = {
            name: Keystore.create(folder / f"{name}.keystore", b"a passphrase")
            for name in ROLES
        }
        paillier = {name: PrivateKey.generate(bits) for name in ("bank", "broker")}
        return cls(signers, keystores, paillier, registry_of(signers, paillier))

    def with_paillier(self, party: str, key: PrivateKey) -> "People":
        """Return the same people, one of them registered with another key."""
        paillier = {**self.paillier, party: key}
        return replace(
            self, paillier=paillier, registry=registry_of(self.signers, paillier)
        )


def registry_of(
    signers: Mapping[str, Signer],
    paillier: Mapping[str, PrivateKey],
) -> Registry:
    records = [
        PartyRecord(
            name=name,
            roles=frozenset(roles),
            key=signers[name].verify_key,
            flower_key="",
            joined=date(2026, 3, 1),
            paillier=paillier[name].certify(name) if name in paillier else None,
        )
        for name, roles in ROLES.items()
    ]
    file = Registry.sign(records, signers["hub"], 1)
    return Registry.load(file, signers["hub"].verify_key.fingerprint)


class World:
    """A hub and its log, and whoever is attached."""

    def __init__(self, folder: Path, people: People) -> None:
        self.folder = folder
        self.people = people
        self.now = START
        self.ahead: dict[str, float] = {}  # by how much a party's clock is
        self.wiretap: Wiretap = pass_on
        self.log_down = False
        self.directory: dict[str, SignedKey] = {}
        self.recipients: dict[str, Callable[[str, bytes], object]] = {}
        self.nodes: dict[str, Node] = {}
        self.sent: dict[str, dict[str, int]] = {}  # marks of raw requesters
        self.log = folder / "hub" / "log.sqlite"
        self._guard = self.log.with_name("log-guard.sqlite")
        self.log.parent.mkdir(exist_ok=True)
        self._serve(LogStore.create)
        self.log_key = self._store.key

    def _serve(self, begin: Callable[..., LogStore]) -> None:
        hub = self.people.signers["hub"]
        self._store = begin(self.log, "hub.example/log", hub, guard=self._guard)
        cosigning = Cosigning(self._store, own_word(self._store.key))
        self._service = LogService(self._store, self.people.registry, hub, cosigning)

    def reopen_log(self, meanwhile: Callable[[], None] = lambda: None) -> None:
        """Stop the coordinator, as far as there is one here, and start it again."""
        self._store.close()
        meanwhile()
        self._serve(LogStore.open)

    def append_own(self, detail: Detail) -> None:
        """Append an event of the coordinator itself."""
        now_ms = int(self.now * 1000)
        self._service.append_own(detail, correlation="", now_ms=now_ms)

    def node(
        self,
        party: str,
        settings: ScoringSettings = SETTINGS,
        cards: Mapping[str, Card] = CARDS,
        data: Columns | None = None,
        hosted: HostedCards | None = None,
    ) -> "Node":
        """Attach a node that holds its card of a model of all ``cards``."""
        node = Node(self, party, settings, data)
        node.hosted = hosted or HostedCards()
        own = cards.get(party)
        node.shelve(manifest(*cards.values()), own)
        node.start()
        self.nodes[party] = node
        return node

    def link(self, party: str) -> "MemoryLink":
        """Return what a party reaches the hub by."""
        return MemoryLink(self, party)

    def append(self, leaves: Sequence[bytes]) -> AppendResponse:
        if self.log_down:
            raise UnreachableError("the coordinator does not answer")
        return AppendResponse(
            proofs=[
                EventProof(
                    index=proof.index, checkpoint=proof.checkpoint, path=proof.path
                )
                for proof in self._service.append(leaves)
            ]
        )

    def events(self, actor: str = "", correlation: str = "") -> list[OpenedEvent]:
        """Return matching events but published keys, the oldest first."""
        found = self.log_events(actor, correlation)
        return [each for each in found if each.kind != "key_published"]

    def log_events(self, actor: str = "", correlation: str = "") -> list[OpenedEvent]:
        """Return matching events, the oldest first."""
        found = self._service.events(actor=actor, correlation=correlation, limit=1000)
        return [entry.opened for entry in reversed(found)]

    def checkpoint(self) -> str:
        return self._service.checkpoint()

    def renew_registry(self, registry: Registry) -> None:
        """Go by this registry from now on, and let all nodes."""
        self.people = replace(self.people, registry=registry)
        self._service.registry = registry
        for node in self.nodes.values():
            node.desk.renew_registry(registry)

    def log_files(self) -> dict[str, bytes]:
        """Return the log's export, but for the registry."""
        get = local_files(self._store, self.log_key, b"")
        return dict(plan_export(get).files(get))

    def close(self) -> None:
        for node in self.nodes.values():
            node.stop()
        self._store.close()


class MemoryLink:
    """One party's link to the hub."""

    def __init__(self, world: World, party: str) -> None:
        self._world = world
        self._party = party

    def send(
        self, to: str, data: bytes, *, urgent: bool = False, timeout_s: float = 1.0
    ) -> None:
        assert urgent
        assert timeout_s > 0
        for envelope in self._world.wiretap(self._party, to, data):
            if to in self._world.recipients:
                self._world.recipients[to](self._party, envelope)

    def publish(self, key: SignedKey) -> None:
        self._world.directory[self._party] = key

    def directory(self, purpose: str) -> list[SignedKey]:
        assert purpose == SCORE
        return list(self._world.directory.values())

    def append(self, leaves: Sequence[bytes]) -> AppendResponse:
        return self._world.append(leaves)


class Node:
    """One party's desk, which can be stopped and started again."""

    def __init__(
        self, world: World, party: str, settings: ScoringSettings, data: Columns | None
    ) -> None:
        self._world = world
        self._party = party
        self.settings = settings
        self._data = data or columns(ROWS.get(party, {}))
        self._folder = world.folder / party
        self._folder.mkdir()
        self._link = world.link(party)
        self.hosted = HostedCards()
        self.workers = PaillierWorkers(0)
        self.shelf = Shelf(self._folder / "models", self._keystore)

    @property
    def _keystore(self) -> Keystore:
        return self._world.people.keystores[self._party]

    def shelve(self, of: bytes, own: Card | None) -> ShelvedModel:
        file = encode(own) if own else None
        return self.shelf.put(of, file, now=self._world.now)

    @property
    def events(self) -> Path:
        """The file of its own chain."""
        return self._folder / "events.sqlite"

    def start(self) -> None:
        self.open()
        self.desk.publish_keys()

    def open(self) -> None:
        """Begin with what is on disk, without telling anybody."""
        people, world = self._world.people, self._world
        signer = people.signers[self._party]
        self.database = Database(self.events)
        self.ledger = Ledger(self.database)
        self._shredder = Shredder(self._folder / "shredder.sqlite", self.clock())
        self.openings = Openings(self.database, self._shredder, tag_key(self._keystore))
        self.chain = ActorChain(self.database, signer, self._party)
        self.receipts = Receipts(
            self.chain, self._link.append, own_word(world.log_key), self.clock
        )
        self.incidents = Incidents(
            self._folder / FOLDER,
            self._party,
            signer,
            self.chain,
            self.receipts,
            self.clock,
        )
        self.records = Records.of(
            self._party,
            signer,
            self.openings,
            self.chain,
            self.receipts,
            registered_only=self.settings.registered_consents_only,
            keep_days=1827,
            clock=self.clock,
        )
        self.desk = ScoringDesk(
            self._party,
            people.registry,
            self.settings,
            signer=signer,
            keystore=self._keystore,
            private=people.paillier.get(self._party),
            link=self._link,
            shelf=self.shelf,
            columns=self._data,
            workers=self.workers,
            ledger=self.ledger,
            openings=self.openings,
            consents=self.records.consents,
            receipts=self.receipts,
            incidents=self.incidents,
            cards=self.hosted,
            clock=self.clock,
        )
        world.recipients[self._party] = self.desk.on_envelope

    def clock(self) -> float:
        return self._world.now + self._world.ahead.get(self._party, 0)

    def stop(self) -> None:
        self._world.recipients.pop(self._party, None)
        self.desk.close()
        self.ledger.close()
        self.openings.close()
        self._shredder.close()
        self.database.close()

    def crash(self) -> None:
        """Lose everything that is not on disk."""
        self._world.recipients.pop(self._party, None)
        self._shredder.close()
        self.database.close()


@contextmanager
def world(folder: Path, people: People) -> Generator[World]:
    """Run a hub; the body attaches nodes."""
    running = World(folder, people)
    try:
        yield running
    finally:
        running.close()


def changed(settings: ScoringSettings = SETTINGS, **values: object) -> ScoringSettings:
    return settings.model_copy(update=values)
