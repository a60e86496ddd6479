"""The node's process: what an institution runs beside its data.

Opens keys and data, dials out to the coordinator, starts the SuperNode and the Paillier
workers, serves the operator's pages. Everything the parts know of each other is wired
here; nothing else constructs them.
"""

import hashlib
import importlib.metadata
import logging
import threading
import time
from collections.abc import Callable
from contextlib import ExitStack
from functools import cache, partial

from google.protobuf.message import DecodeError

from veilscore.fault import Fault, concerning
from veilscore.keys import files
from veilscore.keys.certificates import TlsKey
from veilscore.keys.identity import Signer
from veilscore.keys.paillier.private import PrivateKey
from veilscore.keys.paillier.workers import PaillierWorkers
from veilscore.keys.receiving import SCORE
from veilscore.keys.registry import Registry
from veilscore.keys.tlog.chain import ActorChain
from veilscore.keys.tlog.database import Database
from veilscore.node import setup
from veilscore.node.clock import ahead_s, check_clock
from veilscore.node.config import NodeSettings, rules_digest
from veilscore.node.errors import ClockError
from veilscore.node.executor import Executor
from veilscore.node.hosting.cards import HostedCards
from veilscore.node.link import Link
from veilscore.node.log.incidents import FOLDER, Incidents
from veilscore.node.log.receipts import Receipts
from veilscore.node.log.recon_state import EVENTS
from veilscore.node.log.reconciliation import Reconciliation
from veilscore.node.records.desk import Records
from veilscore.node.records.openings import Openings, tag_key
from veilscore.node.records.shredder import Shredder
from veilscore.node.scoring.desk import ScoringDesk
from veilscore.node.scoring.ledger import Ledger
from veilscore.node.shelf import Shelf
from veilscore.node.snapshot import load_snapshot
from veilscore.node.supernode import SuperNode, SuperNodeConfig
from veilscore.node.training.desk import TrainingDesk
from veilscore.node.training.host_speed import HostSpeed
from veilscore.node.training.ledger import RunLedger
from veilscore.node.training.privacy_budget import PrivacyBudget
from veilscore.node.training.summons import Summons
from veilscore.node.training.surroundings import Surroundings
from veilscore.node.trusted_registry import TrustedRegistry
from veilscore.runtime import joining
from veilscore.runtime.flower.client_task import TaskRecord
from veilscore.runtime.tls import TlsIdentity
from veilscore.v1.audit_pb2 import Started
from veilscore.v1.envelope_pb2 import Envelope, EnvelopeHeader
from veilscore.v1.hub_pb2 import Notice, NoticeKind

LOG = logging.getLogger(__name__)
VERSION = importlib.metadata.version("veilscore")
RUN_PREFIX = "run:"
REFRESH_S = 5.0  # between looks at the coordinator's registry


class NodeService:
    """One node from start to stop."""

    def __init__(self, settings: NodeSettings) -> None:
        """Open everything that can fail for local reasons; nothing is started yet."""
        self.settings = settings
        self.kit = setup.load_kit(settings)
        self.certificate = setup.valid_certificate(settings, self.kit, time.time())
        files.sweep(settings.state)
        keystore = setup.open_keystore(settings)
        signer = Signer.from_private_bytes(keystore.get(joining.SIGNING))
        self._private_key = PrivateKey.from_bytes(keystore.get(setup.PAILLIER))
        self._tls = TlsIdentity(
            authority=self.kit.authority,
            certificate=self.kit.certificate,
            key=TlsKey.from_pem(keystore.get(joining.TLS)).private_pem(),
        )
        self._signer = signer
        self._flower_key = keystore.get(setup.FLOWER)
        self.registry = self._trusted_registry()
        self._log_policy = setup.open_policy(settings, self._registry.coordinator.key)
        settings.state.mkdir(mode=0o700, parents=True, exist_ok=True)
        self.cards = HostedCards.read(settings.hosting, settings.party)
        self.snapshot = load_snapshot(settings)
        self._parts = ExitStack()
        self._database = database = Database(settings.state / EVENTS)
        self._parts.callback(database.close)
        self._chain = ActorChain(database, signer, settings.party)
        self.shelf = Shelf(settings.state / "models", keystore)
        self.ledger = Ledger(database)
        self._parts.callback(self.ledger.close)
        shredder = Shredder(settings.state / "shredder.db", time.time())
        self._parts.callback(shredder.close)
        self._openings = Openings(database, shredder, tag_key(keystore))
        self._parts.callback(self._openings.close)
        self._runs = RunLedger(settings.state / "runs.db", settings.training.runs_a_day)
        self._parts.callback(self._runs.close)
        self._keystore = keystore
        self._summons = Summons()
        self._stopping, self._started = threading.Event(), threading.Event()
        self.link_state: tuple[bool, str, float] = (False, "not started", time.time())
        self.clock_fault: ClockError | None = None

    # -- life ------------------------------------------------------------------

    def start(self, timeout_s: float) -> None:
        """Start the parts in an order in which none of them waits in vain.

        Raises a Fault; then ``stop`` stops those that were started.
        """
        settings, coordinator = self.settings, self._registry.coordinator
        stopping = self._parts.callback
        self._workers = PaillierWorkers(settings.workers)
        stopping(self._workers.close)
        self._link = Link(
            self.kit.addresses["hub"],
            self._tls,
            on_envelope=self._on_envelope,
            on_notice=self._on_notice,
            on_lost=self._on_lost,
            on_state=self._on_state,
            server_name=self.kit.addresses.get("server_name", ""),
            coordinator=coordinator.name,
            version=VERSION,
        )
        self.receipts = Receipts(
            self._chain,
            self._link.append,
            self._log_policy,
            time.time,
            grace_s=settings.log.grace_s,
        )
        self.budget = PrivacyBudget(
            settings.party, settings.training.privacy, self._database, self.receipts
        )
        self.incidents = incidents = Incidents(
            settings.state / FOLDER,
            settings.party,
            self._signer,
            self._chain,
            self.receipts,
            time.time,
        )
        self.reconciliation = Reconciliation(
            settings.party,
            self._database,
            self._chain,
            self.receipts,
            incidents,
            self._link.read_log,
            self._log_policy,
            time.time,
            every_s=settings.log.recon_every_h * 3600,
        )
        self.records = Records.of(
            settings.party,
            self._signer,
            self._openings,
            self._chain,
            self.receipts,
            registered_only=settings.scoring.registered_consents_only,
            keep_days=settings.log.keep_openings_days,
            clock=time.time,
        )
        self.training = TrainingDesk(
            settings.training,
            self._surroundings,
            self.shelf,
            self._runs,
            self.receipts,
            self._link.notify,
            cache(partial(HostSpeed.measure, self._private_key, self._workers)),
            self.budget,
            incidents,
        )
        self.scoring = ScoringDesk(
            settings.party,
            self._registry,
            settings.scoring,
            signer=self._signer,
            keystore=self._keystore,
            private=self._private_key,
            link=self._link,
            shelf=self.shelf,
            columns=self.snapshot.columns,
            workers=self._workers,
            ledger=self.ledger,
            openings=self._openings,
            consents=self.records.consents,
            receipts=self.receipts,
            incidents=incidents,
            cards=self.cards,
        )
        self.supernode = SuperNode(
            SuperNodeConfig(
                self.kit.addresses["flower"],
                settings.flower.runtime_port,
                settings.state,
            ),
            flower_key=self._flower_key,
            ca_certificates=self.kit.authority,
            on_death=self._on_supernode_death,
        )
        self._executor = Executor(self.supernode.api, self._handle, self._note_task)
        stopping(self.supernode.stop)  # which deletes its secrets, too
        with concerning(settings.party):
            self.supernode.start()
        self._link.start()
        stopping(self._link.close)
        stopping(self.scoring.close)
        self._link.wait_ready(timeout_s)
        self.refresh_registry()
        self.receipts.record(self._started_with(), correlation="")
        self.scoring.publish_keys()
        self.supernode.go()
        self._executor.start()
        stopping(self._executor.stop, 1.0)
        self._started.set()
        self.reconciliation.start()
        stopping(self.reconciliation.close)
        threading.Thread(
            target=self._keep_current, name="registry", daemon=True
        ).start()

    def stop(self) -> None:
        """Stop what was started, in the opposite order."""
        self._stopping.set()
        self._parts.close()

    # -- wires -----------------------------------------------------------------

    def _on_envelope(self, sender: str, data: bytes, urgent: bool) -> None:  # noqa: FBT001 - the link's signature
        del urgent
        try:
            header = EnvelopeHeader.FromString(Envelope.FromString(data).header)
        except DecodeError:
            LOG.warning("dropped an envelope of %s that cannot be read", sender)
            return
        if header.purpose == SCORE:
            self.scoring.on_envelope(sender, data)
        else:
            run = header.purpose.removeprefix(RUN_PREFIX)
            self.training.on_envelope(run, data)

    def _on_notice(self, notice: Notice) -> None:
        if notice.kind == NoticeKind.NOTICE_KIND_MESSAGE_WAITING:
            self._summons.waits(notice.run, notice.step, time.monotonic())
            self.supernode.poke()
            self._executor.poke()
        elif notice.kind == NoticeKind.NOTICE_KIND_RUN_ENDED:
            self._summons.ended(notice.run)
            self.training.on_run_ended(notice.run)

    def _on_lost(self, party: str, reason: str) -> None:
        LOG.warning("%s is lost: %s", party, reason)
        if party == self.kit.registry.coordinator.name:
            self._summons.forget()
        self.training.on_lost(party, reason)
        self.scoring.on_lost(party, reason)

    def _on_state(self, connected: bool, detail: str) -> None:  # noqa: FBT001 - the link's signature
        again = connected and not self.link_state[0] and self._started.is_set()
        self.link_state = (connected, detail, time.time())
        LOG.info("coordinator: %s", detail)
        if again:
            self._summons.renew(time.monotonic())
            # A restarted hub has no keys of ours.
            self._attempt(self.scoring.publish_keys, "publish our receiving keys")

    # -- Flower ----------------------------------------------------------------

    def _handle(self, run: str, step: str, payload: bytes, message_id: str) -> bytes:
        self._summons.came(run, step)
        return self.training.handle(run, step, payload, message_id)

    def _on_supernode_death(self, status: int) -> None:
        LOG.warning("the SuperNode ended (%s) and is started again", status)
        if lost := self._summons.under_way():
            # Not on this thread, which has the next SuperNode to start.
            threading.Thread(target=self._report_lost, args=lost, daemon=True).start()

    def _report_lost(self, run: str, step: str) -> None:
        """Let the coordinator end a run that would wait for what will not come."""
        LOG.warning("run %s, step %s: a message of Flower may be lost", run, step)
        kind = NoticeKind.NOTICE_KIND_STEP_LOST
        self._attempt(lambda: self._link.notify(kind, run, step), "say so")

    def _note_task(self, record: TaskRecord) -> None:
        LOG.info(
            "Flower message %s: %s in %d ms, shipped app %s ignored",
            record.message_id,
            record.status,
            record.milliseconds,
            record.app_sha256[:16],
        )

    def _surroundings(self) -> Surroundings:
        """Return what a run may use, with the newest registry."""
        self.refresh_registry()
        return Surroundings(
            party=self.settings.party,
            coordinator=self._registry.coordinator.name,
            signer=self._signer,
            registry=self._registry,
            private_key=self._private_key,
            workers=self._workers,
            source=self.snapshot.columns,
            send=partial(
                self._link.send, timeout_s=self.settings.training.step_timeout_s
            ),
            publish=self._link.publish,
            directory=self._link.directory,
            clock=time.time,
            step_timeout_s=self.settings.training.step_timeout_s,
            min_rows=self.settings.training.min_rows,
        )

    # -- the registry of parties -------------------------------------------------

    def _trusted_registry(self) -> TrustedRegistry:
        settings = self.settings
        pins = {name: bytes.fromhex(pin) for name, pin in settings.pins.items()}
        pins[settings.party] = self._signer.verify_key.fingerprint
        path = settings.state / "registry.json"
        return TrustedRegistry(self.kit.registry, path, pins)

    @property
    def _registry(self) -> Registry:
        return self.registry.current

    def refresh_registry(self) -> None:
        """Take over a newer registry from the coordinator, if it is in order."""
        sent = time.time()
        health = self._link.health()
        self._compare_clocks(ahead_s(sent, health.time, time.time()))
        if self.registry.take(health.registry):
            self.scoring.renew_registry(self._registry)

    def _started_with(self) -> Started:
        """Say in public what this process runs with."""
        return Started(
            version=VERSION,
            certificate=hashlib.sha256(self.kit.certificate).digest(),
            rules=rules_digest(self.settings),
            log_policy=self._log_policy.digest,
        )

    def _compare_clocks(self, ahead: float) -> None:
        agreed, self.clock_fault = self.clock_fault is None, None
        try:
            check_clock(ahead)
        except ClockError as fault:
            self.clock_fault = fault
            if agreed:  # said once
                LOG.warning("%s", fault)

    def _keep_current(self) -> None:
        while not self._stopping.wait(REFRESH_S):
            self._attempt(self.refresh_registry, "look at the registry")
            self._attempt(self.receipts.catch_up, "send the events that wait")
            self._attempt(self._erase_old, "erase openings")
            if lost := self._summons.overdue(time.monotonic()):
                self._report_lost(*lost)

    def _erase_old(self) -> None:
        """Erase what a crash left to be erased, and once a day what is too old."""
        self.records.eraser.finish()
        self.records.eraser.keep_retention(time.time())

    def _attempt(self, work: Callable[[], None], what: str) -> None:
        """Do what may fail while the coordinator is away; it is tried again later."""
        try:
            work()
        except Fault as fault:
            LOG.info("could not %s: %s", what, fault)
