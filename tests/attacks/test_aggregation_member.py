"""H7: members that break the rules of secure aggregation are named; no sum is wrong."""

from typing import Final

import numpy as np
import pytest

from tests.protocol.aggregation_round import (
    HUB,
    NAMES,
    SIGNERS,
    Attempt,
    Watched,
    plain_sum,
    terms,
    vectors,
)
from veilscore.keys.aggregation.attempt_keys import AttemptKeys
from veilscore.keys.aggregation.history import RoundHistory
from veilscore.keys.aggregation.member import Member
from veilscore.keys.aggregation.wire import Content, Kind, read, write
from veilscore.keys.errors import Breach, MisconductError
from veilscore.v1 import aggregation_pb2 as pb

LIAR: Final = NAMES[1]
LOW_ORDER: Final = (bytes(32), b"\1" + bytes(31), b"", bytes(31))


class Lying(Watched):
    """Signs what ``lie`` makes of an honest message of step ``about``."""

    about: Kind = Kind.KEYS

    def lie(self, said: pb.AggregationBody) -> Content:
        """Return what it says instead."""
        raise NotImplementedError

    def _changed(self, data: bytes, kind: Kind) -> bytes:
        if kind is not self.about:
            return data
        said = read(data, self._terms).content
        return write(self._terms, LIAR, SIGNERS[LIAR], kind, self.lie(said))

    def advertise(self) -> bytes:
        return self._changed(super().advertise(), Kind.KEYS)

    def share_keys(self, key_list: bytes) -> bytes:
        return self._changed(super().share_keys(key_list), Kind.SHARES)

    def agree(self, survivors: bytes) -> bytes:
        return self._changed(super().agree(survivors), Kind.AGREEMENT)

    def reveal_shares(self, agreement_list: bytes) -> bytes:
        return self._changed(super().reveal_shares(agreement_list), Kind.REVEALED)


class OtherSeed(Watched):
    """Deals shares of another seed than it advertised, and commits to those."""

    def share_keys(self, key_list: bytes) -> bytes:
        self._keys.self_seed = bytes(16)
        return super().share_keys(key_list)


class OtherMaskKey(Watched):
    """Deals shares of another mask key than it advertised and masks with."""

    def share_keys(self, key_list: bytes) -> bytes:
        right = self._keys.mask_seed
        self._keys.mask_seed = bytes(16)
        answer = super().share_keys(key_list)
        self._keys.mask_seed = right
        return answer


class SharesThatDoNotFit(Lying):
    """Commits to other shares than it seals."""

    about = Kind.SHARES

    def lie(self, said: pb.AggregationBody) -> Content:
        said.shares.sealed[0].self_mask = bytes(32)
        return said.shares


class SharesThatDoNotOpen(Lying):
    about = Kind.SHARES

    def lie(self, said: pb.AggregationBody) -> Content:
        sealed = said.shares.sealed[0]
        sealed.sealed = bytes(len(sealed.sealed))
        return said.shares


class SharesForTooFew(Lying):
    about = Kind.SHARES

    def lie(self, said: pb.AggregationBody) -> Content:
        del said.shares.sealed[-1]
        return said.shares


class SharesUnderOtherKeys(Lying):
    about = Kind.SHARES

    def lie(self, said: pb.AggregationBody) -> Content:
        said.shares.key_list = bytes(32)
        return said.shares


class OtherPart(Watched):
    """Gives others another part of the group's secret than it committed to."""

    def share_keys(self, key_list: bytes) -> bytes:
        self._keys.group_part = bytes(32)
        return super().share_keys(key_list)


class TwoFaced(AttemptKeys):
    """Seals another part of the group's secret to one member than to the others."""

    __slots__ = ()

    def seal(self, peer: str, peer_channel: bytes, plaintext: bytes) -> bytes:
        if peer == NAMES[0]:
            pair = pb.SharePair.FromString(plaintext)
            pair.group_part = bytes(32)
            plaintext = pair.SerializeToString(deterministic=True)
        return super().seal(peer, peer_channel, plaintext)


class PartsThatDiffer(Watched):
    def advertise(self) -> bytes:
        self._keys = TwoFaced.generate(self._terms.context, LIAR)
        return super().advertise()


class OtherShareRevealed(Lying):
    about = Kind.REVEALED

    def lie(self, said: pb.AggregationBody) -> Content:
        said.revealed.shares[0] = bytes(16)
        return said.revealed


class NoShareRevealed(Lying):
    about = Kind.REVEALED

    def lie(self, said: pb.AggregationBody) -> Content:
        del said.revealed.shares[0]
        return said.revealed


class LongShareRevealed(Lying):
    about = Kind.REVEALED

    def lie(self, said: pb.AggregationBody) -> Content:
        said.revealed.shares[0] += b"\0"
        return said.revealed


class AgreedToNothing(Lying):
    about = Kind.AGREEMENT

    def lie(self, said: pb.AggregationBody) -> Content:
        said.agreement.survivors = b""
        return said.agreement


class AgreedToItsOwn(Lying):
    """Signs a survivor set itself, to make the aggregator look guilty."""

    about = Kind.AGREEMENT

    def lie(self, said: pb.AggregationBody) -> Content:
        made = pb.SurvivorSet(members=NAMES[:3])
        own = write(self._terms, LIAR, SIGNERS[LIAR], Kind.SURVIVORS, made)
        said.agreement.survivors = own
        return said.agreement


class ShortCommitment(Lying):
    about = Kind.KEYS

    def lie(self, said: pb.AggregationBody) -> Content:
        said.keys.self_mask = b"short"
        return said.keys


class OneKeyForBoth(Lying):
    about = Kind.KEYS

    def lie(self, said: pb.AggregationBody) -> Content:
        said.keys.channel = said.keys.mask
        return said.keys


def played(members: int, kind: type[Watched]) -> Attempt:
    asked = terms(members)
    return Attempt(asked, vectors(asked), {}, {LIAR: kind})


@pytest.mark.parametrize(
    ("kind", "breach"),
    [
        (OtherSeed, Breach.BAD_SHARE),
        (SharesThatDoNotFit, Breach.BAD_SHARE),
        (SharesThatDoNotOpen, Breach.BAD_SHARE),
        (SharesForTooFew, Breach.BAD_SHARE),
        (SharesUnderOtherKeys, Breach.BAD_SHARE),
        (OtherPart, Breach.BAD_SHARE),
        (PartsThatDiffer, Breach.BAD_SHARE),
        (OtherShareRevealed, Breach.BAD_SHARE),
        (NoShareRevealed, Breach.BAD_SHARE),
        (LongShareRevealed, Breach.BAD_SHARE),
        (AgreedToNothing, Breach.BAD_LIST),
        (AgreedToItsOwn, Breach.BAD_LIST),
        (ShortCommitment, Breach.UNUSABLE_KEY),
        (OneKeyForBoth, Breach.DUPLICATE_KEY),
    ],
)
@pytest.mark.parametrize("members", [3, 6])
def test_a_lying_member_is_named(
    members: int, kind: type[Watched], breach: Breach
) -> None:
    with pytest.raises(MisconductError) as caught:
        played(members, kind).play()
    assert caught.value.breach is breach
    assert caught.value.party == LIAR
    assert caught.value.place
    assert caught.value.remedy
    assert caught.value.evidence


def test_a_dealer_that_dropped_out_is_named_for_shares_of_another_key() -> None:
    attempt = played(7, OtherMaskKey)
    with pytest.raises(MisconductError) as caught:
        attempt.play({LIAR: Kind.MASKED})
    assert caught.value.party == LIAR
    assert caught.value.breach is Breach.BAD_SHARE
    # While it stays nobody needs that key, and the sum is right.
    assert len(played(7, OtherMaskKey).play()) == 7


@pytest.mark.parametrize("key", LOW_ORDER)
@pytest.mark.parametrize("field", ["mask", "channel"])
def test_a_key_of_low_order_is_refused(field: str, key: bytes) -> None:
    class LowOrder(Lying):
        def lie(self, said: pb.AggregationBody) -> Content:
            setattr(said.keys, field, key)
            return said.keys

    with pytest.raises(MisconductError) as caught:
        played(3, LowOrder).play()
    assert caught.value.breach is Breach.UNUSABLE_KEY
    assert caught.value.party == LIAR


def test_a_copied_key_is_refused_with_both_messages() -> None:
    attempt = played(3, Watched)
    first = read(attempt.answer(Kind.KEYS, NAMES[0], b""), attempt.terms)
    attempt.aggregator.take(attempt.sent[Kind.KEYS][NAMES[0]])
    copied = write(attempt.terms, LIAR, SIGNERS[LIAR], Kind.KEYS, first.content.keys)
    with pytest.raises(MisconductError) as caught:
        attempt.aggregator.take(copied)
    assert caught.value.breach is Breach.DUPLICATE_KEY
    assert LIAR in caught.value.party
    assert len(caught.value.evidence) == 2


class MadeUpSum(Lying):
    """Names a sum that the aggregator never signed, to make it look guilty."""

    def lie(self, said: pb.AggregationBody) -> Content:
        own = pb.MaskedSum(survivors=bytes(32), words=bytes(32))
        said.keys.last_sum = write(terms(3), LIAR, SIGNERS[LIAR], Kind.TOTAL, own)
        return said.keys


class SurvivorsForASum(Lying):
    """Names something else that the aggregator did sign."""

    shown: bytes = b""

    def lie(self, said: pb.AggregationBody) -> Content:
        said.keys.last_sum = self.shown
        return said.keys


def test_a_member_cannot_make_a_sum_up() -> None:
    remembered = {name: RoundHistory() for name in NAMES}
    first = terms(3)
    before = Attempt(first, vectors(first), remembered)
    before.play()
    SurvivorsForASum.shown = before.said[Kind.MASKED]
    second = terms(3, round_=2)
    for attempt_number, kind in enumerate((MadeUpSum, SurvivorsForASum), start=1):
        asked = terms(3, round_=2, attempt=attempt_number)
        attempt = Attempt(asked, vectors(second), remembered, {LIAR: kind})
        with pytest.raises(MisconductError) as caught:
            attempt.play()
        assert caught.value.breach is Breach.BAD_LIST
        assert caught.value.party == LIAR


def test_seven_members_do_without_one_that_reveals_a_wrong_share() -> None:
    asked = terms(7)
    attempt = Attempt(asked, vectors(asked), {}, {LIAR: OtherShareRevealed})
    for name in attempt.play_until(Kind.REVEALED):
        data = attempt.answer(Kind.REVEALED, name, attempt.said[Kind.AGREEMENT])
        if name == LIAR:
            with pytest.raises(MisconductError):
                attempt.aggregator.take(data)
        else:
            attempt.aggregator.take(data)
    total = attempt.close(Kind.REVEALED)
    expected = plain_sum(attempt.vectors, asked.names)
    found = attempt.members[NAMES[0]].finish(total)
    assert np.array_equal(found.total, expected)


def test_the_aggregator_is_no_member() -> None:
    attempt = played(3, Watched)
    attempt.play_until(Kind.SHARES)
    with pytest.raises(ValueError, match="roster"):
        Member(attempt.terms, HUB, SIGNERS[HUB], RoundHistory())
