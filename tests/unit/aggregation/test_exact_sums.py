"""Sums are exact for every number of members and every way of dropping out."""

from collections.abc import Iterator, Mapping
from itertools import combinations, product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.protocol.aggregation_round import (
    NAMES,
    STEPS,
    Attempt,
    plain_sum,
    terms,
    vectors,
)
from veilscore.keys.aggregation.terms import TOLERANT_FROM
from veilscore.keys.aggregation.wire import Kind
from veilscore.keys.errors import Breach, DropoutError

# A member is in the sum if it is silent only after this step.
COUNTED = STEPS.index(Kind.MASKED)


def at_most_dropped(members: int) -> int:
    return members - terms(members).fewest


def check(members: int, drops: Mapping[str, Kind], seed: int = 0) -> None:
    """Play an attempt: it gives the exact sum, or says who is missing."""
    asked = terms(members, length=4)
    attempt = Attempt(asked, vectors(asked, seed))
    if len(drops) > at_most_dropped(members):
        with pytest.raises(DropoutError) as refused:
            attempt.play(drops)
        assert refused.value.breach is Breach.DROPOUT
        assert set(refused.value.party.split(", ")) <= set(drops)
        return
    counted = [n for n in asked.names if n not in drops or counts(drops[n])]
    expected = plain_sum(attempt.vectors, counted)
    found = attempt.play(drops)
    assert found.keys() == set(asked.names) - drops.keys()
    for each in found.values():
        assert each.survivors == tuple(counted)
        assert np.array_equal(each.total, expected)
    assert len({each.digest for each in found.values()}) == 1


def counts(step: Kind) -> bool:
    return STEPS.index(step) > COUNTED


@pytest.mark.parametrize("members", range(3, 11))
def test_the_sum_of_all_is_exact(members: int) -> None:
    check(members, {}, members)


@pytest.mark.parametrize("members", range(3, TOLERANT_FROM))
def test_few_members_get_no_sum_when_anybody_drops_out(members: int) -> None:
    for name, step in product(NAMES[:members], STEPS):
        assert at_most_dropped(members) == 0
        check(members, {name: step})


def patterns(members: int, dropped: int) -> Iterator[dict[str, Kind]]:
    """Yield every choice of steps for so many members, which are chosen in turn."""
    chosen = list(combinations(NAMES[:members], dropped))
    for at, steps in enumerate(product(STEPS, repeat=dropped)):
        yield dict(zip(chosen[at % len(chosen)], steps, strict=True))


@pytest.mark.parametrize("members", [6, 7])
def test_every_pattern_of_dropouts_gives_the_sum_of_who_is_left(members: int) -> None:
    for dropped in range(1, at_most_dropped(members) + 1):
        for drops in patterns(members, dropped):
            check(members, drops)


@settings(max_examples=20)
@given(st.data())
def test_more_members_and_more_dropouts(data: st.DataObject) -> None:
    members = data.draw(st.integers(6, 10))
    names = st.sampled_from(NAMES[:members])
    drops = data.draw(st.dictionaries(names, st.sampled_from(STEPS), max_size=members))
    check(members, drops, data.draw(st.integers(0, 2**32)))


@pytest.mark.parametrize("word", [0, 1, 2**63, 2**64 - 1])
def test_sums_are_modulo_two_to_the_64(word: int) -> None:
    asked = terms(4)
    one = np.full(asked.length, word, dtype=np.uint64)
    found = Attempt(asked, dict.fromkeys(asked.names, one)).play()
    assert all(
        each.total.tolist() == [4 * word % 2**64] * asked.length
        for each in found.values()
    )
