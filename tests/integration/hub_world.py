"""A hub and nodes on the loopback, with certificates of their own authority."""

import queue
import threading
import time
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from datetime import date
from typing import Final, TypeVarTuple

from tests.integration.wire import Wire
from veilscore.coordinator.access import Access
from veilscore.coordinator.directory import KeyDirectory
from veilscore.coordinator.errors import AppendError
from veilscore.coordinator.hub import Hub
from veilscore.keys.authority import DevelopmentAuthority
from veilscore.keys.certificates import TlsKey
from veilscore.keys.errors import ProofError
from veilscore.keys.identity import Signer
from veilscore.keys.receiving import verify_signed_key
from veilscore.keys.registry import PartyRecord, Registry, Role
from veilscore.keys.tlog.tlog_proof import TlogProof
from veilscore.node.link import Link
from veilscore.runtime.channel import KEEPALIVE_S
from veilscore.runtime.tls import TlsIdentity
from veilscore.v1 import hub_pb2

PARTIES: Final[tuple[str, str, str]] = ("bank-a", "bank-b", "farm-office")
COORDINATOR: Final[str] = "coordinator"
AUDITOR: Final[str] = "auditor"

_Ts = TypeVarTuple("_Ts")


def _queued(sink: queue.Queue[tuple[*_Ts]]) -> Callable[[*_Ts], None]:
    """Return a callback that puts its arguments into a queue."""

    def put(*arguments: *_Ts) -> None:
        sink.put(arguments)

    return put


class Node:
    """A link, and queues of what it was told."""

    def __init__(self, address: str, identity: TlsIdentity, keepalive_s: float) -> None:
        self.may_take = threading.Event()
        """Cleared, it makes the node slow to take envelopes."""
        self.may_take.set()
        self.envelopes: queue.Queue[tuple[str, bytes, bool]] = queue.Queue()
        self.notices: queue.Queue[hub_pb2.Notice] = queue.Queue()
        self.losses: queue.Queue[tuple[str, str]] = queue.Queue()
        self.states: queue.Queue[tuple[bool, str]] = queue.Queue()
        self.link = Link(
            address,
            identity,
            server_name="hub.test",
            keepalive_s=keepalive_s,
            on_envelope=self._take,
            on_notice=self.notices.put,
            on_lost=_queued(self.losses),
            on_state=_queued(self.states),
        )

    def _take(self, sender: str, data: bytes, urgent: bool) -> None:  # noqa: FBT001 - as the link calls it
        self.may_take.wait()
        self.envelopes.put((sender, data, urgent))


def _no_file(path: str) -> bytes:
    raise ProofError("the log has no such file", place=path)


class World:
    """An authority, a registry and one hub at a time, with queues of what it heard."""

    def __init__(self) -> None:
        now = time.time()
        self.authority = DevelopmentAuthority.create("test authority", now, 2)
        roles = dict.fromkeys(PARTIES, Role.DATA_HOLDER)
        roles |= {COORDINATOR: Role.COORDINATOR, AUDITOR: Role.AUDITOR}
        self.signers = {party: Signer.generate() for party in roles}
        records = [
            PartyRecord(
                name=name,
                roles=frozenset({role}),
                key=self.signers[name].verify_key,
                flower_key="",
                joined=date(2026, 1, 5),
            )
            for name, role in roles.items()
        ]
        signer = self.signers[COORDINATOR]
        signed = Registry.sign(records, signer, 1)
        self.registry = Registry.load(signed, signer.verify_key.fingerprint)
        self.access = Access(self.registry)
        self.leaves: list[tuple[str, bytes]] = []
        self.reads: Callable[[str], bytes] = _no_file
        self.envelopes: queue.Queue[tuple[str, bytes]] = queue.Queue()
        self.notices: queue.Queue[tuple[str, hub_pb2.Notice]] = queue.Queue()
        self.losses: queue.Queue[tuple[str, str]] = queue.Queue()
        self.attached: queue.Queue[str] = queue.Queue()
        self.port = 0
        self._nodes: list[Node] = []
        self._wires: list[Wire] = []

    def start_hub(self) -> None:
        """Start a hub, at the port of the one before if there was one."""
        self.hub = Hub(
            f"127.0.0.1:{self.port}",
            self.identity(COORDINATOR, hosts=("hub.test",)),
            self.access,
            KeyDirectory(self._verify_key),
            append=self._append,
            read_log=self._read_log,
            log_size=lambda: len(self.leaves),
            on_envelope=_queued(self.envelopes),
            on_notice=_queued(self.notices),
            on_lost=_queued(self.losses),
            on_attached=self.attached.put,
            version="test",
        )
        self.port = self.hub.start()

    def identity(
        self,
        party: str,
        *,
        authority: DevelopmentAuthority | None = None,
        hosts: tuple[str, ...] = (),
        age_days: int = 0,
    ) -> TlsIdentity:
        """Return a new key and a certificate for it that lasts a day."""
        key = TlsKey.generate()
        issuer = authority or self.authority
        now = time.time() - age_days * 86_400
        return TlsIdentity(
            self.authority.certificate_pem,
            issuer.issue(key.request(party), party, now, 1, hosts),
            key.private_pem(),
        )

    def wire(self, port: int = 0) -> Wire:
        """Return a wire to the hub."""
        wire = Wire(self.port, port)
        self._wires.append(wire)
        return wire

    def node(
        self,
        party: str,
        *,
        port: int = 0,
        identity: TlsIdentity | None = None,
        keepalive_s: float = KEEPALIVE_S,
    ) -> Node:
        """Start a node."""
        address = f"127.0.0.1:{port or self.port}"
        node = Node(address, identity or self.identity(party), keepalive_s)
        node.link.start()
        self._nodes.append(node)
        return node

    def nodes(self) -> tuple[Node, Node, Node]:
        """Start all three parties and wait until they are attached."""
        first, second, third = (self.node(party) for party in PARTIES)
        for node in (first, second, third):
            node.link.wait_ready(10)
        return first, second, third

    def close(self) -> None:
        """Stop everything that was started."""
        for wire in self._wires:
            wire.close()
        for node in self._nodes:
            node.link.close()
        self.hub.stop()

    def _verify_key(self, key: hub_pb2.SignedKey, party: str, purpose: str) -> None:
        assert (
            verify_signed_key(key, self.registry, purpose, time.time()).party == party
        )

    def _read_log(self, path: str) -> bytes:
        return self.reads(path)

    def _append(self, party: str, leaves: Sequence[bytes]) -> list[TlogProof]:
        if not leaves:
            raise AppendError("empty", place="/var/lib/veilscore/log.sqlite")
        for leaf in leaves:
            self.leaves.append((party, leaf))
        size = len(self.leaves)
        return [TlogProof(size - 1, (b"\0" * 32,), "checkpoint\n") for _ in leaves]


@contextmanager
def world() -> Generator[World]:
    """Run a hub, and whatever nodes the body starts."""
    running = World()
    running.start_hub()
    try:
        yield running
    finally:
        running.close()
