"""Crashes and cuts: a federation of real processes, struck in every place at any time.

A schedule follows from its seed (``chaos_schedule``): one fault, in one place, so long
after a step of a run began, or while scores are asked for. A killed or stopped party is
started again as systemd would, a full disk is emptied, a clock set right, an expired
certificate renewed. A coordinator whose disk was full is then stopped and started as
its operator does: an end of a run that it could not log it logs when it starts. Rules 4
to 11 are judged after that. It counts as a failure

1.  if a party is killed, stopped, paused, cut off or cannot come back with an expired
    certificate, and every other party's log does not name it within 5 s (the nodes: if
    the coordinator is lost, that they have no connection to it);
2.  if the run has not ended, completed or stopped, 90 s after the fault is over;
3.  if a stopped run gives no reason, or names another party than the one it happened
    to; "" stands for the coordinator. Whose own clock is wrong may name any node, for
    to it all are late; so may a coordinator whose certificate has expired, for none can
    come back to it. A line to the hub that is back before its party is lost may be laid
    to either end;
4.  if a new run, with everybody back, has not been joined by all within a minute, or,
    every fourth time, is not complete within five; if then, whatever was struck, scores
    are not answered within 90 s, or an answer, also one of those asked for while scores
    were struck, differs from the one of before;
5.  if a process of a killed party lives on for 5 s, of a stopped one for 20 s, or one
    without a parent is left;
6.  if a SuperNode or the SuperLink, or all Paillier workers of a node, are missing
    afterwards: whoever owns them must have started them again within 15 s;
7.  if a keystore, kit, registry, model or database cannot be read by its own reader
    (SQLite: ``integrity_check``), or a temporary file is left;
8.  if the log does not verify offline, if it closes the run twice or not at all, or not
    as the coordinator's operator saw it end;
9.  if a mask can have been used twice: a node that joined a run, did a step, published
    a receiving key, decided on a query or answered one twice;
10. if a party wrote a traceback to its log;
11. if a node's own log is not sound, if a node found in the log what is never honest,
    or has not compared both logs by itself within a minute after its start.

A line between a SuperNode and the SuperLink is no party: it need not be named within
5 s, the run ends or goes on by rule 2. A run that goes on unharmed is as good as one
that stops.

``make test`` plays 20 schedules, one of every form, which together strike every step,
and scores twice; ``make soak`` plays 200, leads each form to a complete run at least
twice, and pauses a party for a minute where ``make test`` pauses it until it is missed.
"""

from collections import Counter
from collections.abc import Callable, Generator, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from statistics import median

import pytest

from tests.integration.chaos_lab import ChaosLab, chaos_lab
from tests.integration.chaos_play import (
    NAMED_S,
    Outcome,
    Question,
    complete_run,
    play,
)
from tests.integration.chaos_schedule import (
    COMPLETES_EVERY,
    COORDINATOR,
    FORMS,
    REQUESTER,
    SCORES,
    STEPS,
    Kind,
    Schedule,
    schedule,
)
from tests.integration.shifted_clock import can_shift
from tests.integration.small_disk import mount_privately
from veilscore.lab.plain import read_table

pytestmark = pytest.mark.chaos
SCHEDULES = 200
SEEDS = [
    pytest.param(seed, marks=pytest.mark.soak if seed >= FORMS else ())
    for seed in range(SCHEDULES)
]
PAUSE_S = 60.0
ASKED = 40


class Stage:
    """A federation that is made anew after a schedule that failed."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.disks, self.clocks = mount_privately(), can_shift()
        self._made = 0
        self._open = ExitStack()
        self._lab: tuple[ChaosLab, Question] | None = None
        self.outcomes: list[Outcome] = []

    @contextmanager
    def lab(self) -> Generator[tuple[ChaosLab, Question]]:
        """Yield a federation that has a model, and a question about it."""
        if self._lab is None:
            self._lab = self._make()
        try:
            yield self._lab
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        self._lab = None
        self._open.close()

    def _make(self) -> tuple[ChaosLab, Question]:
        self._made += 1
        state = self._folder / str(self._made)
        state.mkdir()
        lab = self._open.enter_context(
            chaos_lab(state, clocks=self.clocks, disks=self.disks)
        )
        complete_run(lab)
        written = read_table(lab.federation.members[REQUESTER].holding).written
        with lab.node(REQUESTER) as node:
            request: dict[str, object] = {
                "entities": [
                    {"type": kind, "id": entity} for kind, entity in written[:ASKED]
                ],
                "purpose": "pre_loan",
                "consent": "chaos",
                "model": node.status()["models"][0]["hash"],
            }
            answer = node.scores(request)
        return lab, Question(request, [each.score for each in answer.scores])


@pytest.fixture(scope="module")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    stage = Stage(tmp_path_factory.mktemp("chaos"))
    yield stage
    stage.close()


@pytest.mark.timeout(900)
@pytest.mark.parametrize("seed", SEEDS)
def test_a_struck_federation_keeps_its_promises(
    stage: Stage,
    seed: int,
    record_property: Callable[[str, object], None],
    pytestconfig: pytest.Config,
) -> None:
    planned = schedule(seed, PAUSE_S if pytestconfig.getoption("--soak") else None)
    if planned.fault.kind is Kind.FILL and not stage.disks:
        pytest.skip("filling a disk needs root: it mounts a small one")
    if planned.fault.kind is Kind.SKEW and not stage.clocks:
        pytest.skip("moving a party's clock needs a C compiler, cc")
    with stage.lab() as (lab, question):
        outcome = play(lab, planned, question)
    stage.outcomes.append(outcome)
    named = "" if outcome.named_s is None else f"named after {outcome.named_s:.2f} s, "
    record_property(
        "chaos",
        f"{planned}: {named}{outcome.ended}, resumed after {outcome.resumed_s:.1f} s",
    )


def test_every_lost_party_was_named_in_time(
    stage: Stage, record_property: Callable[[str, object], None]
) -> None:
    named = [each.named_s for each in stage.outcomes if each.named_s is not None]
    resumed = [each.resumed_s for each in stage.outcomes]
    if not named:
        pytest.skip("no party was lost in the schedules played before")
    for what, figures in (("named", named), ("resumed", resumed)):
        record_property(
            "chaos",
            f"{len(figures)} times {what}, after {min(figures):.1f} s at least, "
            f"{median(figures):.1f} in the middle, {max(figures):.1f} at most",
        )
    assert max(named) < NAMED_S


def form(planned: Schedule) -> tuple[object, ...]:
    fault = planned.fault
    whose = fault.party == COORDINATOR, fault.expired == COORDINATOR
    return (fault.kind, fault.part, fault.loses, *whose)


def test_a_schedule_follows_from_its_seed() -> None:
    drawn = [schedule(seed) for seed in range(2000)]
    assert drawn == [schedule(seed) for seed in reversed(range(2000))][::-1]
    assert len(set(drawn)) == len(drawn)


def test_every_turn_meets_every_form_and_every_step_and_scores() -> None:
    drawn = [schedule(seed) for seed in range(2000)]
    forms = {form(each) for each in drawn}
    assert len(forms) == FORMS
    assert {each.fault.kind for each in drawn} == set(Kind)
    for first in range(0, len(drawn), FORMS):
        turn = drawn[first : first + FORMS]
        assert {form(each) for each in turn} == forms
        assert {each.step for each in turn} == {*STEPS, SCORES}


def test_every_form_is_led_to_a_complete_run() -> None:
    soaked = [schedule(seed) for seed in range(SCHEDULES)]
    led = Counter(form(each) for each in soaked if each.completes)
    assert len(led) == FORMS
    assert min(led.values()) >= 2
    assert led.total() == len(soaked) // COMPLETES_EVERY
