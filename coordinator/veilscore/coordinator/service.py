"""The coordinator's process: hub, log, SuperLink, runs and pages, wired together.

It sees no data: envelopes are sealed, and the log holds none. Everything the parts
know of each other is said here; nothing else constructs them.
"""

import hashlib
import importlib.metadata
import logging
import threading
import time
from collections.abc import Collection, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, suppress
from typing import Final

from veilscore.coordinator import folder
from veilscore.coordinator.access import Access
from veilscore.coordinator.append_rules import check_append
from veilscore.coordinator.config import CoordinatorSettings
from veilscore.coordinator.cosigning import Cosigning
from veilscore.coordinator.desk import Flower, TrainingDesk
from veilscore.coordinator.directory import KeyDirectory
from veilscore.coordinator.front import Front, now_ms
from veilscore.coordinator.hub import Hub
from veilscore.coordinator.incidents import FOLDER, Incidents
from veilscore.coordinator.log import LogService
from veilscore.coordinator.members import Members
from veilscore.coordinator.runs import RunBook
from veilscore.coordinator.superlink import SuperLink, SuperLinkConfig
from veilscore.coordinator.surroundings import Surroundings
from veilscore.coordinator.web.app import coordinator_app
from veilscore.coordinator.web.readers import Readers
from veilscore.fault import Fault, concerning
from veilscore.keys.identity import Signer
from veilscore.keys.receiving import verify_signed_key
from veilscore.keys.registry import Registry
from veilscore.keys.tlog.events import Detail
from veilscore.keys.tlog.tlog_proof import TlogProof
from veilscore.runtime.errors import FlowerError, PeerLostError, UnreachableError
from veilscore.runtime.flower.pin import require_pinned
from veilscore.runtime.supervise import port_is_free
from veilscore.runtime.tls import TlsIdentity
from veilscore.runtime.web.server import WebServer
from veilscore.runtime.web.tokens import AccessToken
from veilscore.v1.audit_pb2 import (
    KeyPublished,
    PartyJoined,
    RegistryPublished,
    Started,
)
from veilscore.v1.hub_pb2 import Notice, NoticeKind, ReceivingKey, SignedKey

_log = logging.getLogger(__name__)

VERSION: Final = importlib.metadata.version("veilscore")
_WATCH_S: Final = 1.0  # between looks at the registry file
_STARTING_S: Final = 0.2  # between looks at a SuperLink that is not up
_NOT_UP: Final = "Flower's SuperLink is not up yet"


class CoordinatorService:
    """One coordinator, from ``start`` until ``close``."""

    def __init__(self, settings: CoordinatorSettings) -> None:
        """Open everything that can fail for local reasons; nothing listens yet.

        Raises PortInUseError, before anything else, and the Fault of what is wrong.
        """
        with concerning(settings.name):
            for listen in (settings.hub, settings.flower):
                port_is_free(listen.listen_host, listen.port)
            port_is_free(settings.web.host, settings.web.port)
        require_pinned()
        keystore = folder.open_keystore(settings)
        self._signer = Signer.from_private_bytes(keystore.get(folder.SIGNING))
        tls = folder.open_identity(settings, keystore, time.time())
        self._certificate = tls.certificate
        self._members = Members(settings.registry, self._signer.verify_key)
        folder.check_name(settings, self._members.registry)
        token = AccessToken.read(settings.web.token_file)
        self._store = folder.open_log(settings, self._signer)
        self._policy = folder.open_policy(settings)
        self._cosigning = Cosigning(self._store, self._policy)
        self._incidents = settings.state / FOLDER
        self._log = LogService(
            self._store, self._members.registry, self._signer, self._cosigning
        )
        self._access = Access(self._members.registry)
        self._directory = KeyDirectory(self._verify_key)
        self._hub = self._make_hub(settings, tls)
        self._step_done = threading.Event()
        self._superlink = self._make_superlink(settings, tls)
        self._book = RunBook(self._log, now_ms)
        self._desk = TrainingDesk(
            self._book,
            Flower(self._superlink.start_run, self._superlink.run_status),
            self._surroundings,
            self._tell_end,
        )
        self._front = Front(
            self._members,
            self._book,
            self._desk,
            reasons=self._reasons,
            warnings=self._warnings,
            version=VERSION,
        )
        closed = settings.web.readers == "parties"
        readers = Readers(token, self._access if closed else None)
        app = coordinator_app(self._log, self._front, readers, version=VERSION)
        self._web = WebServer(
            app, settings.web.host, settings.web.port, tls if closed else None
        )
        self._announced = 0  # version of the registry that hub and log use
        self._flower_down = _NOT_UP  # why, or nothing when it is up
        self._flower_keys: dict[str, str] = {}  # registered or refused, by party
        self._closing = threading.Event()
        self._parts = ExitStack()
        self._parts.callback(self._store.close)
        self._servers = [self._superlink.stop]  # which deletes its secrets, too
        self._parts.callback(self._stop_servers)

    # -- life --------------------------------------------------------------------

    def start(self) -> str:
        """Start all parts and return the address of the pages.

        When this returns nodes may attach; runs wait for the SuperLink, some seconds.
        """
        try:
            self._cosigning.start()
            self._parts.callback(self._cosigning.close)
            self._take_registry()
            self._append_own(self._started_with())
            self._book.restore()
            self._hub.start()
            self._servers.append(self._hub.stop)
            self._superlink.start()
            self._desk.start()
            self._parts.callback(self._desk.close)
            pages = self._web.start()
            self._servers.append(self._web.stop)
            watcher = threading.Thread(target=self._watch, name="watch", daemon=True)
            watcher.start()
            self._parts.callback(watcher.join, _WATCH_S)
        except BaseException:
            self.close()
            raise
        return pages

    def close(self) -> None:
        """Stop what was started, in the opposite order; a run under way is stopped."""
        self._closing.set()
        self._parts.close()

    def _stop_servers(self) -> None:
        """Stop them all at once: each waits a second or two for its callers."""
        with ThreadPoolExecutor(len(self._servers)) as threads:
            stopping = [threads.submit(stop) for stop in self._servers]
        for stopped in stopping:
            stopped.result()

    def _make_hub(self, settings: CoordinatorSettings, tls: TlsIdentity) -> Hub:
        return Hub(
            settings.hub.listen_address,
            tls,
            self._access,
            self._directory,
            append=self._append,
            read_log=self._log.file,
            log_size=lambda: self._log.size,
            registry_file=lambda: self._members.file,
            on_envelope=self._on_envelope,
            on_notice=self._on_notice,
            on_lost=self._on_lost,
            on_attached=lambda party: self._front.note(party, attached=True),
            name=settings.name,
            version=VERSION,
        )

    def _make_superlink(
        self, settings: CoordinatorSettings, tls: TlsIdentity
    ) -> SuperLink:
        flower = settings.flower
        return SuperLink(
            SuperLinkConfig(
                flower.listen_host, flower.port, settings.state, flower.local_host
            ),
            ca_certificates=tls.authority,
            certificate=tls.certificate,
            private_key=tls.key,
            wake=self._wake,
            step_done=self._step_done,
            on_death=self._on_superlink_death,
        )

    # -- the log and the directory, asked by parties -------------------------------

    def _append(self, party: str, leaves: Sequence[bytes]) -> list[TlogProof]:
        check_append(party, leaves, now_ms())
        return self._log.append(leaves)

    def _append_own(self, detail: Detail, run: str = "") -> None:
        self._log.append_own(detail, correlation=run, now_ms=now_ms())

    def _verify_key(self, key: SignedKey, party: str, purpose: str) -> object:
        del party  # the directory has compared it with the key's
        return verify_signed_key(key, self._members.registry, purpose, time.time())

    # -- wires ---------------------------------------------------------------------

    def _surroundings(self) -> Surroundings:
        party = self._members.registry.coordinator.name

        def log(run: str, detail: Detail) -> None:
            self._append_own(detail, run)

        return Surroundings(
            party=party,
            signer=self._signer,
            registry=self._members.registry,
            attached=self._hub.attached,
            online=self._superlink.online,
            publish=self._publish_key,
            directory=self._directory.keys,
            send=self._hub.send,
            run_ended=self._tell_end,
            log=log,
            incidents=Incidents(self._incidents, party, self._signer, log, time.time),
            clock=time.time,
        )

    def _publish_key(self, key: SignedKey) -> None:
        """Log a receiving key of our own for a run, then hand it out."""
        purpose = ReceivingKey.FromString(key.body).purpose
        published = KeyPublished(
            purpose=purpose, digest=hashlib.sha256(key.body).digest()
        )
        self._append_own(published, purpose.partition(":")[2])
        self._directory.publish(self._members.registry.coordinator.name, key)

    def _wake(self, run: str, parties: Collection[str], step: str) -> None:
        for party in parties:
            self._notify(party, NoticeKind.NOTICE_KIND_MESSAGE_WAITING, run, step)

    def _tell_end(self, run: str, party: str) -> None:
        self._notify(party, NoticeKind.NOTICE_KIND_RUN_ENDED, run, "")

    def _notify(
        self, party: str, kind: NoticeKind.ValueType, run: str, step: str
    ) -> None:
        # Whoever is gone needs no waking, and its loss is reported elsewhere.
        with suppress(PeerLostError, UnreachableError):
            self._hub.notify(party, kind, run, step)

    def _on_envelope(self, sender: str, data: bytes) -> None:
        self._desk.on_envelope(sender, data)

    def _on_notice(self, party: str, notice: Notice) -> None:
        if notice.kind == NoticeKind.NOTICE_KIND_STEP_DONE:
            self._step_done.set()  # a wake-up too many does no harm
            self._desk.on_step_done(party, notice.run, notice.step)
        elif notice.kind == NoticeKind.NOTICE_KIND_STEP_LOST:
            self._desk.on_step_lost(party, notice.run, notice.step)

    def _on_lost(self, party: str, reason: str) -> None:
        self._front.note(party, attached=False)
        self._desk.on_lost(party, reason)

    def _on_superlink_death(self, status: int) -> None:
        self._flower_down = (
            f"Flower's SuperLink ended ({status}) and is started again; the end of "
            "flower/superlink.log in the coordinator's state folder says why"
        )
        self._desk.on_superlink_end()
        _log.warning("%s", self._flower_down)

    # -- members -------------------------------------------------------------------

    def _reasons(self) -> Sequence[str]:
        return (self._flower_down,) if self._flower_down else ()

    def _warnings(self) -> Sequence[str]:
        return [
            f"a witness does not cosign: {each}" for each in self._cosigning.faults()
        ]

    def _watch(self) -> None:
        while not self._closing.wait(_STARTING_S if self._flower_down else _WATCH_S):
            try:
                self._members.reread()
                self._take_registry()
                self._register_nodes()
            except Fault as fault:
                _log.warning("the registry: %s", fault)

    def _take_registry(self) -> None:
        """Let hub and log use a new registry, and log who joined with it."""
        registry = self._members.registry
        if registry.version == self._announced:
            return
        self._access.registry = self._log.registry = registry
        logged = {
            (event.party, event.fingerprint, event.paillier_key)
            for entry in self._log.events(
                actor=registry.coordinator.name, kind="party_joined", limit=-1
            )
            for event in [entry.opened.event.party_joined]
        }
        for record in registry.records:
            party, fingerprint = record.name, record.key.fingerprint
            paillier = record.paillier.key_id if record.paillier else b""
            if (party, fingerprint, paillier) not in logged:
                joined = PartyJoined(
                    party=party, fingerprint=fingerprint, paillier_key=paillier
                )
                self._append_own(joined)
                _log.info("%s has joined with key %s", party, fingerprint.hex())
        self._publish_registry(registry, self._members.file)
        self._announced = registry.version

    def _publish_registry(self, registry: Registry, file: bytes) -> None:
        """Log a registry in force, unless the last start has logged it already."""
        published = RegistryPublished(
            version=registry.version,
            digest=hashlib.sha256(file).digest(),
            expelled=sorted(each.name for each in registry.records if not each.roles),
        )
        last = self._log.events(
            actor=self._members.registry.coordinator.name,
            kind="registry_published",
            limit=1,
        )
        if [each.opened.event.registry_published for each in last] != [published]:
            self._append_own(published)

    def _started_with(self) -> Started:
        """Say in public what this process runs with."""
        return Started(
            version=VERSION,
            certificate=hashlib.sha256(self._certificate).digest(),
            log_policy=self._policy.digest,
        )

    def _register_nodes(self) -> None:
        """Let the Flower keys of new parties in, once the SuperLink answers."""
        try:
            if self._flower_down:
                self._superlink.wait_until_healthy(0)
            for record in self._members.registry.records:
                key = record.flower_key  # none: expelled, or runs no SuperNode
                if key and key != self._flower_keys.get(record.name):
                    self._register_node(record.name, key)
            self._flower_down = ""
        except (FlowerError, UnreachableError):
            self._flower_down = self._flower_down or _NOT_UP

    def _register_node(self, party: str, flower_key: str) -> None:
        try:
            self._superlink.register_node(party, flower_key)
        except FlowerError as error:  # a key that was revoked, for instance
            _log.warning("Flower does not let %s in: %s", party, error)
        self._flower_keys[party] = flower_key
