"""Plays one schedule on a running federation and judges what came of it.

Every wait ends at a promise: a party that is lost must be named, a run must end, a
federation must train again. What counts as a failure is listed in ``test_chaos``.
"""

import threading
import time
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Final, Self

from tests.integration import chaos_judge as judge
from tests.integration.chaos_lab import ChaosLab
from tests.integration.chaos_schedule import (
    COORDINATOR,
    REQUESTER,
    SCORES,
    STEPS,
    Fault,
    Kind,
    Part,
    Schedule,
)
from veilscore.coordinator.web.face import RunPhase, RunView
from veilscore.fault import Fault as Error

NAMED_S: Final = 5.0  # for the others to name a party that is lost
ENDED_S: Final = 90.0  # for a run to end after what struck it is over
RESUMED_S: Final = 60.0  # for a new run to get under way when everybody is back
COMPLETED_S: Final = 300.0  # for a run that nothing strikes
_LOOK_S: Final = 0.1
# A certificate that will expire lives so long, and twice as long as a start takes.
_CERTIFICATE_S: Final = 6.0


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of a schedule, in seconds after the fault.

    ``named_s`` is None where nobody had to be named; ``resumed_s`` is when the struck
    run was complete, or a new one under way with all parties. ``left`` are the members
    of a horizontal run that it went on without.
    """

    named_s: float | None
    ended: str
    resumed_s: float
    left: frozenset[str] = frozenset()


@dataclass
class Question:
    """The borrowers asked about again and again, and their scores."""

    request: dict[str, object]
    scores: list[int | None]
    requester: str = REQUESTER


def play(lab: ChaosLab, schedule: Schedule, question: Question) -> Outcome:
    """Let a run or a request for scores be struck; raises AssertionError."""
    with ExitStack() as asking:
        return _Play(lab, schedule, question, judge.marks(lab)).through(asking)


def complete_run(lab: ChaosLab) -> str:
    """Train to the end and return the run's id."""
    with lab.operator() as operator:
        run = operator.propose(lab.contract)
    view = _ended(lab, run, time.monotonic() + COMPLETED_S)
    assert view.phase == RunPhase.COMPLETED, _told(view)
    return run


@dataclass
class _Play:
    lab: ChaosLab
    schedule: Schedule
    question: Question
    begun: dict[str, int]
    run: str = ""
    left: frozenset[str] = frozenset()  # members without whom the run went on

    @property
    def fault(self) -> Fault:
        return self.schedule.fault

    def through(self, asking: ExitStack) -> Outcome:
        """Prepare, strike, watch, lift, and judge."""
        expires_at = self._prepare()
        asker: _Asker | None = None
        if self.schedule.step == SCORES:
            asker = asking.enter_context(_Asker(self.lab, self.question))
            asker.wait_for_answer()
        else:
            self._begin_run(expires_at)
        time.sleep(max(self.schedule.delay_s, expires_at - time.time()))
        marks = judge.marks(self.lab)
        stricken = self.lab.family(self.fault.party)
        child = (
            self.lab.part(self.fault.party, self.fault.part) if self._kills else None
        )
        self.lab.strike(self.fault)
        struck = time.monotonic()
        named_s = self._await_named(marks, struck) if self.fault.loses else None
        if self.fault.kind is Kind.STOP:
            judge.check_gone(stricken, judge.STOPPED_S)
        elif self._kills and self.fault.part is Part.PROCESS:
            judge.check_gone(stricken)
        elif child is not None:
            judge.check_gone([child])
        time.sleep(max(0.0, struck + self.fault.lasts_s - time.monotonic()))
        self.lab.lift(self.fault)
        ended = self._judge_run(struck) if self.run else "scores"
        if asker is not None:
            asker.wait_for_answer()
        self._restart_if_log_waits()
        self.lab.wait_until_ready(self.lab.parties)
        unharmed = ended == RunPhase.COMPLETED and not self.left
        if not unharmed:
            self._resume()
        resumed_s = time.monotonic() - struck
        if not unharmed and self.schedule.completes:
            complete_run(self.lab)
        asking.close()
        self._judge_rest()
        return Outcome(named_s, ended, resumed_s, self.left)

    @property
    def _kills(self) -> bool:
        return self.fault.kind in {Kind.KILL, Kind.STOP}

    def _prepare(self) -> float:
        """Return when the certificate expires that will, in seconds since 1970."""
        if not self.fault.expired:
            return 0.0
        began = time.time()
        self.lab.restart(self.fault.expired)
        self.lab.wait_until_ready(self.lab.parties)
        lives_s = _CERTIFICATE_S + 2 * (time.time() - began)
        self.lab.certify(self.fault.expired, lives_s)
        expires_at = time.time() + lives_s
        self.lab.restart(self.fault.expired)
        self.lab.wait_until_ready(self.lab.parties)
        return expires_at

    def _begin_run(self, expires_at: float) -> None:
        """Propose a run and wait for the step in which it will be struck.

        What the run meets first, that step or a certificate that has expired.
        """
        with self.lab.operator() as operator:
            self.run = operator.propose(self.lab.contract)
            deadline = time.monotonic() + COMPLETED_S
            while (view := operator.run(self.run)).step != self.schedule.step:
                if expires_at and time.time() > expires_at:
                    return
                assert view.ended_ms is None, _told(view)
                assert time.monotonic() < deadline, f"still in step {view.step!r}"
                time.sleep(_LOOK_S)

    def _await_named(self, marks: dict[str, int], struck: float) -> float:
        """Return after how many seconds all others have named the lost party."""
        lost = self.fault.party
        waiting = [party for party in self.lab.parties if party != lost]
        while waiting := [
            party
            for party in waiting
            if not judge.has_named(self.lab, party, lost, marks[party])
        ]:
            waited = time.monotonic() - struck
            assert waited < NAMED_S, f"{waiting} did not name {lost} in {waited:.1f} s"
            time.sleep(_LOOK_S)
        return time.monotonic() - struck

    def _judge_run(self, struck: float) -> str:
        """Wait for the run's end and see that operator and log say the same of it."""
        deadline = struck + self.fault.lasts_s + ENDED_S
        view = _ended(self.lab, self.run, deadline)
        if view.phase == RunPhase.STOPPED:
            assert view.reason, "the run was stopped for no reason"
            assert view.stopped_by in self._to_blame(), _told(view)
        else:
            self.left = frozenset(each.party for each in view.parties if each.left)
            assert self.left <= {self.fault.party}, f"went on without {self.left}"
        return view.phase

    def _to_blame(self) -> set[str]:
        """Return whom the end of the run may name; "" is the coordinator itself."""
        if self.fault.expired == COORDINATOR:  # no node can come back to Flower
            return {"", *self.lab.parties}
        if self.fault.party == COORDINATOR:
            # By a clock that is wrong all nodes are late: it may name any of them.
            skewed = self.fault.kind is Kind.SKEW
            return {"", *self.lab.parties} if skewed else {""}
        healed = self.fault.part is Part.HUB and not self.fault.loses
        return {"", self.fault.party} if healed else {self.fault.party}

    def _resume(self) -> None:
        """See that all parties join a new run; then stop it.

        By then everybody has approved it and published new keys.
        """
        deadline = time.monotonic() + RESUMED_S
        with self.lab.operator() as operator:
            run = operator.propose(self.lab.contract)
            while (view := operator.run(run)).step in {"", STEPS[0]}:
                assert view.ended_ms is None, _told(view)
                assert time.monotonic() < deadline, f"no new run: {_told(view)}"
                time.sleep(_LOOK_S)
            assert view.ended_ms is None, _told(view)
            operator.stop(run)
        _ended(self.lab, run, deadline)

    def _restart_if_log_waits(self) -> None:
        """Start a coordinator again that could not log the end of a run."""
        if self.fault.kind is Kind.FILL and self.fault.party == COORDINATOR:
            self.lab.restart(COORDINATOR)

    def _judge_rest(self) -> None:
        judge.check_processes(self.lab)
        with _Asker(self.lab, self.question) as asker:
            asker.wait_for_answer()
        judge.check_files(self.lab)
        judge.check_said(self.lab, self.begun)
        events = judge.audited_events(self.lab)
        judge.check_log(events)
        judge.check_stayed_out(events)
        judge.check_own_logs(self.lab, events)
        if self.run:
            closed = judge.closing_of(events, self.run).run_closed
            with self.lab.operator() as operator:
                view = operator.run(self.run)
            assert closed.completed == (view.phase == RunPhase.COMPLETED)
            assert closed.party == view.stopped_by


@dataclass
class _Asker:
    """Asks for the same scores without end, on a thread of its own."""

    lab: ChaosLab
    question: Question
    refusals: list[Error] = field(default_factory=list[Error])
    wrong: list[list[int | None]] = field(default_factory=list[list[int | None]])
    _answered: threading.Event = field(default_factory=threading.Event)
    _leaving: threading.Event = field(default_factory=threading.Event)

    def __enter__(self) -> Self:
        self._thread = threading.Thread(target=self._ask)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._leaving.set()
        self._thread.join()
        assert not self.wrong, "scores differ from those of before"

    def wait_for_answer(self) -> None:
        """Wait until another request is answered."""
        self._answered.clear()
        answered = self._answered.wait(ENDED_S)
        assert answered, f"no scores any more: {self.refusals[-3:]}"

    def _ask(self) -> None:
        while not self._leaving.is_set():
            try:
                with self.lab.node(self.question.requester) as node:
                    answer = node.scores(self.question.request)
            except Error as error:
                self.refusals.append(error)
                time.sleep(_LOOK_S)
                continue
            scores = [each.score for each in answer.scores]
            if scores != self.question.scores:
                self.wrong.append(scores)
            self._answered.set()


def _ended(lab: ChaosLab, run: str, deadline: float) -> RunView:
    """Wait for a run's end."""
    with lab.operator() as operator:
        while (view := operator.run(run)).ended_ms is None:
            assert time.monotonic() < deadline, f"no end of the run: {_told(view)}"
            time.sleep(_LOOK_S)
    return view


def _told(view: RunView) -> str:
    return f"{view.phase} in step {view.step!r} by {view.stopped_by!r}: {view.reason}"
