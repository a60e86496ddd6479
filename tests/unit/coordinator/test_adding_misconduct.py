"""The adding: a member that breaks the rules is caught, with evidence."""

import hashlib
from pathlib import Path

import pytest

from tests.protocol.aggregation_round import HUB, SIGNERS
from tests.protocol.summed_run import LENGTH, SummedRun, kind_of
from veilscore.coordinator.adding import Caught, Over
from veilscore.coordinator.incidents import Incidents
from veilscore.keys.aggregation.evidence import MisconductEvidence
from veilscore.keys.aggregation.wire import Kind, write
from veilscore.keys.errors import Breach, MisconductError
from veilscore.v1 import aggregation_pb2 as pb
from veilscore.v1.aggregation_pb2 import AggregationBody, SignedAggregation
from veilscore.v1.audit_pb2 import Incident
from veilscore.v1.training_pb2 import SumMessage


def second_answer(run: SummedRun, name: str) -> SumMessage:
    """Return another masked vector that a member signs in the same attempt."""
    words = bytes(8 * LENGTH)
    content = pb.MaskedInput(words=hashlib.sha256(words).digest())
    signed = write(run.attempt, name, SIGNERS[name], Kind.MASKED, content, words)
    return SumMessage(signed=signed)


def play_until_masked(run: SummedRun, liar: str) -> None:
    """Let a member's masked vector arrive, and the others' not yet."""
    run.want(run.vectors(0))
    while not (run.moving and kind_of(run.moving[0][2]) == Kind.MASKED):
        run.step()
    while run.moving[0][0] != liar:
        run.moving.rotate(-1)
    run.step()


@pytest.mark.parametrize("members", [5, 7])
def test_a_member_that_signs_two_answers_is_caught(
    members: int, tmp_path: Path
) -> None:
    run = SummedRun(members)
    liar = run.names[3]
    play_until_masked(run, liar)
    run.do(run.adding.take(liar, second_answer(run, liar), 0))
    (caught,) = run.caught
    assert (caught.error.party, caught.error.breach) == (liar, Breach.TWO_ANSWERS)
    if members < 6:
        assert run.over is caught.error
    else:
        assert run.left == {liar: caught.error}
        run.play()
        assert run.over is None
        assert len(run.made) == 1
        run.check(run.sum(1))

    told: list[tuple[str, object]] = []
    folder = tmp_path / "incidents"
    incidents = Incidents(
        folder, HUB, SIGNERS[HUB], lambda run, event: told.append((run, event)), int
    )
    file = incidents.caught(caught.terms, caught.error)
    digest = hashlib.sha256(file.read_bytes()).digest()
    assert told == [(run.attempt.run, Incident(kind="two-answers", evidence=digest))]
    shown = MisconductEvidence.load(file.read_bytes())
    assert (shown.accused, shown.breach) == (liar, Breach.TWO_ANSWERS)
    assert (shown.terms.roster, shown.finder) == (run.attempt.roster, HUB)
    first, second = shown.statements
    assert first.sender == second.sender == liar
    assert first.digest != second.digest


def test_a_key_that_stands_for_two_is_held_against_who_came_second() -> None:
    run = SummedRun(6)
    run.want(run.vectors(0))
    while not (run.moving and kind_of(run.moving[0][2]) == Kind.KEYS):
        run.step()
    first, _, message = run.moving[0]
    run.step()
    body = AggregationBody.FromString(SignedAggregation.FromString(message.signed).body)
    thief = next(name for name in run.names if name != first)
    copied = write(run.attempt, thief, SIGNERS[thief], Kind.KEYS, body.keys)
    run.do(run.adding.take(thief, SumMessage(signed=copied), 0))
    assert [each.error.breach for each in run.caught] == [Breach.DUPLICATE_KEY]
    assert run.left.keys() == {thief}


def test_another_hand_at_the_coordinator_s_key_ends_any_run() -> None:
    """A survivor set that this process did not sign, under its own key."""
    run = SummedRun(6)
    run.want(run.vectors(0))
    while not (run.moving and kind_of(run.moving[0][2]) == Kind.AGREEMENT):
        run.step()
    shown = next(
        message for _, message in run.said if kind_of(message) == Kind.SURVIVORS
    )
    said = AggregationBody.FromString(
        SignedAggregation.FromString(shown.signed).body
    ).survivors
    other = pb.SurvivorSet(
        key_list=said.key_list, share_list=said.share_list, members=run.names[:4]
    )
    terms = run.attempt
    forged = write(terms, HUB, SIGNERS[HUB], Kind.SURVIVORS, other)
    name = run.names[0]
    agreed = write(
        terms, name, SIGNERS[name], Kind.AGREEMENT, pb.Agreement(survivors=forged)
    )
    caught, over = run.adding.take(name, SumMessage(signed=agreed), 0)
    assert isinstance(caught, Caught)
    assert isinstance(over, Over)
    assert isinstance(over.fault, MisconductError)
    assert (over.fault.party, over.fault.breach) == (HUB, Breach.SURVIVOR_SPLIT)
