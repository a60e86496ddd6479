"""A coordinator with its log, three nodes, and messages that wait to be delivered.

Nodes, log and key directory are the product's. In place of the hub's streams there is a
list of messages under way, which whoever plays may deliver in any order, lose or
double, and calls of the log and directory can be lost or kill who makes them.
"""

from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from tests.protocol.score_cards import HOLDERS
from tests.protocol.score_world import (
    ROLES,
    START,
    MemoryLink,
    People,
    World,
)
from tests.simulation.virtual_threads import Crash, Scheduler
from veilscore.coordinator.append_rules import check_append
from veilscore.coordinator.directory import KeyDirectory
from veilscore.coordinator.refusals import refusal
from veilscore.fault import Fault
from veilscore.keys.receiving import verify_signed_key
from veilscore.keys.registry import Registry
from veilscore.node.link_faults import explain
from veilscore.runtime.errors import PeerLostError, UnreachableError
from veilscore.v1.hub_pb2 import AppendResponse, SignedKey

HUB: Final = "hub"
_NO_KEYS: Final = b"\1[]"  # of a node that has just been made


@dataclass(frozen=True, slots=True, eq=False)
class Message:
    """An envelope under way."""

    sender: str
    to: str
    data: bytes


@dataclass(slots=True)
class Troubles:
    """What the next calls of each party meet."""

    append_lost: set[str] = field(default_factory=set[str])
    receipt_lost: set[str] = field(default_factory=set[str])
    crash_before: set[str] = field(default_factory=set[str])
    crash_after: set[str] = field(default_factory=set[str])

    def meet(self, which: set[str], party: str) -> bool:
        """Say whether a party meets this now; it does once."""
        met = party in which
        which.discard(party)
        return met

    def clear(self) -> None:
        """Let nothing happen any more."""
        for each in (
            self.append_lost,
            self.receipt_lost,
            self.crash_before,
            self.crash_after,
        ):
            each.clear()


class Federation(World):
    """The world of the scoring tests, whose wire does nothing by itself."""

    def __init__(self, folder: Path, people: People, scheduler: Scheduler) -> None:
        super().__init__(folder, people)
        for party in HOLDERS:
            people.keystores[party].put("score-receiving-keys", _NO_KEYS)
        self.scheduler = scheduler
        scheduler.crashed = self.crash
        self.troubles = Troubles()
        self.under_way: list[Message] = []
        self.recorded: list[Message] = []
        self.on_sent: Callable[[Message], None] = lambda _: None
        self.up: set[str] = set()
        self.starts: dict[str, int] = dict.fromkeys(HOLDERS, 0)
        self.keys = self._directory()
        self._unpublished: set[str] = set()
        self._version = 1
        for party in HOLDERS:
            self.node(party)
            self._began(party)

    @property
    def now(self) -> float:
        """The true time, by which ``ahead`` counts."""
        return self.scheduler.now

    @now.setter
    def now(self, value: float) -> None:
        assert value == START, "time is the scheduler's"

    def clock(self, party: str) -> float:
        """Return what a party's clock says."""
        return self.now + self.ahead.get(party, 0)

    def link(self, party: str) -> MemoryLink:
        return _Link(self, party)

    def start(self, party: str) -> None:
        """Start a node again, with what is on its disk."""
        self.nodes[party].open()
        self._began(party)
        self.attach(party)

    def stop(self, party: str) -> None:
        """Stop a node as its operator does."""
        self.up.discard(party)
        self.nodes[party].desk.close()
        self.scheduler.settle()  # whoever waits is told before the files are closed
        self.nodes[party].stop()
        self._lost(party)

    def crash(self, party: str) -> None:
        """Lose a node's process, and everything that was not on its disk."""
        if party in self.up:
            self.up.discard(party)
            self.nodes[party].desk.close()
            self.scheduler.kill(party)
            self.nodes[party].crash()
            self._lost(party)

    def restart_hub(self) -> None:
        """Stop the coordinator and start it: it keeps its log and nothing else."""
        self.under_way.clear()
        self.reopen_log()
        self.keys = self._directory()
        for party in sorted(self.up):
            self.nodes[party].desk.on_lost(HUB, "the coordinator was restarted")
            self.attach(party)

    def admit_again(self) -> None:
        """Put a newer registry in force, of the same parties."""
        self._version += 1
        people, hub = self.people, self.people.signers[HUB]
        records = [people.registry.party(name) for name in ROLES]
        file = Registry.sign(records, hub, self._version)
        self.renew_registry(Registry.load(file, hub.verify_key.fingerprint))

    def attach(self, party: str) -> None:
        """Do what a node does when its line to the hub is there."""
        self._unpublished.add(party)
        self.tend(party)

    def tend(self, party: str) -> None:
        """Do what a node does again and again; it may die of it."""
        node = self.nodes[party]
        try:
            if party in self._unpublished:
                with suppress(Fault):
                    node.desk.publish_keys()
                    self._unpublished.discard(party)
            with suppress(Fault):
                node.receipts.catch_up()
        except Crash as crash:
            self.crash(crash.party)

    def deliver(self, message: Message) -> None:
        """Hand a message to its recipient, if that is there, and let it work."""
        if message.to in self.up:
            self.recipients[message.to](message.sender, message.data)
        self.scheduler.settle()

    def close(self) -> None:
        for party in sorted(self.up):
            self.stop(party)
        self.scheduler.settle()
        super().close()

    def _began(self, party: str) -> None:
        self.up.add(party)
        self.starts[party] += 1

    def _lost(self, party: str) -> None:
        for other in sorted(self.up):
            self.nodes[other].desk.on_lost(party, "its line was cut")

    def _directory(self) -> KeyDirectory:
        def verify(key: SignedKey, _: str, purpose: str) -> object:
            registry = self.people.registry
            return verify_signed_key(key, registry, purpose, self.clock(HUB))

        return KeyDirectory(verify)


class _Link(MemoryLink):
    """A party's line to a hub that troubles it."""

    def __init__(self, federation: Federation, party: str) -> None:
        super().__init__(federation, party)
        self._federation = federation
        self._name = party

    def send(
        self, to: str, data: bytes, *, urgent: bool = False, timeout_s: float = 1.0
    ) -> None:
        assert urgent
        assert timeout_s > 0
        federation, troubles = self._federation, self._federation.troubles
        if troubles.meet(troubles.crash_before, self._name):
            raise Crash(self._name)
        if to not in federation.up:
            raise PeerLostError("is not attached", party=to)
        message = Message(self._name, to, data)
        federation.under_way.append(message)
        federation.recorded.append(message)
        federation.on_sent(message)
        if troubles.meet(troubles.crash_after, self._name):
            raise Crash(self._name)

    def publish(self, key: SignedKey) -> None:
        with _refusing():
            self._federation.keys.publish(self._name, key)

    def directory(self, purpose: str) -> list[SignedKey]:
        return self._federation.keys.keys(purpose)

    def append(self, leaves: Sequence[bytes]) -> AppendResponse:
        federation, troubles = self._federation, self._federation.troubles
        if troubles.meet(troubles.crash_before, self._name):
            raise Crash(self._name)
        if troubles.meet(troubles.append_lost, self._name):
            raise UnreachableError("the coordinator does not answer")
        with _refusing():
            check_append(self._name, leaves, int(federation.clock(HUB) * 1000))
            response = federation.append(leaves)
        if troubles.meet(troubles.crash_after, self._name):
            raise Crash(self._name)
        if troubles.meet(troubles.receipt_lost, self._name):
            raise UnreachableError("the coordinator does not answer")
        return response


@contextmanager
def _refusing() -> Generator[None]:
    """Refuse a party what the hub refuses, in the words that cross the wire."""
    try:
        yield
    except Fault as fault:
        _, details = refusal(fault)
        raise explain(details, HUB, "", b"", 0) from fault
