"""What a member remembers over rounds, and refuses because of it."""

import numpy as np
import pytest

from tests.protocol.aggregation_round import NAMES, Attempt, terms, vectors
from veilscore.keys.aggregation.history import COHORT_ROUNDS, RoundHistory
from veilscore.keys.aggregation.terms import Terms
from veilscore.keys.aggregation.wire import Kind
from veilscore.keys.errors import Breach, MisconductError


def histories(*, noise: bool = False) -> dict[str, RoundHistory]:
    return {name: RoundHistory(noise=noise) for name in NAMES}


def played(asked: Terms, remembered: dict[str, RoundHistory]) -> None:
    found = Attempt(asked, vectors(asked, asked.round), remembered).play()
    expected = sum(vectors(asked, asked.round).values())
    assert all(np.array_equal(each.total, expected) for each in found.values())


def refused(asked: Terms, remembered: dict[str, RoundHistory]) -> MisconductError:
    with pytest.raises(MisconductError) as caught:
        Attempt(asked, vectors(asked), remembered)
    assert caught.value.party == "hub"
    assert caught.value.remedy
    return caught.value


@pytest.mark.parametrize("changed", [NAMES[:4], NAMES[:6], (*NAMES[:4], NAMES[7])])
def test_a_cohort_stays_for_five_rounds(changed: tuple[str, ...]) -> None:
    remembered = histories()
    for round_ in range(1, COHORT_ROUNDS + 1):
        played(terms(5, round_=round_), remembered)
        if round_ < COHORT_ROUNDS:
            error = refused(terms(changed, round_=round_ + 1), remembered)
            assert error.breach is Breach.COHORT_CHANGE
            assert f"{round_} of 5" in error.what
            # The refusal takes nothing away.
    played(terms(changed, round_=COHORT_ROUNDS + 1), remembered)
    error = refused(terms(5, round_=COHORT_ROUNDS + 2), remembered)
    assert error.breach is Breach.COHORT_CHANGE


def test_with_noise_a_cohort_may_change() -> None:
    remembered = histories(noise=True)
    played(terms(5, round_=1), remembered)
    played(terms(4, round_=2), remembered)


def test_a_cohort_of_which_no_share_has_left_may_change() -> None:
    remembered = histories()
    stopped = terms(5)
    Attempt(stopped, vectors(stopped), remembered).play_until(Kind.REVEALED)
    played(terms(4, attempt=2), remembered)


@pytest.mark.parametrize(("round_", "attempt"), [(2, 1), (2, 2), (1, 1), (1, 9)])
def test_no_attempt_is_made_twice(round_: int, attempt: int) -> None:
    remembered = histories()
    stopped = terms(3, round_=2, attempt=2)
    Attempt(stopped, vectors(stopped), remembered)
    error = refused(terms(3, round_=round_, attempt=attempt), remembered)
    assert error.breach is Breach.REPLAY


def test_a_round_that_ended_is_not_attempted_again() -> None:
    remembered = histories()
    played(terms(3), remembered)
    assert refused(terms(3, attempt=2), remembered).breach is Breach.REPLAY
    played(terms(3, round_=2), remembered)


def test_a_second_attempt_after_shares_left_is_for_the_same_survivors() -> None:
    remembered = histories()
    first = terms(7)
    attempt = Attempt(first, vectors(first), remembered)
    for name in attempt.play_until(Kind.REVEALED, {NAMES[0]: Kind.MASKED}):
        attempt.answer(Kind.REVEALED, name, attempt.said[Kind.AGREEMENT])
    same = Attempt(terms(7, attempt=2), vectors(first), remembered)
    found = same.play({NAMES[0]: Kind.MASKED})
    assert all(each.survivors == NAMES[1:7] for each in found.values())


def test_a_second_attempt_after_shares_left_is_not_for_others() -> None:
    remembered = histories()
    first = terms(7)
    attempt = Attempt(first, vectors(first), remembered)
    for name in attempt.play_until(Kind.REVEALED, {NAMES[0]: Kind.MASKED}):
        attempt.answer(Kind.REVEALED, name, attempt.said[Kind.AGREEMENT])
    again = Attempt(terms(7, attempt=2), vectors(first), remembered)
    with pytest.raises(MisconductError) as caught:
        again.play()
    assert caught.value.breach is Breach.BOTH_SHARES
    assert caught.value.party == "hub"


def test_who_missed_a_sum_takes_part_in_the_next_round() -> None:
    remembered = histories()
    first = terms(7)
    Attempt(first, vectors(first), remembered).play({NAMES[2]: Kind.AGREEMENT})
    played(terms(7, round_=2), remembered)
    played(terms(7, round_=3), remembered)
