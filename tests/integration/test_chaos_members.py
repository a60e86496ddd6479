"""Kills in horizontal runs: members with the same columns, as real processes.

It counts as a failure what does in ``test_chaos``, and beyond that

1.  if a run of three goes on without one of them, or one of six ends although all bins
    were chosen and one member was killed, or names another member as the one that left;
2.  if a node that was started again goes on with a run of before, or if the model has a
    card of one that left before it had made it;
3.  if then a new run with all members does not make a model of all cards, every fourth
    time, or is not joined by all.

``make test`` plays one schedule, ``make soak`` every kill in every step, twice, among
three members and among six.
"""

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.integration.chaos_lab import ChaosLab, chaos_lab
from tests.integration.chaos_members import (
    BEFORE_MODELS,
    FORMS,
    STEPS,
    TOLERANT,
    lab_of,
    member_schedule,
    members,
)
from tests.integration.chaos_play import Outcome, Question, complete_run, play
from tests.integration.chaos_schedule import Kind, Part, Schedule
from veilscore.coordinator.web.face import RunPhase
from veilscore.lab.plain import read_table

pytestmark = [pytest.mark.chaos, pytest.mark.timeout(900)]
ASKED = 20
EVERY = range(2 * FORMS)


def trained(lab: ChaosLab, count: int) -> Question:
    """Train among all and return a question about the model, with its answer."""
    complete_run(lab)
    requester, holder, *_ = members(count)
    written = read_table(lab.federation.members[holder].holding).written
    with lab.node(requester) as node:
        request: dict[str, object] = {
            "entities": [{"type": k, "id": entity} for k, entity in written[:ASKED]],
            "purpose": "pre_loan",
            "consent": "chaos",
            "model": node.status()["models"][0]["hash"],
            "holder": holder,
        }
        answer = node.scores(request)
    scores = [each.score for each in answer.scores]
    assert len(scores) == ASKED
    return Question(request, scores, requester)


def check_survivors(planned: Schedule, outcome: Outcome, count: int) -> None:
    """See that exactly the runs go on that can, without whom was lost."""
    fault = planned.fault
    if count < TOLERANT:
        assert not outcome.left
    elif fault.part is Part.PROCESS and fault.party in members(count):
        # A fault in the first steps, and one that came after the last.
        if planned.step in BEFORE_MODELS:
            return
        assert outcome.ended == RunPhase.COMPLETED
        assert outcome.left or planned.step == STEPS[-1]


@pytest.mark.parametrize(
    ("count", "seeds"),
    [
        (3, [2]),
        pytest.param(3, EVERY, marks=pytest.mark.soak),
        pytest.param(6, EVERY, marks=pytest.mark.soak),
    ],
)
def test_members_that_are_struck_keep_their_promises(
    count: int,
    seeds: list[int],
    tmp_path: Path,
    record_property: Callable[[str, object], None],
) -> None:
    with chaos_lab(tmp_path, clocks=False, disks=False, text=lab_of(count)) as lab:
        question = trained(lab, count)
        for seed in seeds:
            planned = member_schedule(seed, count)
            outcome = play(lab, planned, question)
            left = f" without {', '.join(outcome.left)}" if outcome.left else ""
            record_property(
                "chaos",
                f"{count} members, {planned}: {outcome.ended}{left}, "
                f"resumed after {outcome.resumed_s:.1f} s",
            )
            check_survivors(planned, outcome, count)


def test_schedules_of_members_meet_every_kill_in_every_step() -> None:
    drawn = [member_schedule(seed, 3) for seed in EVERY]
    forms = {
        (each.fault.party in members(3), each.fault.part, each.step) for each in drawn
    }
    assert len(forms) == FORMS
    assert {each.fault.kind for each in drawn} == {Kind.KILL}
    assert drawn == [member_schedule(seed, 3) for seed in EVERY]
