"""Whatever happens on the way: no wrong score, nothing twice, everything in both logs.

README.md of this folder lists what can happen and what must follow. ``make test`` plays
the first seeds and some lists that hypothesis makes up and shrinks, ``make soak``
thousands.
"""

from collections import Counter
from typing import Final

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.protocol.score_world import People
from tests.simulation.operations import LENGTH, Kind, Operation, operations
from tests.simulation.player import Player
from tests.simulation.playing import play

QUICK: Final = 20
SOAK: Final = 3_000
_BLOCK: Final = 50

numbers = st.integers(0, 99)
plans = st.lists(
    st.builds(Operation, st.sampled_from(Kind), numbers, numbers), max_size=LENGTH
)


def played(people: People, seed: int) -> Player:
    player, wrong = play(people, operations(seed), seed)
    assert not wrong, f"seed {seed}: " + "; ".join(wrong)
    return player


def test_the_first_seeds_hold_and_lead_through_everything(people: People) -> None:
    done: Counter[Kind] = Counter()
    ends: Counter[str] = Counter()
    refusals: Counter[str] = Counter()
    rotated = 0
    for seed in range(QUICK):
        player = played(people, seed)
        done += player.done
        ends.update(outcomes(player))
        refusals += player.observer.refusals
        for log in player.told.values():
            rotated += [each.kind for each in log].count("key_published") > 1
    assert rotated
    assert set(done) == set(Kind)
    assert ends["scores"] > 2 * QUICK  # one of each play is asked for at its end
    assert {"died", "no-answer", "peer-lost", "unreachable"} <= set(ends)
    assert {"clock-skew", "replayed", "log-unreachable"} <= set(refusals)


@pytest.mark.soak
@pytest.mark.parametrize("first", range(QUICK, SOAK, _BLOCK))
def test_what_follows_from_many_seeds_holds(people: People, first: int) -> None:
    for seed in range(first, min(SOAK, first + _BLOCK)):
        played(people, seed)


@settings(
    max_examples=15,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(plans, numbers)
def test_what_follows_from_any_list_holds(
    people: People, plan: list[Operation], seed: int
) -> None:
    _, wrong = play(people, plan, seed)
    assert wrong == []


def test_a_seed_plays_the_same_again(people: People) -> None:
    first, second = (played(people, 5) for _ in range(2))
    assert first.done == second.done
    assert first.observer.refusals == second.observer.refusals
    assert outcomes(first) == outcomes(second)
    kinds = [
        [
            (each.event.actor, each.kind, each.event.time_ms)
            for party in ("bank", "bureau", "market")
            for each in player.told[party]
        ]
        for player in (first, second)
    ]
    assert kinds[0] == kinds[1]
    assert len(kinds[0]) > len(first.calls)


def outcomes(player: Player) -> list[str]:
    return [
        call.fault.code if call.fault else "scores" if call.got else "died"
        for call in player.calls
    ]
