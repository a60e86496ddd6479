"""H7: an aggregator that shows other keys than members signed for this attempt.

Every list is refused before a share is dealt; the refusal names the aggregator and
holds what it signed.
"""

from collections.abc import Callable

import pytest

from tests.attacks.aggregation_hub import (
    VICTIM,
    convicted,
    listed,
    two_signed,
)
from tests.protocol.aggregation_round import (
    HUB,
    NAMES,
    SIGNERS,
    Attempt,
    terms,
    vectors,
)
from veilscore.keys.aggregation.attempt_keys import (
    AttemptKeys,
    commit_to_part,
    commit_to_seed,
)
from veilscore.keys.aggregation.terms import Terms
from veilscore.keys.aggregation.wire import (
    Kind,
    write,
)
from veilscore.keys.errors import (
    Breach,
)
from veilscore.keys.identity import Signer
from veilscore.v1 import aggregation_pb2 as pb


def keys_of(name: str, signer: Signer, asked: Terms) -> bytes:
    """Return keys whose private halves the attacker has."""
    made = AttemptKeys.generate(asked.context, name)
    content = pb.RoundKeys(
        channel=made.channel_public,
        mask=made.mask_public,
        self_mask=commit_to_seed(made.self_seed, asked.context, name),
        group_part=commit_to_part(made.group_part, asked.context, name),
    )
    return write(asked, name, signer, Kind.KEYS, content)


def shown_keys(
    members: int, change: Callable[[dict[str, bytes], Terms], list[bytes]]
) -> tuple[Attempt, bytes]:
    """Return an attempt and a list of keys that the aggregator changed."""
    attempt = Attempt(terms(members), vectors(terms(members)))
    attempt.play_until(Kind.SHARES)
    sent = dict(attempt.sent[Kind.KEYS])
    return attempt, listed(attempt.terms, Kind.KEY_LIST, change(sent, attempt.terms))


def swapped(sent: dict[str, bytes], asked: Terms) -> list[bytes]:
    return list({**sent, VICTIM: keys_of(VICTIM, Signer.generate(), asked)}.values())


def of_a_copy_of_the_node(sent: dict[str, bytes], asked: Terms) -> list[bytes]:
    """Take keys that a copy of the first member's disk signed for this attempt."""
    copied = keys_of(NAMES[0], SIGNERS[NAMES[0]], asked)
    return list({**sent, NAMES[0]: copied}.values())


def of_the_last_attempt(sent: dict[str, bytes], asked: Terms) -> list[bytes]:
    before = terms(len(asked.roster), attempt=9)
    old = keys_of(VICTIM, SIGNERS[VICTIM], before)
    return list({**sent, VICTIM: old}.values())


def of_another_round(sent: dict[str, bytes], asked: Terms) -> list[bytes]:
    before = terms(len(asked.roster), round_=7)
    return list({**sent, VICTIM: keys_of(VICTIM, SIGNERS[VICTIM], before)}.values())


def of_another_roster(sent: dict[str, bytes], asked: Terms) -> list[bytes]:
    other = terms((*asked.names[:-1], NAMES[9]))
    return list({**sent, VICTIM: keys_of(VICTIM, SIGNERS[VICTIM], other)}.values())


def twice(sent: dict[str, bytes], asked: Terms) -> list[bytes]:
    del asked
    return [*sent.values(), sent[VICTIM]]


def left_out(sent: dict[str, bytes], asked: Terms) -> list[bytes]:
    del asked
    return [data for name, data in sent.items() if name != VICTIM]


def the_aggregators_own(sent: dict[str, bytes], asked: Terms) -> list[bytes]:
    return [*sent.values(), keys_of(HUB, SIGNERS[HUB], asked)]


def reordered(sent: dict[str, bytes], asked: Terms) -> list[bytes]:
    del asked
    return list(reversed(sent.values()))


def garbage(sent: dict[str, bytes], asked: Terms) -> list[bytes]:
    del asked
    return [*sent.values(), b"\xff"]


def of_another_kind(sent: dict[str, bytes], asked: Terms) -> list[bytes]:
    shares = write(asked, VICTIM, SIGNERS[VICTIM], Kind.SHARES, pb.DealtShares())
    return list({**sent, VICTIM: shares}.values())


@pytest.mark.parametrize(
    ("change", "members", "breach"),
    [
        (swapped, 3, Breach.KEY_SWAP),
        (swapped, 7, Breach.KEY_SWAP),
        (of_a_copy_of_the_node, 3, Breach.KEY_SWAP),
        (of_the_last_attempt, 3, Breach.KEY_REPLAY),
        (of_another_round, 3, Breach.KEY_REPLAY),
        (of_another_roster, 3, Breach.OTHER_TERMS),
        (twice, 3, Breach.DUPLICATE_KEY),
        (left_out, 3, Breach.MISSING_KEY),
        (left_out, 5, Breach.MISSING_KEY),
        (the_aggregators_own, 3, Breach.BAD_LIST),
        (reordered, 3, Breach.BAD_LIST),
        (garbage, 3, Breach.BAD_LIST),
        (of_another_kind, 3, Breach.BAD_LIST),
    ],
)
def test_other_keys_than_members_signed_are_refused(
    change: Callable[[dict[str, bytes], Terms], list[bytes]],
    members: int,
    breach: Breach,
) -> None:
    attempt, shown = shown_keys(members, change)
    convicted(
        lambda: attempt.answer(Kind.SHARES, NAMES[0], shown), attempt.terms, breach
    )
    assert NAMES[0] not in attempt.sent[Kind.SHARES]


def test_too_few_keys_are_refused_where_dropouts_are_allowed() -> None:
    def three(sent: dict[str, bytes], asked: Terms) -> list[bytes]:
        return list(sent.values())[: asked.fewest - 1]

    attempt, shown = shown_keys(7, three)
    error = convicted(
        lambda: attempt.answer(Kind.SHARES, NAMES[0], shown),
        attempt.terms,
        Breach.MISSING_KEY,
    )
    assert NAMES[6] in error.place


def test_two_lists_of_keys_convict_the_aggregator() -> None:
    attempt = Attempt(terms(7), vectors(terms(7)))
    attempt.play_until(Kind.MASKED)
    fewer = list(attempt.sent[Kind.KEYS].values())[:6]
    other = listed(attempt.terms, Kind.KEY_LIST, fewer)
    error = convicted(
        lambda: attempt.answer(Kind.SHARES, NAMES[0], other),
        attempt.terms,
        Breach.TWO_ANSWERS,
    )
    two_signed(error, attempt.terms)


def test_members_that_saw_different_keys_find_out_when_shares_come() -> None:
    """The aggregator splits seven members: 0 to 5 do not see 6, which sees all."""
    attempt = Attempt(terms(7), vectors(terms(7)))
    attempt.play_until(Kind.SHARES)
    sent = attempt.sent[Kind.KEYS]
    narrow = listed(attempt.terms, Kind.KEY_LIST, list(sent.values())[:6])
    wide = attempt.said[Kind.KEYS]
    shares = [attempt.answer(Kind.SHARES, name, narrow) for name in NAMES[:5]]
    shares.append(attempt.answer(Kind.SHARES, NAMES[5], wide))
    shown = listed(attempt.terms, Kind.SHARE_LIST, shares)
    convicted(
        lambda: attempt.answer(Kind.MASKED, NAMES[0], shown),
        attempt.terms,
        Breach.KEY_SWAP,
    )
