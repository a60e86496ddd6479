"""Hosted cards of a data holder, applicants of a bank, and scores computed by hand."""

import bisect
import secrets
from collections.abc import Sequence
from random import Random

from tests.protocol.raw_requester import RawRequester
from tests.protocol.score_world import World
from veilscore.keys.paillier.workers import PaillierWorkers
from veilscore.models.binning import CategoricalBins, NumericBins
from veilscore.models.hosted import (
    WIDEST_SLOT,
    Applicant,
    FixedPoint,
    Form,
    HostedCard,
    OneHot,
)
from veilscore.models.padded_batch import Batch
from veilscore.node.hosting.cards import Hosted, HostedCards
from veilscore.node.hosting.form_file import digest
from veilscore.node.hosting.query import HostedQuery as CanonicalHostedQuery
from veilscore.node.hosting.requesting import write_query
from veilscore.node.hosting.settings import HostedCardSettings
from veilscore.v1.score_pb2 import HostedQuery, HostedQueryBody, ScoreMessage

HOLDER = "bureau"
PLENTY = 1_000_000  # bits of budget

SCORECARD = HostedCard.of(
    Form(
        HOLDER,
        "farm credit",
        (
            OneHot("income", NumericBins((10.0, 50.0), (None,) * 3, (-1.0,))),
            OneHot("kind", CategoricalBins(("farm", "shop"), pooled=True)),
        ),
        WIDEST_SLOT,
    ),
    ((-20, 5, 30, 61), (-7, 40, 0, -90)),
    500,
)
LINEAR = HostedCard.of(
    Form(
        HOLDER,
        "linear",
        (
            FixedPoint("age", 1, 18.0, 100.0),
            FixedPoint("debt", 1000, -2.0, 2.0),
            FixedPoint("assets", 100, 0.0, 5000.0),
        ),
        WIDEST_SLOT,
        denominator=1000,
    ),
    ((-321,), (12_345,), (7,)),
    -40_000,
)


def hosted(
    card: HostedCard = SCORECARD,
    *,
    budget_bits: int = PLENTY,
    requesters: Sequence[str] = ("bank", "broker"),
    max_applicants: int = 1000,
) -> Hosted:
    terms = HostedCardSettings(
        file="unused.toml",  # type: ignore[arg-type] # a path, when it is read
        requesters=tuple(requesters),
        purposes=("pre_loan",),
        budget_bits=budget_bits,
        max_applicants=max_applicants,
    )
    return Hosted(card, terms, digest(card.form))


def cards(*found: Hosted) -> HostedCards:
    return HostedCards.of(found or (hosted(), hosted(LINEAR)))


def applicants(count: int, seed: int = 1) -> list[Applicant]:
    """Return applicants of both forms, the first ones at the ends of the ranges."""
    random = Random(seed)
    ends: list[Applicant] = [
        {"income": None, "kind": None, "age": 18.0, "debt": -2.0, "assets": 0.0},
        {"income": 1e9, "kind": "boat", "age": 100.0, "debt": 2.0, "assets": 5000.0},
        {"income": 10.0, "kind": "farm", "age": 18.0, "debt": 2.0, "assets": 0.01},
        {"income": -1.0, "kind": "", "age": 55.5, "debt": 0.0, "assets": 17.0},
    ]
    others: list[Applicant] = [
        {
            "income": random.uniform(-5, 80),
            "kind": random.choice(["farm", "shop", "boat", None]),
            "age": random.uniform(18, 100),
            "debt": random.uniform(-2, 2),
            "assets": random.uniform(0, 5000),
        }
        for _ in range(count)
    ]
    return [*ends, *others][:count]


def plain_score(card: HostedCard, applicant: Applicant) -> int:
    """Return one score in whole units, computed from the card by hand."""
    total = card.intercept
    for feature, weights in zip(card.form.features, card.weights, strict=True):
        value = applicant[feature.name]
        if isinstance(feature, FixedPoint):
            assert isinstance(value, float)
            total += weights[0] * round(value * feature.scale)
        elif isinstance(feature.bins, NumericBins):
            missing = value is None or value in feature.bins.missing
            number = value if isinstance(value, float) else 0.0
            at = bisect.bisect_left(feature.bins.edges, number)
            total += weights[0 if missing else 1 + at]
        else:
            levels: list[str | None] = [None, *feature.bins.levels, "others"]
            known = value or None
            total += weights[levels.index(known) if known in levels else -1]
    return total


class RawHostedRequester(RawRequester):
    """A requester of hosted scores that may encrypt and send anything."""

    def __init__(self, world: World, party: str = "bank") -> None:
        super().__init__(world, party)
        self._now = world
        self.workers = PaillierWorkers(0)

    def query(self, form: Form, rows: Sequence[Sequence[int]]) -> HostedQueryBody:
        """Return the body of an honest query."""
        packed = Batch(self.public.n, form.bits, len(rows)).pack(rows)
        return self.crafted(form, packed, len(rows))

    def crafted(
        self, form: Form, plaintexts: Sequence[int], count: int
    ) -> HostedQueryBody:
        """Return the body of a query of any residues for ``count`` applicants."""
        return write_query(
            form,
            self.workers.encrypt_own(self.private, plaintexts),
            applicants=count,
            requester=self.party,
            peers=self.peers,
            public=self.public,
            purpose="pre_loan",
            consent="contract 17",
            nonce=secrets.token_bytes(16),
            asked=int(self._now.now),
            deadline=int(self._now.now) + 60,
        ).body

    def ask_hosted(self, body: HostedQueryBody | bytes) -> ScoreMessage:
        """Send a query body, or what stands for one, and wait for the reply."""
        raw = body if isinstance(body, bytes) else CanonicalHostedQuery.of(body).raw
        return self.exchange(HOLDER, ScoreMessage(hosted=HostedQuery(body=raw)))

    def hosted_code(self, body: HostedQueryBody | bytes) -> str:
        """Return the code of a refusal."""
        reply = self.ask_hosted(body)
        assert reply.HasField("refusal"), "answered"
        return reply.refusal.code

    def residues(self, body: HostedQueryBody) -> list[int]:
        """Return the decrypted answer."""
        reply = self.ask_hosted(body)
        assert reply.HasField("answer"), reply
        return self.private.decrypt(self.public.decode(reply.answer.ciphertexts))
