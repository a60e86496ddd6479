"""A coordinator of a horizontal run that tells members what it likes, and its loot.

``ActiveHub`` plays the product's coordinator and changes what single members are told;
a member that works with it gives it the group's secret. ``stolen`` computes from all
that it has then whatever masks that takes off.
"""

from collections import defaultdict
from collections.abc import Callable, Generator, Iterable, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import Final
from unittest.mock import patch

import numpy as np
from numpy.typing import NDArray

from tests.attacks.region_transcript import RegionTranscript, Said
from tests.protocol.counties import HUB, county, signer
from tests.protocol.region_run import RegionRun, Summand
from veilscore.coordinator.adding import Adding, Outcome, Say
from veilscore.keys import masks
from veilscore.keys.aggregation import sharing
from veilscore.keys.aggregation.aggregator import Aggregator
from veilscore.keys.aggregation.attempt_keys import (
    MASK_LABEL,
    commit_to_seed,
    mask_key,
    self_mask_secret,
)
from veilscore.keys.aggregation.member import Member
from veilscore.keys.aggregation.terms import Terms
from veilscore.keys.aggregation.wire import Kind, Statement, read_words
from veilscore.keys.errors import MisconductError
from veilscore.keys.identity import AGGREGATION_DOMAIN, Signer
from veilscore.models.horizontal.ports import Booleans, Words
from veilscore.v1.aggregation_pb2 import AggregationBody, RoundKeys, SignedAggregation
from veilscore.v1.training_pb2 import SumMessage

COLLUDER: Final = county(0)
VICTIM: Final = county(1)


def signed(
    body: AggregationBody, words: bytes = b"", by: Signer | None = None
) -> bytes:
    """Return anything at all, under the coordinator's key unless ``by`` another."""
    raw = body.SerializeToString(deterministic=True)
    signature = (by or signer(HUB)).sign(AGGREGATION_DOMAIN, raw)
    return SignedAggregation(
        body=raw, signature=signature, words=words
    ).SerializeToString(deterministic=True)


@dataclass
class ActiveHub:
    """What it does besides; ``said`` is what the honest core said last of each kind.

    ``tell`` returns the messages that a party gets instead of one in a sum. ``again``
    is a sum to attempt once more when all shares for it have come.
    """

    tell: Callable[["ActiveHub", str, AggregationBody, bytes], list[bytes]] = (
        lambda _hub, _party, body, words: [signed(body, words)]
    )
    again: int = 0
    said: dict[tuple[int, str], AggregationBody] = field(
        default_factory=dict[tuple[int, str], AggregationBody]
    )
    groups: dict[bytes, bytes] = field(default_factory=dict[bytes, bytes])
    terms: Terms = field(init=False)

    @contextmanager
    def leads(self) -> Generator[None]:
        """Let this coordinator lead runs, and a member work with it."""
        hub = self

        class Colluding(Member):
            def mask_input(
                self, share_list: bytes, vector: NDArray[np.uint64]
            ) -> bytes:
                masked = super().mask_input(share_list, vector)
                if self._name == COLLUDER:
                    hub.groups[self._terms.context] = self._group
                return masked

        with (
            patch("veilscore.coordinator.sums.Adding", partial(_Adding, self)),
            patch("veilscore.coordinator.adding.Aggregator", _Aggregator),
            patch("veilscore.node.training.summing.Member", Colluding),
        ):
            yield

    def messages(self, party: str, message: SumMessage) -> list[SumMessage]:
        """Return what a party is told where all are told a message."""
        if not message.signed:
            return [message]
        outer = SignedAggregation.FromString(message.signed)
        body = AggregationBody.FromString(outer.body)
        self.said[body.round, body.WhichOneof("content") or ""] = body
        return [
            SumMessage(signed=each)
            for each in self.tell(self, party, body, outer.words)
        ]


class _Aggregator(Aggregator):
    """Does not mind other survivors, and shares for them: it told members so itself."""

    def _check(self, found: Statement) -> None:
        try:
            super()._check(found)
        except MisconductError:
            if found.kind not in {Kind.AGREEMENT, Kind.REVEALED}:
                raise


class _Adding(Adding):
    """Says what the active coordinator says."""

    def __init__(
        self, hub: ActiveHub, terms: Terms, by: Signer, phase_s: float
    ) -> None:
        super().__init__(terms, by, phase_s)
        self._hub = hub
        hub.terms = terms

    def take(self, sender: str, message: SumMessage, now: float) -> list[Outcome]:
        wants = dict(self._wants)
        outcomes = super().take(sender, message, now)
        if self._round == self._hub.again and wants and not self._wants:
            self._hub.again = 0
            self._wants = wants
            outcomes = [self._begin(2, now)]
        return self._told(outcomes)

    def answer(self, party: str, now: float) -> list[Outcome]:
        return self._told(super().answer(party, now))

    def leave(self, party: str, now: float) -> list[Outcome]:
        return self._told(super().leave(party, now))

    def wake(self, now: float) -> list[Outcome]:
        return self._told(super().wake(now))

    def _told(self, outcomes: Iterable[Outcome]) -> list[Outcome]:
        told: list[Outcome] = []
        for each in outcomes:
            if not isinstance(each, Say):
                told.append(each)
                continue
            told += [
                Say((party,), message)
                for party in each.to
                for message in self._hub.messages(party, each.message)
            ]
        return told


# -- loot ------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Attempt:
    """What members sent in one attempt, by kind and sender."""

    label: str
    context: bytes
    sent: Mapping[str, Mapping[str, Said]]

    def unmasked(self, terms: Terms, group: bytes) -> dict[str, Words]:
        """Return members' vectors without all masks that shares and group give."""
        seeds = self._seeds(terms)
        found: dict[str, Words] = {}
        for name, said in self.sent.get(Kind.MASKED, {}).items():
            left = read_words(said.words).copy()
            if group:
                left -= masks.words(group, f"group {name}", left.size)
            if commit_to_seed(seeds.get(name, b""), self.context, name) == (
                self._keys(name).self_mask
            ):
                secret = self_mask_secret(seeds[name], self.context, name)
                left -= masks.words(secret, MASK_LABEL, left.size)
            found[name] = left
        return found

    def summed(self, terms: Terms, vectors: Mapping[str, Words]) -> Words | None:
        """Return the sum of who agreed, without masks of pairs; None if not all came.

        Between them these cancel. What they added for another follows from its key.
        """
        agreed = self.sent.get(Kind.AGREEMENT, {}).keys()
        if not agreed or not agreed <= vectors.keys():
            return None
        whole = np.zeros_like(next(iter(vectors.values())))
        for name in agreed:
            whole += vectors[name]
        for name, seed in self._seeds(terms).items():
            key = mask_key(seed, self.context, name)
            if (
                name not in agreed
                and key.public_key().public_bytes_raw() == self._keys(name).mask
            ):
                pairs = {
                    peer: masks.pair_secret(key, self._keys(peer).mask, self.context)
                    for peer in agreed
                }
                whole += masks.zero_sum_words(name, pairs, MASK_LABEL, whole.size)
        return whole

    def _keys(self, name: str) -> RoundKeys:
        return self.sent[Kind.KEYS][name].body.keys

    def _seeds(self, terms: Terms) -> dict[str, bytes]:
        """Return a seed of each dealer of which enough shares are known."""
        revealed = self.sent.get(Kind.REVEALED, {})
        if len(revealed) < terms.threshold:
            return {}
        dealers = [name for name in terms.names if name in self.sent[Kind.SHARES]]
        return {
            dealer: sharing.combine(
                {
                    terms.index(holder): said.body.revealed.shares[place]
                    for holder, said in revealed.items()
                },
                terms.threshold,
            )
            for place, dealer in enumerate(dealers)
        }


def stolen(run: RegionRun, hub: ActiveHub) -> set[tuple[str, str]]:
    """Return the members, and of which sums, a word of whose vector it can compute.

    From each masked vector, and from the difference of any two attempts at one sum:
    masks of pairs cancel in the sum of an attempt's vectors.
    """
    attempts = _attempts(run)
    computed: defaultdict[str, list[Words]] = defaultdict(list)
    sums: defaultdict[str, list[Words]] = defaultdict(list)
    for each in attempts:
        vectors = each.unmasked(hub.terms, hub.groups.get(each.context, b""))
        computed[each.label] += vectors.values()
        whole = each.summed(hub.terms, vectors)
        if whole is not None:
            sums[each.label].append(whole)
    for label, wholes in sums.items():
        computed[label] += [one - other for one in wholes for other in wholes]
    return {
        (each.party, each.label)
        for each in run.summands
        for left in computed[each.label]
        if ((left == each.words) & _own(run, each)).any()
    }


def _own(run: RegionRun, summand: Summand) -> Booleans:
    """Return which words of a vector no other member's has in their place."""
    own: Booleans = summand.words != 0
    for each in run.summands:
        if each.label == summand.label and each.party != summand.party:
            own &= each.words != summand.words
    return own


def _attempts(run: RegionRun) -> list[_Attempt]:
    sent: dict[tuple[str, bytes], dict[str, dict[str, Said]]] = {}
    for each in RegionTranscript(run).said:
        if each.kind != "wanted":
            place = each.label, each.body.context
            sent.setdefault(place, {}).setdefault(each.kind, {})[each.sender] = each
    return [_Attempt(*place, by_kind) for place, by_kind in sent.items()]
