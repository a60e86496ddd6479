"""The training desk: one run at a time, the others wait in the order they came.

Brings together the book of runs, Flower, which gives a run its thread, and what the
hub hears. Learns what the director of a run learns (``rounds``).
"""

import logging
import threading
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

from veilscore.coordinator import server_app
from veilscore.coordinator.errors import PartyStoppedError, RunError
from veilscore.coordinator.rounds import Director
from veilscore.coordinator.runs import RunBook
from veilscore.coordinator.surroundings import Caller, Surroundings
from veilscore.coordinator.web.face import Decision
from veilscore.fault import Fault
from veilscore.runtime.flower.control import RunStatus
from veilscore.v1.training_pb2 import RunContract

_log = logging.getLogger(__name__)

_LOOK_S = 5.0  # between looks into Flower's books while a run is under way
_STOP_S = 2.0


@dataclass(frozen=True, slots=True)
class Flower:
    """What the desk uses of the SuperLink."""

    start: Callable[[str], int]  # submit a run; returns Flower's id of it
    status: Callable[[int], RunStatus]


class TrainingDesk:
    """Leads the runs that are proposed, from ``start`` until ``close``.

    ``run_ended(run, party)`` tells a node that a run of it is over; a party that is
    gone is no error.
    """

    def __init__(
        self,
        book: RunBook,
        flower: Flower,
        surroundings: Callable[[], Surroundings],
        run_ended: Callable[[str, str], None],
    ) -> None:
        self._book = book
        self._flower = flower
        self._surroundings = surroundings
        self._run_ended = run_ended
        self._changed = threading.Condition()
        self._queue: deque[RunContract] = deque()
        self._director: Director | None = None
        self._closing = False
        self._thread = threading.Thread(target=self._work, name="runs", daemon=True)

    def start(self) -> None:
        """Begin to lead runs."""
        self._thread.start()

    def close(self) -> None:
        """Stop the run under way and lead no other; the book keeps them open."""
        with self._changed:
            self._closing = True
            self._changed.notify_all()
            director = self._director
        if director is not None:
            director.stop(RunError("the coordinator was stopped"))
        if self._thread.is_alive():
            self._thread.join(_STOP_S)

    # -- asked by the operator ---------------------------------------------------

    def propose(self, contract: RunContract) -> None:
        """Queue a run and log that it was opened."""
        with self._changed:
            self._book.open(contract)
            self._queue.append(contract)
            self._changed.notify_all()

    def stop(self, run: str) -> None:
        """Stop a run that waits or is under way; raises RunError for any other."""
        reason = RunError("stopped by the coordinator's operator")
        with self._changed:
            waiting = [each for each in self._queue if each.run == run]
            for contract in waiting:
                self._book.stop(run, party="", what=reason.what, logged=reason.what)
                self._queue.remove(contract)
            director = self._director
        if director is not None and director.contract.run == run:
            director.stop(reason)
        elif not waiting:
            raise RunError("the run has ended", place=self._book.view(run).run)

    # -- told by the hub ---------------------------------------------------------

    def on_envelope(self, sender: str, data: bytes) -> None:
        """Take an envelope that is addressed to the coordinator."""
        if director := self._director:
            director.receive(sender, data)

    def on_lost(self, party: str, reason: str) -> None:
        """Let the run under way go on without a party that is gone, or end."""
        if director := self._director:
            director.lose(party, reason)

    def on_step_done(self, party: str, run: str, step: str) -> None:
        """Expect the reply of a party that says that it has done a step."""
        director = self._director
        if director is not None and director.contract.run == run:
            director.note_done(party, step)

    def on_step_lost(self, party: str, run: str, step: str) -> None:
        """Do the same if a party's message or reply is lost."""
        director = self._director
        if director is not None and director.contract.run == run:
            director.lose_step(party, step)

    def on_superlink_end(self) -> None:
        """Note that the SuperLink ended; it comes back, and a run may survive that."""
        if director := self._director:
            director.note_superlink_end()

    # -- leading -----------------------------------------------------------------

    def _work(self) -> None:
        while director := self._next():
            try:
                self._lead(director)
            except Fault as fault:  # the log: what cannot be logged is not led
                _log.error("run %s: %s", director.contract.run, fault)
            self._director = None

    def _next(self) -> Director | None:
        """Wait for the next run; None when the desk closes."""
        with self._changed:
            self._changed.wait_for(lambda: self._closing or self._queue)
            if self._closing:
                return None
            contract = self._queue.popleft()
            watcher = _Watcher(self._book, contract.run)
            self._director = Director(contract, self._surroundings(), watcher)
            return self._director

    def _lead(self, director: Director) -> None:
        """Lead one run to its end, whatever that is, and enter it in the book."""
        run = director.contract.run
        _log.info("run %s begins", run)
        manifest, fault = self._through_flower(director)
        for entry in director.contract.roster:
            self._run_ended(run, entry.party)
        if fault is None:
            self._book.complete(run, manifest)
            _log.info("run %s is completed", run)
        else:
            reason = (
                fault.reason if isinstance(fault, PartyStoppedError) else fault.code
            )
            logged = f"{reason} in step {director.step}" if director.step else reason
            self._book.stop(
                run,
                party=fault.party,
                what=_sentence(fault),
                logged=logged,
                remedy=fault.remedy,
            )
            _log.warning("run %s is stopped: %s", run, fault)

    def _through_flower(self, director: Director) -> tuple[bytes, Fault | None]:
        """Lead on the thread that Flower gives the run; return manifest or fault."""
        run = director.contract.run
        led = threading.Event()
        manifest = b""
        fault: Fault | None = RunError("the coordinator could not lead the run")

        def lead(fleet: Caller) -> None:
            nonlocal manifest, fault
            try:
                manifest, fault = director.lead(fleet), None
            except Fault as found:
                fault = found
                raise
            finally:
                led.set()

        server_app.DIRECTORS[run] = lead
        try:
            flower_run = self._flower.start(run)
        except Fault as refused:
            del server_app.DIRECTORS[run]
            return b"", refused
        while not led.wait(_LOOK_S):
            # Flower gave the run up, so nobody may be there to lead it.
            if self._finished(flower_run) and run in server_app.DIRECTORS:
                del server_app.DIRECTORS[run]
                return b"", RunError("Flower ended the run before it began")
        return manifest, fault

    def _finished(self, flower_run: int) -> bool:
        try:
            return self._flower.status(flower_run).status == "finished"
        except Fault:  # the SuperLink comes back by itself
            return False


@dataclass(frozen=True, slots=True)
class _Watcher:
    """Enters what happens in a run in the book."""

    book: RunBook
    run: str

    def on_step(self, step: str) -> None:
        _log.info("run %s: step %s", self.run, step)
        self.book.step(self.run, step)

    def on_approval(self, party: str, estimated_s: int) -> None:
        self.book.decide(self.run, party, Decision.APPROVED, estimated_s)

    def on_refusal(self, party: str) -> None:
        self.book.decide(self.run, party, Decision.REFUSED)

    def on_left(self, party: str, fault: Fault) -> None:
        _log.warning("run %s goes on without %s: %s", self.run, party, fault)
        self.book.leave(self.run, party, _sentence(fault))


def _sentence(fault: Fault) -> str:
    return f"{fault.place}: {fault.what}" if fault.place else fault.what
