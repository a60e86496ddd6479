"""H7: an aggregator that lies about survivors, asks for both shares, splits sums.

Every attack is made against members as they are; each ends in a refusal that names the
aggregator and holds what it signed, and no vector. Against members without the rule in
question the one that matters most, both shares of one member, gives the vector.
"""

from collections.abc import Iterable

import numpy as np
import pytest

from tests.attacks.aggregation_hub import (
    VICTIM,
    as_hub,
    convicted,
    listed,
    survivor_set,
    two_signed,
)
from tests.conftest import Tell
from tests.protocol.aggregation_round import (
    HUB,
    NAMES,
    SIGNERS,
    Attempt,
    Vector,
    Watched,
    terms,
    vectors,
)
from veilscore.keys import masks
from veilscore.keys.aggregation.attempt_keys import (
    MASK_LABEL,
    mask_key,
    self_mask_secret,
)
from veilscore.keys.aggregation.history import RoundHistory
from veilscore.keys.aggregation.sharing import combine
from veilscore.keys.aggregation.wire import (
    Kind,
    Statement,
    digest,
    read,
    read_words,
    write,
)
from veilscore.keys.errors import (
    Breach,
    DropoutError,
    MisconductError,
)
from veilscore.v1 import aggregation_pb2 as pb


def masked(members: int, kinds: type[Watched] = Watched) -> Attempt:
    """Return an attempt whose vectors have come, with the true survivor set."""
    asked = terms(members)
    attempt = Attempt(asked, vectors(asked), {}, dict.fromkeys(asked.names, kinds))
    attempt.play_until(Kind.AGREEMENT)
    return attempt


@pytest.mark.parametrize("members", [3, 4, 5])
def test_one_of_few_is_never_dropped(members: int) -> None:
    attempt = masked(members)
    without = survivor_set(attempt, [n for n in attempt.terms.names if n != VICTIM])
    convicted(
        lambda: attempt.answer(Kind.AGREEMENT, NAMES[0], without),
        attempt.terms,
        Breach.SURVIVOR_SPLIT,
    )


@pytest.mark.parametrize(
    "names",
    [
        NAMES[:3],  # below the threshold
        (*NAMES[:6], NAMES[8]),  # one that takes no part
        tuple(reversed(NAMES[:7])),
        (*NAMES[:6], NAMES[0]),
        (),
    ],
)
def test_a_survivor_set_that_cannot_be_is_refused(names: tuple[str, ...]) -> None:
    attempt = masked(7)
    shown = survivor_set(attempt, names)
    with pytest.raises(MisconductError) as caught:
        attempt.answer(Kind.AGREEMENT, NAMES[0], shown)
    assert caught.value.party == HUB


def test_a_member_that_is_said_to_have_dropped_out_is_told_so() -> None:
    attempt = masked(7)
    shown = survivor_set(attempt, NAMES[1:7])
    with pytest.raises(DropoutError) as caught:
        attempt.answer(Kind.AGREEMENT, NAMES[0], shown)
    assert caught.value.party == NAMES[0]


def split(attempt: Attempt) -> tuple[bytes, bytes]:
    """Return two survivor sets: with the victim, and without it."""
    names = attempt.terms.names
    return (
        survivor_set(attempt, names),
        survivor_set(attempt, [name for name in names if name != VICTIM]),
    )


def test_different_survivors_for_different_members_convict(tell: Tell) -> None:
    attempt = masked(7)
    asked, (whole, without) = attempt.terms, split(attempt)
    told_whole = [NAMES[0], VICTIM, NAMES[2], NAMES[3]]
    agreed = [
        attempt.answer(Kind.AGREEMENT, name, whole if name in told_whole else without)
        for name in asked.names
    ]
    shown = listed(asked, Kind.AGREEMENT_LIST, agreed)
    left = 0
    for name in asked.names:
        error = convicted(
            lambda name=name: attempt.answer(Kind.REVEALED, name, shown),  # type: ignore[misc]
            asked,
            Breach.SURVIVOR_SPLIT,
        )
        two_signed(error, asked)
        left += name in attempt.sent[Kind.REVEALED]
    tell("shares that left under split survivor sets", left, 0)
    assert not left


def test_fewer_agreements_than_the_threshold_release_nothing() -> None:
    attempt = masked(7)
    asked, (whole, without) = attempt.terms, split(attempt)
    told_whole = NAMES[:4]
    agreed = {
        name: attempt.answer(
            Kind.AGREEMENT, name, whole if name in told_whole else without
        )
        for name in asked.names
    }
    # It hides from each group what the other signed: 4 and 3, and 5 are needed.
    assert asked.threshold == 5
    for group in (told_whole, NAMES[4:7]):
        shown = listed(asked, Kind.AGREEMENT_LIST, [agreed[name] for name in group])
        with pytest.raises(MisconductError) as caught:
            attempt.answer(Kind.REVEALED, group[0], shown)
        assert caught.value.breach is Breach.SURVIVOR_SPLIT
    assert not attempt.sent[Kind.REVEALED]


def test_a_colluder_that_signs_both_sets_does_not_help() -> None:
    """Seven members, one of them signs whatever it is asked to: 4 + 1 and 2 + 1."""
    attempt = masked(7)
    asked, (whole, without) = attempt.terms, split(attempt)
    colluder = NAMES[6]
    forged = [
        write(
            asked,
            colluder,
            SIGNERS[colluder],
            Kind.AGREEMENT,
            pb.Agreement(survivors=read(each, asked).signed),
        )
        for each in (whole, without)
    ]
    groups = {whole: (NAMES[0], VICTIM, *NAMES[2:4]), without: NAMES[4:6]}
    released = 0
    for (said, group), signed in zip(groups.items(), forged, strict=True):
        agreed = [attempt.answer(Kind.AGREEMENT, name, said) for name in group]
        shown = listed(asked, Kind.AGREEMENT_LIST, [*agreed, signed])
        for name in group:
            try:
                attempt.answer(Kind.REVEALED, name, shown)
            except MisconductError:
                continue
            released += 1
            assert said is whole
    # One group has the threshold, with the colluder; no second one can.
    assert released == 4


# -- both shares of one member ---------------------------------------------------------


class Careless(Watched):
    """Signs and answers as often as it is asked, and checks no agreement."""

    def answers(self, names: Iterable[str]) -> list[bytes]:
        """Return a share of everybody for any survivor set."""
        return [
            held.self_mask if dealer in names else held.mask_key
            for dealer, held in self._held.items()
        ]


def unmasked(
    attempt: Attempt,
    alive: dict[str, list[bytes]],
    dead: dict[str, list[bytes]],
    group: bytes,
) -> Vector:
    """Return the victim's vector from both kinds of its shares, as a server would."""
    asked = attempt.terms
    place = asked.names.index(VICTIM)

    def seed(shares: dict[str, list[bytes]]) -> bytes:
        found = {asked.index(name): given[place] for name, given in shares.items()}
        return combine(found, asked.threshold)

    vector = read_words(read(attempt.sent[Kind.MASKED][VICTIM], asked).words).copy()
    own = self_mask_secret(seed(alive), asked.context, VICTIM)
    vector -= masks.words(own, MASK_LABEL, asked.length)
    key = mask_key(seed(dead), asked.context, VICTIM)
    pairs = {
        name: masks.pair_secret(key, read(sent, asked).content.keys.mask, asked.context)
        for name, sent in attempt.sent[Kind.KEYS].items()
        if name != VICTIM
    }
    vector -= masks.zero_sum_words(VICTIM, pairs, MASK_LABEL, asked.length)
    return vector - masks.words(group, f"group {VICTIM}", asked.length)


def test_both_shares_would_give_a_vector_and_are_refused(tell: Tell) -> None:
    careless = masked(6, Careless)
    whole = [name for name in careless.terms.names if name != VICTIM]
    group = careless.members[NAMES[0]].group  # one member colludes
    alive, dead = (
        {
            name: member.answers(names)
            for name, member in careless.members.items()
            if isinstance(member, Careless)
        }
        for names in (careless.terms.names, whole)
    )
    stolen = unmasked(careless, alive, dead, group)
    assert np.array_equal(stolen, careless.vectors[VICTIM])

    attempt = masked(6)
    asked, (with_it, without) = attempt.terms, split(attempt)
    refused = 0
    agreed = [attempt.answer(Kind.AGREEMENT, name, with_it) for name in asked.names]
    shown = listed(asked, Kind.AGREEMENT_LIST, agreed)
    for name in asked.names:
        attempt.answer(Kind.REVEALED, name, shown)
        error = convicted(
            lambda name=name: attempt.answer(Kind.AGREEMENT, name, without),  # type: ignore[misc]
            asked,
            Breach.SURVIVOR_SPLIT,
        )
        two_signed(error, asked)
        again = listed(asked, Kind.AGREEMENT_LIST, agreed[1:])
        error = convicted(
            lambda name=name, again=again: attempt.answer(Kind.REVEALED, name, again),  # type: ignore[misc]
            asked,
            Breach.BOTH_SHARES,
        )
        two_signed(error, asked)
        refused += 1
    tell("members that gave both shares of one", len(asked.names) - refused, 0)


# -- sums ------------------------------------------------------------------------------


def another_total(attempt: Attempt, shift: int) -> bytes:
    """Return a sum that is off by one in its first entry."""
    found: Statement = read(attempt.said[Kind.REVEALED], attempt.terms)
    words = read_words(found.words).copy()
    words[0] += np.uint64(shift)
    content = pb.MaskedSum(
        survivors=found.content.total.survivors, words=digest(words.tobytes())
    )
    return as_hub(attempt.terms, Kind.TOTAL, content, words.tobytes())


def test_two_sums_for_one_member_convict() -> None:
    attempt = Attempt(terms(3), vectors(terms(3)))
    attempt.play()
    error = convicted(
        lambda: attempt.members[NAMES[0]].finish(another_total(attempt, 1)),
        attempt.terms,
        Breach.SUM_SPLIT,
    )
    two_signed(error, attempt.terms)


def test_different_sums_for_different_members_are_found_in_the_next_round() -> None:
    remembered = {name: RoundHistory() for name in NAMES}
    first = terms(6)
    attempt = Attempt(first, vectors(first), remembered)
    attempt.play_until(Kind.TOTAL)
    for name in first.names:
        total = (
            another_total(attempt, 1) if name == VICTIM else attempt.said[Kind.REVEALED]
        )
        attempt.members[name].finish(total)
    second = terms(6, round_=2)
    later = Attempt(second, vectors(second), remembered)
    later.play_until(Kind.SHARES)
    for name in second.names:
        error = convicted(
            lambda name=name: later.answer(Kind.SHARES, name, later.said[Kind.KEYS]),  # type: ignore[misc]
            second,
            Breach.SUM_SPLIT,
        )
        two_signed(error, second)


def test_the_sum_of_others_than_were_agreed_on_is_refused() -> None:
    attempt = Attempt(terms(3), vectors(terms(3)))
    attempt.play_until(Kind.TOTAL)
    found = read(attempt.said[Kind.REVEALED], attempt.terms)
    content = pb.MaskedSum(survivors=bytes(32), words=digest(found.words))
    other = as_hub(attempt.terms, Kind.TOTAL, content, found.words)
    convicted(
        lambda: attempt.members[NAMES[0]].finish(other),
        attempt.terms,
        Breach.SURVIVOR_SPLIT,
    )
