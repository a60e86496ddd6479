"""Thresholds, what binds an attempt, and terms that nobody may mean."""

from dataclasses import replace

import pytest

from tests.protocol.aggregation_round import NAMES, SIGNERS, terms
from veilscore.keys.aggregation.history import RoundHistory
from veilscore.keys.aggregation.member import Member
from veilscore.keys.aggregation.terms import LONGEST, MOST, Pinned
from veilscore.keys.identity import Signer


@pytest.mark.parametrize(
    ("members", "colluders", "threshold"),
    [
        (3, 1, 3),
        (4, 1, 3),
        (5, 1, 4),
        (6, 1, 4),
        (7, 1, 5),
        (10, 1, 6),
        (10, 2, 7),
        (10, 3, 7),
        (10, 8, 10),
    ],
)
def test_two_thresholds_have_more_in_common_than_may_collude(
    members: int, colluders: int, threshold: int
) -> None:
    asked = terms(members, colluders=colluders)
    assert asked.threshold == threshold
    assert 2 * threshold > members + colluders
    assert asked.fewest == (threshold if members >= 6 else members)
    assert replace(asked, whole=True).fewest == members


def test_everything_agreed_on_is_bound() -> None:
    one = terms(4)
    others = [
        terms(5),
        terms(4, round_=2),
        terms(4, attempt=2),
        terms(4, length=6),
        terms(4, colluders=2),
        replace(one, whole=True),
        terms(4, run="r2"),
        terms((*NAMES[:3], NAMES[4])),
        terms((NAMES[1], NAMES[0], *NAMES[2:4])),
        replace(one, contract=bytes(32)),
        replace(one, aggregator=Pinned("hub", Signer.generate().verify_key)),
        replace(one, aggregator=replace(one.aggregator, name="bub")),
        replace(
            one,
            roster=(*one.roster[:3], Pinned(NAMES[3], Signer.generate().verify_key)),
        ),
    ]
    assert len({each.context for each in (one, *others)}) == len(others) + 1
    assert terms(4).context == one.context


def test_terms_that_protect_nobody_are_our_bug() -> None:
    one = terms(4)
    many = tuple(
        Pinned(f"county-{at}", Signer.generate().verify_key) for at in range(MOST + 1)
    )
    for changes in (
        {"roster": one.roster[:2]},
        {"roster": many},
        {"roster": (*one.roster, one.roster[0])},
        {"roster": (*one.roster, replace(one.roster[0], name="other"))},
        {"roster": (*one.roster, one.aggregator)},
        {"colluders": 3},
        {"colluders": 0},
        {"length": 0},
        {"length": LONGEST + 1},
        {"contract": b""},
        {"round": 0},
        {"attempt": 0},
        {"attempt": 2**32},
        {"run": ""},
    ):
        with pytest.raises(ValueError, match=r"\w"):
            replace(one, **changes)


def test_a_member_takes_part_under_its_own_name_and_key() -> None:
    with pytest.raises(ValueError, match="under its key"):
        Member(terms(3), NAMES[0], SIGNERS[NAMES[1]], RoundHistory())
    with pytest.raises(ValueError, match="under its key"):
        Member(terms(3), NAMES[3], SIGNERS[NAMES[3]], RoundHistory())
