"""A node's own log beside a log that may lie, and what the node keeps of it."""

from collections.abc import Callable, Sequence
from pathlib import Path

from tests.unit.tlog.recon_desk import Desk
from tests.unit.tlog.sample_log import NOW_MS
from veilscore.keys.tlog.events import OpenedEvent
from veilscore.node.errors import CoordinatorRefusedError
from veilscore.node.log.incidents import Incidents
from veilscore.node.log.receipts import Receipts
from veilscore.node.log.reconciliation import Reconciliation
from veilscore.runtime.errors import UnreachableError
from veilscore.v1.audit_pb2 import Started
from veilscore.v1.hub_pb2 import AppendResponse, EventProof, ReadLogResponse

DAY_S = 86_400.0


class Node:
    """A node's own log, and the reconciliation of a process that runs it."""

    def __init__(self, folder: Path, desk: Desk, every_s: float = DAY_S) -> None:
        self.folder = folder / "incidents"
        self.desk = desk
        self.now = NOW_MS / 1000
        self.every_s = every_s
        self.away = False
        self.refused: set[str] = set()
        self.shown = ""  # a checkpoint that the hub shows instead of the newest
        self.afterwards: Callable[[], object] | None = None  # once a file was read
        self.recon = self.made()

    def made(self) -> Reconciliation:
        """Return the one of a process that has just started."""
        desk = self.desk
        signer = desk.log.parties.signers["bank"]
        self.receipts = Receipts(
            desk.chain, self._append, desk.log.policy, lambda: self.now
        )
        self.incidents = Incidents(
            self.folder, "bank", signer, desk.chain, self.receipts, lambda: self.now
        )
        return Reconciliation(
            "bank",
            desk.database,
            desk.chain,
            self.receipts,
            self.incidents,
            self._part,
            desk.log.policy,
            lambda: self.now,
            every_s=self.every_s,
        )

    def _append(self, leaves: Sequence[bytes]) -> AppendResponse:
        if self.away:
            raise UnreachableError("the coordinator does not answer")
        self.desk.log.service.append(leaves)
        self.desk.cosign()
        return AppendResponse(
            proofs=[
                EventProof(index=each.index, checkpoint=each.checkpoint, path=each.path)
                for each in self.desk.log.service.append(leaves)
            ]
        )

    def _part(self, path: str, offset: int) -> ReadLogResponse:
        data = self._file(path)
        return ReadLogResponse(data=data[offset:], total=len(data))

    def _file(self, path: str) -> bytes:
        if path in self.refused:
            raise CoordinatorRefusedError(
                "the log has no such file", reason="bad-proof"
            )
        if self.away and path != "checkpoint":
            raise UnreachableError("the coordinator does not answer")
        if self.shown and path == "checkpoint":
            return self.shown.encode()
        data = self.desk.log.service.file(path)
        if afterwards := self.afterwards:
            self.afterwards = None
            afterwards()
        return data

    def told(self, kind: str) -> list[OpenedEvent]:
        """Return the own events of a kind, the oldest first."""
        entries = self.desk.chain.log.entries(kind=kind)
        return [entry.opened for entry in reversed(entries)]

    def copy_says(self) -> OpenedEvent:
        """Let a copy of the node write to the log."""
        log = self.desk.log
        event = log.parties.event("bank", log.store.head("bank"), Started(version="x"))
        log.service.append([event.leaf])
        self.desk.cosign()
        return event
