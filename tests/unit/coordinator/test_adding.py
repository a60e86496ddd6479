"""The adding: whose vectors are added up, who is waited for, and what ends a run."""

import hashlib

import pytest
from google.protobuf.message import DecodeError
from hypothesis import given
from hypothesis import strategies as st

from tests.protocol.aggregation_round import NAMES, STEPS
from tests.protocol.summed_run import (
    LENGTH,
    STEP_S,
    SummedRun,
    kind_of,
    silent_from,
)
from veilscore.coordinator.adding import ATTEMPTS, PHASE_S
from veilscore.keys.aggregation.wire import Kind
from veilscore.v1.aggregation_pb2 import SignedAggregation
from veilscore.v1.training_pb2 import SumBegins, SumMessage, SumWanted

SPENT = Kind.REVEALED  # lost in this step, shares may have left


@pytest.mark.parametrize("members", [3, 5, 6, 7])
def test_every_sum_of_a_run_is_exact_and_told_before_the_next(members: int) -> None:
    run = SummedRun(members)
    for number in range(3):
        run.check(run.sum(number))
        assert run.adding.idle
    assert [(each.round, each.attempt) for each in run.made] == [(1, 1), (2, 1), (3, 1)]
    assert run.now == 0  # nobody was waited for
    assert (run.left, run.caught, run.over) == ({}, [], None)


def test_the_sum_is_named_by_the_body_that_members_are_sent() -> None:
    run = SummedRun()
    run.sum()
    to, total = run.said[-1]
    assert (to, kind_of(total)) == (run.names, Kind.TOTAL)
    body = SignedAggregation.FromString(total.signed).body
    assert run.made[0].total == hashlib.sha256(body).digest()


def test_a_sum_begins_when_all_have_a_vector() -> None:
    run = SummedRun()
    vectors = run.vectors(0)
    for name in run.names[:-1]:
        run.post(name, run.players[name].want(vectors[name]))
    while run.moving:
        run.step()
    assert run.said == []
    last = run.names[-1]
    run.post(last, run.players[last].want(vectors[last]))
    run.play()
    run.check(vectors)
    assert run.said[0][1] == SumMessage(begins=SumBegins(round=1, attempt=1))


# -- who is lost ---------------------------------------------------------------


@pytest.mark.parametrize("members", [3, 5])
@pytest.mark.parametrize("step", STEPS)
def test_below_six_a_loss_ends_the_run_at_every_step(members: int, step: Kind) -> None:
    run = SummedRun(members)
    lost = run.names[1]
    run.lost = silent_from(lost, step)
    run.want(run.vectors(0))
    while run.moving:
        run.step()
    run.leave(lost)
    run.play()
    assert run.made == []
    assert run.end.party == lost
    assert run.adding.leave(run.names[0], run.now) == []  # it is over


@pytest.mark.parametrize("members", [6, 7])
@pytest.mark.parametrize("step", STEPS)
def test_from_six_on_a_sum_is_made_without_who_is_lost(
    members: int, step: Kind
) -> None:
    run = SummedRun(members)
    lost = run.names[1]
    run.lost = silent_from(lost, step)
    vectors = run.vectors(0)
    run.want(vectors)
    while run.moving:
        run.step()
    run.leave(lost)
    run.play()
    run.check(vectors)
    assert run.now == 0  # who is gone is not waited for
    assert (lost in run.made[0].members) == (step in {Kind.AGREEMENT, Kind.REVEALED})
    vectors = run.sum(1)
    run.check(vectors)
    assert lost not in run.made[1].members
    assert run.over is None


@pytest.mark.parametrize("step", STEPS)
def test_below_six_a_silent_member_is_given_three_attempts(step: Kind) -> None:
    run = SummedRun(5)
    silent = run.names[2]
    run.lost = silent_from(silent, step)
    run.sum()
    attempts = 1 if step is SPENT else ATTEMPTS
    begun = [each.begins for _, each in run.said if each.HasField("begins")]
    assert begun == [
        SumBegins(round=1, attempt=number + 1) for number in range(attempts)
    ]
    assert run.now == attempts * PHASE_S
    assert run.made == []
    assert run.end.party == silent
    last = Kind.KEYS if attempts > 1 else step
    expected = f"its message '{last}' of a sum did not come in time"
    assert expected in run.end.what


@pytest.mark.parametrize("step", [step for step in STEPS if step is not SPENT])
def test_a_message_that_was_lost_once_costs_an_attempt(step: Kind) -> None:
    run = SummedRun(5)
    losses = [run.names[2]]

    def lost(name: str, kind: str) -> bool:
        if kind == step and name in losses:
            losses.remove(name)
            return True
        return False

    run.lost = lost
    run.check(run.sum())
    assert (run.made[0].round, run.made[0].attempt) == (1, 2)
    assert run.now == PHASE_S
    assert (run.left, run.over) == ({}, None)
    run.check(run.sum(1))
    assert (run.made[1].round, run.made[1].attempt) == (2, 1)


@pytest.mark.parametrize("step", STEPS)
def test_from_six_on_who_is_late_has_left(step: Kind) -> None:
    run = SummedRun(6)
    late = run.names[2]
    run.lost = silent_from(late, step)
    vectors = run.sum()
    run.check(vectors)
    assert run.now == PHASE_S
    assert run.left.keys() == {late}
    assert f"its message '{step}' of a sum" in run.left[late].what
    assert late not in run.adding.members
    begins = SumMessage(begins=SumBegins(round=9, attempt=9))
    assert run.adding.take(late, begins, run.now) == []


def test_too_many_that_are_late_make_the_attempt_fail_and_leave_nobody_out() -> None:
    run = SummedRun(6)
    dropped = set(run.names[:3])

    def lost(name: str, kind: str) -> bool:
        if kind == Kind.MASKED and name in dropped:
            dropped.remove(name)
            return True
        return False

    run.lost = lost
    run.check(run.sum())
    assert run.made[0].attempt == 2
    assert run.left == {}
    assert tuple(run.made[0].members) == run.names


def test_a_run_ends_when_fewer_are_left_than_a_sum_takes() -> None:
    run = SummedRun(7)
    fewest = 5
    for name in run.names[: 7 - fewest]:
        run.leave(name)
    run.check(run.sum())
    assert run.over is None
    run.leave(run.names[2])
    assert run.end.party == run.names[2]
    assert "4 members are left where 5 are needed" in run.end.what


def test_a_late_message_is_not_heard_and_does_no_harm() -> None:
    run = SummedRun(5)
    kept: list[SumMessage] = []
    late = run.names[0]

    def want_kept() -> None:
        """Play, but keep the first shares of one member back."""
        while run.moving or run.adding.due < float("inf"):
            if not run.moving:
                run.now = run.adding.due
                run.do(run.adding.wake(run.now))
                continue
            sender, _, message = run.moving[0]
            if sender == late and kind_of(message) == Kind.SHARES and not kept:
                run.moving.popleft()
                kept.append(message)
                continue
            run.step()
            if kept and run.said[-1][1].HasField("begins"):
                run.do(run.adding.take(late, kept[0], run.now))

    vectors = run.vectors(0)
    run.want(vectors)
    want_kept()
    run.check(vectors)
    assert run.made[0].attempt == 2
    assert run.caught == []
    assert run.adding.take(late, kept[0], run.now) == []  # between two sums


# -- what members want -----------------------------------------------------------


def test_two_wants_end_the_run_and_are_told() -> None:
    run = SummedRun(6)
    for name in run.names[:-1]:
        run.post(name, SumMessage(wanted=SumWanted(label="round 1", length=LENGTH)))
    other = SumMessage(wanted=SumWanted(label="round 1", length=LENGTH + 1))
    run.post(run.names[-1], other)
    run.play()
    assert f"'round 1' of 6 words: {run.names[-1]}" in run.end.what
    assert f"'round 1' of 5 words: {run.names[0]}, " in run.end.what
    assert run.said == []


def test_who_has_done_the_step_wants_no_sum_that_others_wait_for() -> None:
    run = SummedRun()
    run.do(run.adding.answer(run.names[0], 0))
    assert run.over is None
    run.post(run.names[1], SumMessage(wanted=SumWanted(label="more", length=1)))
    run.play()
    assert f"no more sum: {run.names[0]}" in run.end.what
    fresh = SummedRun()
    for name in fresh.names:
        fresh.do(fresh.adding.answer(name, 0))
    fresh.adding.begin_step(STEP_S)
    fresh.check(fresh.sum())


def test_the_step_s_time_decides_who_has_no_vector() -> None:
    run = SummedRun()
    vectors = run.vectors(0)
    for name in run.names[:-1]:
        run.post(name, run.players[name].want(vectors[name]))
    run.play()
    assert run.now == STEP_S
    assert run.end.party == run.names[-1]
    assert "'sum-1'" in run.end.what

    run = SummedRun(6)
    vectors = run.vectors(0)
    for name in run.names[:-1]:
        run.post(name, run.players[name].want(vectors[name]))
    run.play()
    run.check(vectors)
    assert run.left.keys() == {run.names[-1]}


@pytest.mark.parametrize(
    "message",
    [
        SumMessage(),
        SumMessage(begins=SumBegins(round=1, attempt=1)),
        SumMessage(wanted=SumWanted(label="sum-1", length=0)),
        SumMessage(wanted=SumWanted(label="sum-1", length=2**31)),
        SumMessage(wanted=SumWanted(label="", length=1)),
        SumMessage(wanted=SumWanted(label="x" * 65, length=1)),
    ],
)
def test_what_no_member_says_costs_its_sender_the_run(message: SumMessage) -> None:
    run = SummedRun(6)
    run.post(run.names[0], message)
    run.play()
    assert run.left.keys() == {run.names[0]}
    run.check(run.sum())
    run = SummedRun(5)
    run.post(run.names[0], message)
    run.play()
    assert run.end.party == run.names[0]


def test_a_second_want_is_the_same_or_costs_the_run() -> None:
    run = SummedRun(6)
    want = SumMessage(wanted=SumWanted(label="sum-1", length=LENGTH))
    for _ in range(2):
        run.do(run.adding.take(run.names[0], want, 0))
    assert run.left == {}
    other = SumMessage(wanted=SumWanted(label="sum-2", length=LENGTH))
    run.do(run.adding.take(run.names[0], other, 0))
    assert run.left.keys() == {run.names[0]}


@given(st.binary(max_size=300))
def test_whatever_a_member_says_is_unheard_or_costs_it_the_run(data: bytes) -> None:
    run = SummedRun(6)
    run.want(run.vectors(0))
    while not run.said:
        run.step()
    name = run.names[0]
    run.do(run.adding.take(name, SumMessage(signed=data), 0))
    try:
        message = SumMessage.FromString(data)
    except DecodeError:
        message = SumMessage()
    run.do(run.adding.take(name, message, 0))
    assert run.left.keys() <= {name}
    assert (run.over, run.caught) == (None, [])


def test_what_strangers_say_is_not_heard() -> None:
    run = SummedRun()
    want = SumMessage(wanted=SumWanted(label="sum-1", length=LENGTH))
    assert run.adding.take(NAMES[7], want, 0) == []
    run.do(run.adding.answer(NAMES[7], 0))
    run.do(run.adding.leave(NAMES[7], 0))
    run.do(run.adding.take(run.names[0], SumMessage(signed=b"\xff"), 0))
    run.check(run.sum())
