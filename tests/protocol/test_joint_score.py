"""Joint scores: right to the point, and told to nobody else."""

import math
import time
from collections.abc import Generator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import phe
import pytest

from tests.protocol.joint_scores import NAMES, all_holders, ask
from tests.protocol.raw_requester import RawRequester
from tests.protocol.score_cards import (
    CARDS,
    HOLDERS,
    ROWS,
    card,
    entity,
    manifest,
    plain_partial,
    plain_score,
)
from tests.protocol.score_world import (
    SETTINGS,
    Node,
    People,
    World,
    changed,
    world,
)
from veilscore.keys.errors import EntityIdError
from veilscore.keys.paillier.private import PrivateKey
from veilscore.models.vertical.layout import ScoreLayout
from veilscore.node.errors import (
    HolderRefusedError,
    NoModelError,
    NoReceivingKeyError,
    ScoringError,
    StoppingError,
    TooManyEntitiesError,
    UnknownModelError,
)
from veilscore.node.scoring import desk as desk_module
from veilscore.node.scoring.post import MAX_BYTES
from veilscore.runtime.errors import PeerLostError
from veilscore.v1.envelope_pb2 import Envelope, EnvelopeHeader
from veilscore.v1.score_pb2 import ScoreMessage


@pytest.fixture
def hub(tmp_path: Path, people: People) -> Generator[World]:
    with all_holders(tmp_path, people) as running:
        yield running


def test_two_hundred_scores_equal_the_sum_of_the_plain_cards(hub: World) -> None:
    scores = ask(hub, NAMES)
    assert [each.entity for each in scores] == NAMES
    assert [each.score for each in scores] == [plain_score(name) for name in NAMES]
    assert [each.known for each in scores] == [name in ROWS["bank"] for name in NAMES]
    for each in scores:
        assert each.score is not None
        assert each.probability_of_default is not None
        # 600 points at 20:1, 40 points double the odds.
        odds = 20 * 2 ** ((each.score - 600) / 40)
        assert math.isclose(each.probability_of_default, 1 / (1 + odds), rel_tol=1e-9)


def test_an_entity_that_nobody_knows_falls_into_every_missing_bin(hub: World) -> None:
    (score,) = ask(hub, ["X:no such firm"])
    assert score.score == sum(plain_partial(of, None) for of in CARDS.values())
    assert not score.known


def test_ids_are_normalised_before_anybody_is_asked(hub: World) -> None:
    (score,) = ask(hub, ["X:\uff46irm 0007 "])
    assert (score.entity, score.score) == (entity(7), plain_score(entity(7)))
    for names in ([entity(1), "X: firm 0001"], ["firm 0001"], ["R:1234"]):
        with pytest.raises(EntityIdError, match="entity"):
            ask(hub, names)


def test_a_requester_without_a_card_gets_the_sum_of_all_three(hub: World) -> None:
    hub.node("broker")
    scores = ask(hub, NAMES[:5], party="broker")
    assert [each.score for each in scores] == [plain_score(name) for name in NAMES[:5]]
    assert not any(each.known for each in scores)


def test_the_newest_model_is_asked_unless_another_is_named(hub: World) -> None:
    older = hub.nodes["bank"].shelf.latest()
    assert older is not None
    hub.now += 60
    cards = {party: card(party, "second run") for party in HOLDERS}
    for party, node in hub.nodes.items():
        node.shelve(manifest(*cards.values()), cards[party])
    (newest,) = ask(hub, [entity(3)])
    (named,) = ask(hub, [entity(3)], model=older.hash)
    assert newest.score == plain_score(entity(3), cards)
    assert named.score == plain_score(entity(3)) != newest.score


def test_where_one_holder_answers_alone_it_must_have_agreed(
    tmp_path: Path, people: People
) -> None:
    pair = {party: CARDS[party] for party in ("bank", "bureau")}
    with world(tmp_path, people) as hub:
        hub.node("bank", cards=pair)
        hub.node("bureau", changed(allow_two_party=True), cards=pair)
        scores = ask(hub, NAMES[:10])
        assert [s.score for s in scores] == [plain_score(n, pair) for n in NAMES[:10]]
        hub.nodes["bureau"].stop()
        hub.node("market", cards={party: CARDS[party] for party in ("bank", "market")})
        newest = hub.nodes["market"].shelf.latest()
        assert newest is not None
        hub.nodes["bank"].shelve(
            manifest(CARDS["bank"], CARDS["market"]), CARDS["bank"]
        )
        with pytest.raises(HolderRefusedError) as caught:
            ask(hub, NAMES[:10], model=newest.hash)
        assert (caught.value.party, caught.value.reason) == ("market", "two-party")
        hub.nodes["bureau"].start()


@pytest.mark.parametrize("count", [1, 29, 30, 62, 63])
def test_as_many_scores_as_fit_one_prime_or_one_more(hub: World, count: int) -> None:
    """At 2048 bits up to 29 are decrypted modulo one prime, 62 fill a plaintext."""
    scores = ask(hub, NAMES[-count:])
    assert [s.score for s in scores] == [plain_score(n) for n in NAMES[-count:]]


def test_many_threads_may_ask_at_once(hub: World) -> None:
    with ThreadPoolExecutor(6) as pool:
        batches = [NAMES[start : start + 3] for start in range(0, 36, 3)]
        answers = pool.map(partial(ask, hub), batches)
        for batch, scores in zip(batches, answers, strict=True):
            assert [s.score for s in scores] == [plain_score(name) for name in batch]


def test_answers_are_sealed_to_the_requester_and_name_the_query(hub: World) -> None:
    headers: list[EnvelopeHeader] = []

    def look(sender: str, recipient: str, data: bytes) -> list[bytes]:
        header = EnvelopeHeader.FromString(Envelope.FromString(data).header)
        assert (header.sender, header.recipient) == (sender, recipient)
        headers.append(header)
        return [data]

    hub.wiretap = look
    ask(hub, NAMES[:3])
    assert {header.purpose for header in headers} == {"score"}
    assert {header.step for header in headers} == {hub.events()[0].event.correlation}


@pytest.mark.parametrize(
    ("names", "timeout_s"),
    [(NAMES[:0], 30.0), (["X:a"], 601.0)],
)
def test_a_request_that_no_holder_would_answer_is_not_sent(
    hub: World, names: list[str], timeout_s: float
) -> None:
    desk = hub.nodes["bank"].desk
    with pytest.raises(ScoringError):
        desk.ask(names, purpose="pre_loan", consent="", timeout_s=timeout_s)
    assert hub.events() == []


def test_too_many_entities_are_not_sent(hub: World) -> None:
    with pytest.raises(TooManyEntitiesError, match="1000 are allowed"):
        ask(hub, ["X:a"] * 2000)
    assert hub.events() == []


def test_a_node_without_a_model_says_so(tmp_path: Path, people: People) -> None:
    with world(tmp_path, people) as hub:
        hub.nodes["bank"] = Node(hub, "bank", SETTINGS, None)
        hub.nodes["bank"].start()
        with pytest.raises(NoModelError, match="no model yet"):
            ask(hub, NAMES[:1])


def test_who_cannot_ask_is_told_why(hub: World) -> None:
    with pytest.raises(ScoringError, match="no Paillier key"):
        ask(hub, NAMES[:1], party="bureau")
    with pytest.raises(UnknownModelError, match="this model is not here"):
        ask(hub, NAMES[:1], model=bytes(32))
    del hub.directory["market"]
    with pytest.raises(NoReceivingKeyError, match="market: has published no valid"):
        ask(hub, NAMES[:1])


def test_a_closing_node_lets_go_of_who_waits(hub: World) -> None:
    desk = hub.nodes["bank"].desk
    sent: list[bytes] = []

    def swallow(sender: str, recipient: str, data: bytes) -> list[bytes]:
        del sender, recipient
        sent.append(data)
        if len(sent) == 2:
            pool.submit(desk.close)
        return []

    hub.wiretap = swallow
    with ThreadPoolExecutor(1) as pool, pytest.raises(StoppingError):
        ask(hub, NAMES[:3])


@pytest.mark.parametrize("lost", ["market", "hub"])
def test_a_lost_holder_is_waited_for_no_longer(hub: World, lost: str) -> None:
    """One hears of it at once, not when the answers are due."""
    desk = hub.nodes["bank"].desk

    def swallow(sender: str, recipient: str, data: bytes) -> list[bytes]:
        del sender
        if recipient != "market":
            return [data]
        desk.on_lost("nobody who is asked", "it has left")
        desk.on_lost(lost, "it has left")
        return []

    hub.wiretap = swallow
    with pytest.raises(PeerLostError, match="it has left") as caught:
        ask(hub, NAMES[:3])
    assert caught.value.party == lost


def test_a_bank_with_plain_python_paillier_gets_the_same_scores(
    tmp_path: Path, people: People
) -> None:
    """Key, addition and decryption are phe's; packing and the key's proof are ours."""
    public, private = phe.generate_paillier_keypair(n_length=2048)
    people = people.with_paillier("bank", PrivateKey.from_phe(private))
    with world(tmp_path, people) as hub:
        for party in ("bureau", "market"):
            hub.node(party)
        bank = RawRequester(hub)
        query = bank.body(NAMES)
        width = 2 * 2048 // 8
        vectors: list[list[phe.EncryptedNumber]] = []
        for holder in ("bureau", "market"):
            reply = bank.ask(holder, query)
            blob = reply.answer.ciphertexts
            vectors.append(
                [
                    phe.EncryptedNumber(public, int.from_bytes(blob[at : at + width]))
                    for at in range(0, len(blob), width)
                ]
            )
        sums = [private.decrypt(one + two) for one, two in zip(*vectors, strict=True)]
    residues = [int(packed) % public.n for packed in sums]
    layout = ScoreLayout.plan(public.n)
    peers = layout.unpack(residues, len(NAMES), public.n, "")
    own = [plain_partial(CARDS["bank"], ROWS["bank"].get(name)) for name in NAMES]
    scores = [one + two for one, two in zip(peers, own, strict=True)]
    assert scores == [plain_score(name) for name in NAMES]


def test_a_request_too_large_for_an_envelope_is_told_at_once(hub: World) -> None:
    names = [f"X:{number}{'a' * 2000}" for number in range(1000)]
    with pytest.raises(TooManyEntitiesError, match="Split"):
        ask(hub, names)


def test_keys_are_handed_in_again_until_the_desk_closes(
    hub: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(desk_module, "REPUBLISH_S", 0.05)
    desk = hub.nodes["bureau"].desk
    hub.log_down = True  # a key that is known to the log needs no new entry
    desk.publish_keys()
    for _ in range(2):
        del hub.directory["bureau"]  # as when the hub restarts
        until = time.monotonic() + 10
        while "bureau" not in hub.directory and time.monotonic() < until:
            time.sleep(0.01)
        assert "bureau" in hub.directory
    desk.close()
    del hub.directory["bureau"]
    time.sleep(0.2)
    assert "bureau" not in hub.directory


def test_an_unwanted_message_disturbs_nothing(hub: World) -> None:
    broker = RawRequester(hub, "broker")
    broker.send("bank", ScoreMessage())
    hub.nodes["bank"].desk.on_envelope("market", b"not an envelope")
    hub.nodes["bank"].desk.on_envelope("market", bytes(MAX_BYTES + 1))
    assert len(ask(hub, NAMES[:3])) == 3
