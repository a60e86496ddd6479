"""Attacks on joint scores: by the requester, by the hub, by a holder.

Where it can be done, an attack is also run with its defence taken away and must then
succeed: else its failure would prove nothing.
"""

import secrets
from collections.abc import Callable, Generator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Barrier

import numpy as np
import pytest

from tests.protocol.score_world import (
    CARDS,
    HOLDERS,
    ROWS,
    People,
    RawRequester,
    World,
    card,
    entity,
    manifest,
    pass_on,
    plain_partial,
    plain_score,
    world,
)
from veilscore.keys.masks import pair_secret
from veilscore.keys.paillier.public import PublicKey
from veilscore.models.vertical.layout import ScoreLayout
from veilscore.node.errors import ScoringError
from veilscore.node.scoring import holder as holder_core
from veilscore.node.scoring.query import Query
from veilscore.node.scoring.requester import EntityScore, JointRequest
from veilscore.v1.envelope_pb2 import Envelope
from veilscore.v1.score_pb2 import (
    ScoreAnswer,
    ScoreMessage,
    ScoreQueryBody,
    ScoreRefusal,
)

NAMES = [entity(number) for number in range(70)]  # more than one plaintext
Change = Callable[[World, ScoreQueryBody], object]


@pytest.fixture(scope="module")
def people(tmp_path_factory: pytest.TempPathFactory) -> People:
    return People.create(tmp_path_factory.mktemp("people"))


@pytest.fixture
def hub(tmp_path: Path, people: People) -> Generator[World]:
    with world(tmp_path, people) as running:
        yield running


@pytest.fixture
def bank(hub: World) -> RawRequester:
    """A bank that may send anything, and two honest holders."""
    hub.node("bureau")
    hub.node("market")
    return RawRequester(hub)


@pytest.fixture
def lab(hub: World) -> World:
    """Three honest nodes."""
    for party in HOLDERS:
        hub.node(party)
    return hub


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
    hub: World, bank: RawRequester, name: str
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


def isolate(bank: RawRequester) -> list[int]:
    """Return what a requester takes for S_A(x) - S_A(x0): the market hears x0 only."""
    decoy = bank.body(["X:nobody", *NAMES[1:50]])
    base = bank.private.decrypt(
        bank.public.add(bank.vector("bureau", decoy), bank.vector("market", decoy))
    )
    named = bank.body(NAMES[:50])
    silent = bank.body(["X:nobody", *NAMES[1:50]])
    silent.nonce = named.nonce
    mixed = bank.private.decrypt(
        bank.public.add(bank.vector("bureau", named), bank.vector("market", silent))
    )
    return [
        bank.public.to_signed((one - two) % bank.public.n)
        for one, two in zip(mixed, base, strict=True)
    ]


def test_c4_one_holders_contribution_cannot_be_isolated(bank: RawRequester) -> None:
    (difference,) = isolate(bank)
    assert abs(difference).bit_length() > 1900


@pytest.mark.usefixtures("unbound_masks")
def test_c4_without_the_binding_it_is_isolated_exactly(bank: RawRequester) -> None:
    (difference,) = isolate(bank)
    assert difference == plain_partial(
        CARDS["bureau"], ROWS["bureau"].get(NAMES[0])
    ) - plain_partial(CARDS["bureau"], None)


def test_one_holders_vector_is_uniform_to_the_requester(bank: RawRequester) -> None:
    """Chi-square of the leading four bits of 2,000 masked plaintexts, 15 degrees."""
    query = Query.of(bank.body(NAMES))
    counts = np.zeros(16, np.int64)
    layout = ScoreLayout.plan(bank.public.n)
    accepted = holder_core.AcceptedQuery(
        query, "bureau", CARDS["bureau"], bank.public, {}
    )
    assert accepted.plaintexts([1]) == [1]  # alone there is nothing to hide behind
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
        for plaintext in masked.plaintexts([0] * (5 * layout.slots)):
            counts[16 * plaintext // bank.public.n] += 1
    expected = counts.sum() / 16
    assert counts.sum() == 2000
    assert ((counts - expected) ** 2 / expected).sum() < 44.3  # p = 1e-4


def test_m1_a_captured_query_cannot_be_sent_again(lab: World) -> None:
    captured: list[tuple[str, str, bytes]] = []

    def record(sender: str, recipient: str, data: bytes) -> list[bytes]:
        captured.append((sender, recipient, data))
        return [data]

    lab.wiretap = record
    lab.nodes["bank"].desk.ask(NAMES, purpose="pre_loan", consent="")
    lab.nodes["bureau"].stop()
    lab.nodes["bureau"].start()
    events = len(lab.events())
    lab.wiretap = pass_on
    for sender, recipient, data in captured:
        lab.recipients[recipient](sender, data)
    scores = lab.nodes["bank"].desk.ask(NAMES, purpose="pre_loan", consent="")
    assert [each.score for each in scores] == [plain_score(name) for name in NAMES]
    assert len(lab.events()) == events + 5  # of the last question only


def test_h2_a_hub_that_changes_an_answer_is_noticed(lab: World) -> None:
    def flip(sender: str, recipient: str, data: bytes) -> list[bytes]:
        del recipient
        if sender != "market":
            return [data]
        envelope = Envelope.FromString(data)
        sealed = bytearray(envelope.sealed)
        sealed[-40] ^= 1
        envelope.sealed = bytes(sealed)
        return [envelope.SerializeToString()]

    assert_market_is_named(lab, flip)


def test_h2_a_hub_that_drops_an_answer_leaves_no_score(lab: World) -> None:
    assert_market_is_named(lab, lambda sender, _, data: [data][: sender != "market"])


def assert_market_is_named(
    lab: World, tap: Callable[[str, str, bytes], list[bytes]]
) -> None:
    lab.wiretap = tap
    desk = lab.nodes["bank"].desk
    with pytest.raises(ScoringError, match="did not answer in time") as caught:
        desk.ask(NAMES, purpose="pre_loan", consent="", timeout_s=1.5)
    assert caught.value.party == "market"


def test_h2_a_hub_that_doubles_an_answer_changes_nothing(lab: World) -> None:
    lab.wiretap = lambda _, __, data: [data, data]
    scores = lab.nodes["bank"].desk.ask(NAMES, purpose="pre_loan", consent="")
    assert [each.score for each in scores] == [plain_score(name) for name in NAMES]


def test_h2_a_hub_that_swaps_two_answers_makes_no_wrong_score(lab: World) -> None:
    held: list[bytes] = []

    def swap(sender: str, recipient: str, data: bytes) -> list[bytes]:
        del recipient
        if sender != "market":
            return [data]
        held.append(data)
        return held[::-1] if len(held) == 2 else []

    lab.wiretap = swap
    desk = lab.nodes["bank"].desk
    start = Barrier(2)

    def ask(name: str) -> int | str:
        start.wait()
        try:
            (score,) = desk.ask([name], purpose="pre_loan", consent="", timeout_s=3)
        except ScoringError as error:
            return error.party
        return score.score

    names = [entity(1), entity(2)]
    with ThreadPoolExecutor(2) as pool:
        results = list(pool.map(ask, names))
    # The overtaken answer counts as replayed, so its question stays without one.
    right = [plain_score(name) for name in names]
    assert results in ([right[0], "market"], ["market", right[1]])


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


Tamper = Callable[[PublicKey, list[int]], list[int]]


def cheat(lab: World, monkeypatch: pytest.MonkeyPatch, tamper: Tamper) -> ScoringError:
    """Let the market, which signs what it likes, send other ciphertexts."""
    workers = lab.nodes["market"].workers
    honest = workers.encrypt_for

    def dishonest(public: PublicKey, plaintexts: Sequence[int]) -> list[int]:
        return tamper(public, honest(public, plaintexts))

    monkeypatch.setattr(workers, "encrypt_for", dishonest)
    with pytest.raises(ScoringError) as caught:
        lab.nodes["bank"].desk.ask(NAMES, purpose="pre_loan", consent="")
    return caught.value


NO_VECTORS: dict[str, Tamper] = {
    "short": lambda _, vector: vector[:-1],
    "long": lambda _, vector: [*vector, vector[0]],
    "empty": lambda _, vector: vector[:0],
    "zero": lambda _, vector: [0, *vector[1:]],
    "no unit": lambda public, vector: [public.n, *vector[1:]],
    "out of range": lambda public, vector: [*vector[1:], public.n_squared],
}
FOREIGN_VECTORS: dict[str, Tamper] = {
    "swapped": lambda _, vector: vector[::-1],
    "doubled": lambda public, vector: public.add(vector, vector),
    "an own plaintext": lambda public, vector: [public.n + 1, *vector[1:]],
}


@pytest.mark.parametrize("name", NO_VECTORS)
def test_a_vector_that_is_none_names_its_holder(
    lab: World, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    assert cheat(lab, monkeypatch, NO_VECTORS[name]).party == "market"


@pytest.mark.parametrize("name", FOREIGN_VECTORS)
def test_a_vector_under_another_mask_decodes_to_nothing(
    lab: World, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    error = cheat(lab, monkeypatch, FOREIGN_VECTORS[name])
    assert error.party == "bureau or market"
    assert "do not fit together" in error.what


def test_a_bystander_can_neither_refuse_nor_answer_for_a_holder(lab: World) -> None:
    broker = RawRequester(lab, "broker")
    requests: list[bytes] = []

    def meddle(sender: str, recipient: str, data: bytes) -> list[bytes]:
        if sender == "market":  # the digest is public: it is in the log
            digest = bytes.fromhex(lab.events()[0].event.correlation)
            for message in (
                ScoreMessage(refusal=ScoreRefusal(digest=digest, code="unavailable")),
                ScoreMessage(answer=ScoreAnswer(digest=digest, ciphertexts=b"x")),
            ):
                requests.append(digest)
                broker.send("bank", message)
        del recipient
        return [data]

    lab.wiretap = meddle
    scores = lab.nodes["bank"].desk.ask(NAMES, purpose="pre_loan", consent="")
    assert [each.score for each in scores] == [plain_score(name) for name in NAMES]
    assert len(requests) == 2


def test_a_refusal_with_a_code_of_its_own_shows_nothing_of_it(lab: World) -> None:
    lab.nodes["market"].stop()
    market = RawRequester(lab, "market")

    def refuse(sender: str, data: bytes) -> None:
        del sender, data
        digest = bytes.fromhex(lab.events()[0].event.correlation)
        text = "<b>call 555</b>"
        refusal = ScoreRefusal(digest=digest, code=text, reason=text)
        market.send("bank", ScoreMessage(refusal=refusal))

    lab.recipients["market"] = refuse
    with pytest.raises(ScoringError) as caught:
        lab.nodes["bank"].desk.ask(NAMES, purpose="pre_loan", consent="")
    lab.nodes["market"].start()
    assert caught.value.party == "market"
    assert "555" not in str(caught.value)
