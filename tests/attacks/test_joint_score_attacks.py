"""Attacks on joint scores by the requester.

Where it can be done, an attack is also run with its defence taken away and must then
succeed: else its failure would prove nothing.
"""

import secrets
from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
import pytest

from tests.conftest import Tell
from tests.protocol.raw_requester import RawRequester
from tests.protocol.score_cards import (
    CARDS,
    HOLDERS,
    ROWS,
    card,
    entity,
    manifest,
    plain_partial,
)
from tests.protocol.score_world import World
from veilscore.keys.masks import pair_secret
from veilscore.models.scorecard import KNOWN_TO_ALL
from veilscore.models.vertical.layout import HIDING, SCORE_BITS, ScoreLayout
from veilscore.node.errors import ScoringError
from veilscore.node.scoring import holder as holder_core
from veilscore.node.scoring.query import Query
from veilscore.node.scoring.requester import EntityScore, JointRequest
from veilscore.v1.score_pb2 import (
    ScoreAnswer,
    ScoreQueryBody,
)

NAMES = [entity(number) for number in range(70)]  # more than one plaintext
Change = Callable[[World, ScoreQueryBody], object]


@pytest.fixture
def bank(hub: World) -> RawRequester:
    """A bank that may send anything, and two honest holders."""
    hub.node("bureau")
    hub.node("market")
    return RawRequester(hub)


@pytest.fixture
def unbound_masks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Take the defence away: masks that are not keyed by the query."""

    def unbound(own: object, peer: bytes, context: bytes) -> bytes:
        del context
        return pair_secret(own, peer, bytes(32))  # type: ignore[arg-type] # as it came

    monkeypatch.setattr(holder_core, "pair_secret", unbound)


def read(
    hub: World,
    bank: RawRequester,
    query: ScoreQueryBody,
    vectors: Sequence[Sequence[int]],
) -> list[EntityScore]:
    """Combine what the holders sent as an honest requester does."""
    model = hub.nodes["bureau"].shelf.get(query.model)
    assert model is not None
    request = JointRequest(Query.of(query), model, bank.public)
    for name, vector in zip(("bureau", "market"), vectors, strict=True):
        blob = bank.public.encode(vector)
        answer = ScoreAnswer(digest=request.query.digest, ciphertexts=blob)
        request.add(name, answer)
    count = len(query.entities)
    residues = bank.private.decrypt(request.products())
    return request.scores(residues, np.zeros(count, np.int64), np.zeros(count, bool))


def other_id(hub: World, body: ScoreQueryBody) -> None:
    del hub
    body.entities[3] = entity(299)


def other_order(hub: World, body: ScoreQueryBody) -> None:
    del hub
    body.entities[:] = reversed(body.entities)


def other_nonce(hub: World, body: ScoreQueryBody) -> None:
    del hub
    body.nonce = secrets.token_bytes(16)


def other_consent(hub: World, body: ScoreQueryBody) -> None:
    del hub
    body.consent = "contract 18"


def other_model(hub: World, body: ScoreQueryBody) -> None:
    cards = [card(party, "another run") for party in HOLDERS]
    for own, party in zip(cards, HOLDERS, strict=True):
        if party in hub.nodes:
            model = hub.nodes[party].shelve(manifest(*cards), own)
            body.model = model.hash


CHANGES: dict[str, Change] = {
    "id": other_id,
    "order": other_order,
    "nonce": other_nonce,
    "consent": other_consent,
    "model": other_model,
}


@pytest.mark.parametrize("name", CHANGES)
def test_c4_holders_that_see_different_queries_give_noise(
    hub: World, bank: RawRequester, name: str, tell: Tell
) -> None:
    honest = bank.body(NAMES)
    changed = ScoreQueryBody()
    changed.CopyFrom(honest)
    CHANGES[name](hub, changed)
    one = bank.vector("bureau", honest)
    two = bank.vector("market", changed)
    with pytest.raises(ScoringError) as caught:
        read(hub, bank, honest, [one, two])
    assert caught.value.party == "bureau or market"
    # Every plaintext is noise, not only the one whose guard bits are looked at first.
    joint = bank.private.decrypt(bank.public.add(one, two))
    room = 64  # guard bits of a full plaintext
    heights = [min(each, bank.public.n - each).bit_length() for each in joint]
    assert min(heights) > bank.public.bits - room
    # Nor is one of its slots a score, for one that does not look at guard bits.
    many = ScoreLayout.plan(bank.public.n).slots
    right = [
        sum(pair)
        for pair in zip(
            partials("bureau", list(honest.entities)),
            partials("market", list(changed.entities)),
            strict=True,
        )
    ]
    shown = [slot for residue in joint for slot in slots(bank, residue, many)]
    read_right = sum(map(int.__eq__, shown, right))
    tell(f"C4 scores read, another {name} for one", f"{read_right} of {len(right)}", 0)
    assert read_right == 0


@pytest.mark.parametrize("name", CHANGES)
@pytest.mark.usefixtures("unbound_masks")
def test_c4_without_the_binding_every_one_of_them_decodes(
    hub: World, bank: RawRequester, name: str
) -> None:
    honest = bank.body(NAMES)
    changed = ScoreQueryBody()
    changed.CopyFrom(honest)
    CHANGES[name](hub, changed)
    vectors = [bank.vector("bureau", honest), bank.vector("market", changed)]
    scores = [each.score for each in read(hub, bank, honest, vectors)]
    market = {"market": card("market", "another run")} if name == "model" else CARDS
    assert scores == [
        plain_partial(CARDS["bureau"], ROWS["bureau"].get(first))
        + plain_partial(market["market"], ROWS["market"].get(second))
        for first, second in zip(honest.entities, changed.entities, strict=True)
    ]


def slots(bank: RawRequester, residue: int, count: int) -> list[int]:
    """Return the lowest slots of a plaintext, whatever stands above them."""
    packed, half = bank.public.to_signed(residue), 1 << (SCORE_BITS - 1)
    found: list[int] = []
    for _ in range(count):
        found.append((packed + half) % (2 * half) - half)
        packed = (packed - found[-1]) >> SCORE_BITS
    return found


def partials(holder: str, entities: Sequence[str]) -> list[int]:
    rows = ROWS[holder]
    return [plain_partial(CARDS[holder], rows.get(entity)) for entity in entities]


ALONE = NAMES[:50]  # in one plaintext


def isolated(bank: RawRequester) -> int:
    """Return how many S_A(x) - S_A(x0) a requester reads: the market hears x0 only."""
    strangers = [f"X:nobody {number}" for number in range(len(ALONE))]
    decoy = bank.body(strangers)
    (base,) = bank.private.decrypt(
        bank.public.add(bank.vector("bureau", decoy), bank.vector("market", decoy))
    )
    named, silent = bank.body(ALONE), bank.body(strangers)
    silent.nonce = named.nonce
    (mixed,) = bank.private.decrypt(
        bank.public.add(bank.vector("bureau", named), bank.vector("market", silent))
    )
    shown = slots(bank, (mixed - base) % bank.public.n, len(ALONE))
    nothing = plain_partial(CARDS["bureau"], None)
    right = [part - nothing for part in partials("bureau", ALONE)]
    return sum(map(int.__eq__, shown, right))


def test_c4_one_holders_contribution_cannot_be_isolated(
    bank: RawRequester, tell: Tell
) -> None:
    found = isolated(bank)
    tell("C4 parts read by a mixed query", f"{found} of {len(ALONE)}", 0)
    assert found == 0


@pytest.mark.usefixtures("unbound_masks")
def test_c4_without_the_binding_all_are_isolated_exactly(
    bank: RawRequester, tell: Tell
) -> None:
    found = isolated(bank)
    told = f"{found} of {len(ALONE)}"
    tell("C4 parts read by a mixed query, were masks not bound to it", told, "none")
    assert found == len(ALONE)


def test_c4_an_entity_that_one_holder_knows_shows_that_holders_part(
    hub: World, bank: RawRequester, tell: Tell
) -> None:
    """A property, stated in SECURITY.md: farmers whom one bureau knows are scored.

    What other cards give to unknown entities is a constant, learnt from an id that
    nobody has. An entity that two holders know stays hidden behind both.
    """
    alone = [name for name in ROWS["bureau"] if name not in ROWS["market"]][:40]
    both = [name for name in ROWS["bureau"] if name in ROWS["market"]][:40]
    nobody = "X:nobody"
    query = bank.body(sorted({*alone, *both, nobody}))
    vectors = [bank.vector(name, query) for name in ("bureau", "market")]
    found = read(hub, bank, query, vectors)
    scores = {each.entity: each.score or 0 for each in found}

    def shown(names: list[str]) -> int:
        return sum(
            scores[name] - scores[nobody]
            == plain_partial(CARDS["bureau"], ROWS["bureau"][name])
            - plain_partial(CARDS["bureau"], None)
            for name in names
        )

    market = [plain_partial(CARDS["market"], ROWS["market"][name]) for name in both]
    by_chance = market.count(plain_partial(CARDS["market"], None))
    tell("C4 parts read of entities that one holder knows", shown(alone), len(alone))
    tell("C4 parts read of entities that two holders know", shown(both), by_chance)
    assert shown(both) == by_chance


def test_c4_a_model_for_entities_known_to_all_hides_that_part(
    hub: World, bank: RawRequester, tell: Tell
) -> None:
    """What the one that does not know an entity adds is no constant any more."""
    cards = {
        party: replace(card(party), parameters={KNOWN_TO_ALL: True})
        for party in HOLDERS
    }
    hub.now += 60
    for party, node in hub.nodes.items():
        node.shelve(manifest(*cards.values()), cards[party])
    alone = [name for name in ROWS["bureau"] if name not in ROWS["market"]][:40]
    both = [name for name in ROWS["bureau"] if name in ROWS["market"]][:40]
    query = bank.body(sorted({*alone, *both, "X:nobody"}))
    vectors = [bank.vector(name, query) for name in ("bureau", "market")]
    scores = {each.entity: each.score for each in read(hub, bank, query, vectors)}
    assert not any(scores[name] is not None for name in (*alone, "X:nobody"))
    assert [scores[name] for name in both] == [
        sum(plain_partial(CARDS[of], ROWS[of][name]) for of in ("bureau", "market"))
        for name in both
    ]

    # The numbers behind: with one constant added to all, differences would be left.
    joint = bank.private.decrypt(bank.public.add(*vectors))
    sums = ScoreLayout.plan(bank.public.n).unpack(
        joint, len(query.entities), bank.public.n, "bureau"
    )
    shown = dict(zip(query.entities, sums, strict=True))
    added = {
        shown[name] - plain_partial(CARDS["bureau"], ROWS["bureau"][name])
        for name in alone
    }
    told = len(alone) - len(added)
    tell("C4 parts read of entities that one holder knows, known_to_all", told, 0)
    assert told == 0
    assert min(added) >= HIDING


def test_one_holders_vector_is_uniform_to_the_requester(bank: RawRequester) -> None:
    """Chi-square of the leading four bits of 2,000 masked plaintexts, 15 degrees."""
    query = Query.of(bank.body(NAMES))
    counts = np.zeros(16, np.int64)
    layout = ScoreLayout.plan(bank.public.n)
    accepted = holder_core.AcceptedQuery(
        query, "bureau", CARDS["bureau"], bank.public, {}
    )
    alone = accepted.plaintexts([1], [True])
    assert alone == [1]  # there is nothing to hide behind
    mine = bank.keys.mask
    peer = bank.peers["market"].mask
    for _ in range(400):
        secret = pair_secret(mine, peer, secrets.token_bytes(32))
        masked = holder_core.AcceptedQuery(
            query,
            "bureau",
            CARDS["bureau"],
            bank.public,
            {"market": secret},
        )
        entities = 5 * layout.slots
        for plaintext in masked.plaintexts([0] * entities, [True] * entities):
            counts[16 * plaintext // bank.public.n] += 1
    expected = counts.sum() / 16
    assert counts.sum() == 2000
    assert ((counts - expected) ** 2 / expected).sum() < 44.3  # p = 1e-4


def test_an_answer_to_another_query_is_refused_by_name(
    hub: World, bank: RawRequester
) -> None:
    first, second = bank.body(NAMES), bank.body(NAMES)
    model = hub.nodes["bureau"].shelf.latest()
    assert model is not None
    reply = bank.ask("bureau", second)
    request = JointRequest(Query.of(first), model, bank.public)
    with pytest.raises(ScoringError, match="bureau: answered another query"):
        request.add("bureau", reply.answer)
    assert request.missing == ("bureau", "market")
