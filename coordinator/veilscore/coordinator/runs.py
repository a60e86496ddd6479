"""The book of runs: who was asked for what, how far it came, how it ended.

The audit log is its storage: what begins or ends a run is logged in the same call, and
after a restart the book is read back from there. A run that was open then is closed.
Steps under way are in memory only.
"""

import hashlib
import threading
from collections.abc import Callable
from dataclasses import replace
from typing import Final

from veilscore.coordinator.errors import RunError
from veilscore.coordinator.log import LogService
from veilscore.coordinator.web.face import (
    Decision,
    RunKind,
    RunParty,
    RunPhase,
    RunView,
)
from veilscore.keys.tlog.events import Detail
from veilscore.keys.tlog.reader import Entry
from veilscore.v1.audit_pb2 import RunClosed, RunOpened
from veilscore.v1.training_pb2 import RunContract

RESTARTED: Final = "the coordinator was restarted"
_REMEMBERED: Final = 200  # runs read back after a restart
NO_MODEL: Final = "it has not registered the model"
_ENDED: Final = frozenset({RunPhase.COMPLETED, RunPhase.STOPPED})


class RunBook:
    """All runs; thread-safe.

    What logs may raise AppendError or LogStoreError. A run that cannot be logged is
    not opened. One that ends has ended all the same; it is closed after a restart.
    """

    def __init__(self, log: LogService, now_ms: Callable[[], int]) -> None:
        self._log = log
        self._now_ms = now_ms
        self._lock = threading.RLock()
        self._runs: dict[str, RunView] = {}  # the oldest first

    def restore(self) -> None:
        """Read the newest runs back from the log, and close those that are open."""
        with self._lock:
            for entry in reversed(self._own("run_opened", limit=_REMEMBERED)):
                view = self._read_back(entry)
                self._runs[view.run] = view
            for view in list(self._runs.values()):
                if view.phase not in _ENDED:
                    self.stop(view.run, party="", what=RESTARTED, logged=RESTARTED)

    def open(self, contract: RunContract) -> None:
        """Enter a run, and log it."""
        body = contract.SerializeToString(deterministic=True)
        digest = hashlib.sha256(body).digest()
        with self._lock:
            now_ms = self._now_ms()
            opened = RunOpened(contract=digest, contract_body=body)
            self._append(contract.run, opened, now_ms)
            self._runs[contract.run] = _opened(contract, digest, now_ms)

    def decide(
        self, run: str, party: str, decision: Decision, estimated_s: int = 0
    ) -> None:
        """Note what a party said to the contract; it logs the decision itself."""
        with self._lock:
            view = self._runs[run]
            parties = _decided(view.parties, party, decision, estimated_s)
            self._runs[run] = replace(view, parties=parties)

    def leave(self, run: str, party: str, why: str) -> None:
        """Note that a run goes on without a party."""
        with self._lock:
            view = self._runs[run]
            parties = _left(view.parties, party, why)
            self._runs[run] = replace(view, parties=parties)

    def step(self, run: str, step: str) -> None:
        """Note that a step begins; until all have joined the run is only proposed."""
        with self._lock:
            phase = RunPhase.PROPOSED if step == "join" else RunPhase.RUNNING
            self._runs[run] = replace(self._runs[run], step=step, phase=phase)

    def complete(self, run: str, manifest: bytes) -> None:
        """Note that a run made a model, and log it."""
        with self._lock:
            now_ms = self._now_ms()
            self._runs[run] = replace(
                self._runs[run],
                phase=RunPhase.COMPLETED,
                step="",
                ended_ms=now_ms,
                model=hashlib.sha256(manifest).hexdigest(),
            )
            self._append(run, RunClosed(completed=True), now_ms)

    def stop(
        self, run: str, *, party: str, what: str, logged: str, remedy: str = ""
    ) -> None:
        """Note what stopped a run, and log it: ``what`` here, ``logged`` there.

        ``logged`` is a fixed sentence; auditors read it.
        """
        with self._lock:
            now_ms = self._now_ms()
            self._runs[run] = replace(
                self._runs[run],
                phase=RunPhase.STOPPED,
                ended_ms=now_ms,
                stopped_by=party,
                reason=what,
                remedy=remedy,
            )
            self._append(run, RunClosed(party=party, reason=logged), now_ms)

    def view(self, run: str) -> RunView:
        """Return one run; raises RunError if there is none."""
        with self._lock:
            if run in self._runs:
                return self._runs[run]
        raise RunError(
            "there is no such run",
            place=run[:64],
            remedy="List the runs with: veilscore coordinator status.",
        )

    def views(self) -> list[RunView]:
        """Return all runs, the newest first."""
        with self._lock:
            return list(reversed(self._runs.values()))

    def _append(self, run: str, detail: Detail, now_ms: int) -> None:
        self._log.append_own(detail, correlation=run, now_ms=now_ms)

    def _own(self, kind: str, run: str = "", limit: int = 1) -> list[Entry]:
        """Return the newest events of the coordinator itself, newest first."""
        actor = self._log.registry.coordinator.name
        return self._log.events(actor=actor, kind=kind, correlation=run, limit=limit)

    def _read_back(self, entry: Entry) -> RunView:
        event = entry.opened.event
        contract = RunContract.FromString(event.run_opened.contract_body)
        view = _opened(contract, event.run_opened.contract, event.time_ms)
        for name in (party.party for party in view.parties):
            for decided in self._log.events(
                actor=name, kind="run_decided", correlation=contract.run, limit=1
            ):
                approved = decided.opened.event.run_decided.approved
                decision = Decision.APPROVED if approved else Decision.REFUSED
                parties = _decided(view.parties, name, decision)
                view = replace(view, parties=parties)
        for closing in self._own("run_closed", contract.run):
            closed = closing.opened.event.run_closed
            view = replace(
                view,
                phase=RunPhase.COMPLETED if closed.completed else RunPhase.STOPPED,
                ended_ms=closing.opened.event.time_ms,
                stopped_by=closed.party,
                reason=closed.reason,
            )
            if closed.completed:
                view = self._with_model(view)
        return view

    def _with_model(self, view: RunView) -> RunView:
        """Return a completed run with the model that its parties registered."""
        horizontal = view.kind is RunKind.HORIZONTAL
        model, parties = "", view.parties
        for name in (each.party for each in parties):
            if registered := self._registered(view.run, name):
                if horizontal or name == view.label_holder:
                    model = registered
            elif horizontal:  # the log does not say why it left
                parties = _left(parties, name, NO_MODEL)
        return replace(view, model=model, parties=parties)

    def _registered(self, run: str, party: str) -> str:
        for entry in self._log.events(
            actor=party, kind="model_registered", correlation=run, limit=1
        ):
            return entry.opened.event.model_registered.model.hex()
        return ""


def _opened(contract: RunContract, digest: bytes, now_ms: int) -> RunView:
    return RunView(
        run=contract.run,
        contract=digest.hex(),
        phase=RunPhase.PROPOSED,
        kind=(
            RunKind.HORIZONTAL if contract.HasField("horizontal") else RunKind.VERTICAL
        ),
        label_holder=contract.label_holder,
        parties=tuple(
            RunParty(entry.party, Decision.WAITING) for entry in contract.roster
        ),
        step="",
        proposed_ms=now_ms,
    )


def _changed(
    parties: tuple[RunParty, ...], party: str, change: Callable[[RunParty], RunParty]
) -> tuple[RunParty, ...]:
    return tuple(change(each) if each.party == party else each for each in parties)


def _left(parties: tuple[RunParty, ...], party: str, why: str) -> tuple[RunParty, ...]:
    return _changed(parties, party, lambda each: replace(each, left=why))


def _decided(
    parties: tuple[RunParty, ...], party: str, decision: Decision, estimated_s: int = 0
) -> tuple[RunParty, ...]:
    return _changed(
        parties,
        party,
        lambda each: replace(each, decision=decision, estimated_s=estimated_s),
    )
