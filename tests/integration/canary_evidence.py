"""What is left of one phase of a federation of canaries, and how it is searched.

The folder holds copies of all that the coordinator stored, wrote and showed; databases
in it are read without a trace, so that nothing of them is lost for the next reader.
"""

import importlib.metadata
import math
import shutil
import sqlite3
import tempfile
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from flwr.proto.message_pb2 import PushObjectRequest

from tests.attacks.allowed_fields import PublicKnowledge, allowed_fields
from tests.attacks.coordinator_messages import Request, connections, pieces, requests
from tests.attacks.field_rules import AllowList
from tests.attacks.leak_scanner import Leak, LeakScanner
from tests.attacks.received import FLOWER, Received
from veilscore.models.steps import steps
from veilscore.v1.audit_pb2 import Event, SignedEvent
from veilscore.v1.training_pb2 import RosterEntry, RunContract

PARTIES: Final = ("bank", "bureau", "market")
STEPS: Final = tuple(steps(RunContract(roster=[RosterEntry()] * len(PARTIES))))
KEY_BITS: Final = 2048


@dataclass(slots=True)
class Evidence:
    """One phase, and the run in it."""

    folder: Path
    since: float  # seconds since 1970
    until: float = math.inf
    run: str = ""
    steps: tuple[str, ...] = STEPS
    received: tuple[Received, ...] = ()
    listening: frozenset[int] = frozenset()  # ports of all processes of the coordinator

    def keep(self, name: str, data: bytes) -> None:
        """Put something into the folder."""
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)

    @property
    def size(self) -> int:
        """How many bytes were received, and stored, written or shown."""
        files = (path for path in self.folder.rglob("*") if path.is_file())
        stored = sum(path.stat().st_size for path in files)
        return stored + sum(len(each.data) for each in self.received)

    def leaks(self, scanner: LeakScanner) -> set[Leak]:
        """Search every byte of it."""
        found: set[Leak] = set()
        for where, data in pieces(self.received):
            found |= scanner.scan(where, data)
        with tempfile.TemporaryDirectory() as place:
            copy = Path(place) / "copy"
            shutil.copytree(self.folder, copy)
            return found | scanner.scan_folder(copy)

    def allow_list(self) -> AllowList:
        """Return what the coordinator may be told in this phase."""
        known = PublicKnowledge(
            coordinator="coordinator",
            parties=PARTIES,
            runs=(self.run,),
            steps=self.steps,
            node_ids=frozenset(
                node_id % 2**64  # Flower stores them with a sign
                for node_id in self._query(
                    "state/flower/superlink.db", "SELECT node_id FROM node"
                )
            ),
            key_bits=KEY_BITS,
            version=importlib.metadata.version("veilscore"),
            since=self.since,
            until=self.until,
        )
        return allowed_fields(known)

    def leaves(self) -> Iterator[bytes]:
        """Yield the leaves of the log."""
        yield from self._query("state/log.db", "SELECT leaf FROM entry ORDER BY idx")

    def flower_requests(self) -> Iterator[Request]:
        """Yield what was asked of the SuperLink."""
        for (channel, _), stream in connections(self.received).items():
            if channel == FLOWER:
                yield from requests(stream)

    def reports(self) -> Iterator[Request]:
        """Yield the requests by which nodes push what they reply to a step."""
        for request in self.flower_requests():
            if request.target == "/v1/fleet/push-object":
                pushed = PushObjectRequest.FromString(request.body)
                if pushed.object_content.startswith(b"ConfigRecord "):
                    yield request

    def _query(self, name: str, statement: str) -> Iterator[Any]:
        """Yield the only cell of each row."""
        uri = f"file:{self.folder / 'stopped' / name}?mode=ro&immutable=1"
        with closing(sqlite3.connect(uri, uri=True)) as database:
            for (cell,) in database.execute(statement):
                yield cell


def event_of(leaf: bytes) -> Event:
    """Return the event in a leaf of the log."""
    return Event.FromString(SignedEvent.FromString(leaf).body)
