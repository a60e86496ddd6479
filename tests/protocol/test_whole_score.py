"""Scores of a whole model: one holder's, told to who asked and to nobody else."""

import math
from collections.abc import Callable, Generator
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, cast

import numpy as np
import pytest

from tests.protocol.hosted_cards import hosted
from tests.protocol.joint_scores import NAMES
from tests.protocol.raw_requester import RawRequester
from tests.protocol.score_cards import HOLDERS, ROWS, Row, entity
from tests.protocol.score_world import SETTINGS, Node, People, World, world
from tests.protocol.whole_cards import (
    WHOLE,
    all_members,
    member_node,
    plain_scores,
    whole_card,
    whole_manifest,
    written,
)
from veilscore.keys import files
from veilscore.keys.entity_ids import EntityKind
from veilscore.models.hosted import Applicant
from veilscore.node.errors import (
    ConsentError,
    HolderRefusedError,
    ManifestError,
    NoModelError,
    ScoringError,
    WhichHolderError,
)
from veilscore.node.hosting.card_file import read_card
from veilscore.node.hosting.cards import HostedCards
from veilscore.node.hosting.trained_card import encode
from veilscore.node.operator import OperatorView
from veilscore.node.scoring.answers import Scores
from veilscore.node.scoring.requester import EntityScore
from veilscore.v1.score_pb2 import ScoreQueryBody

if TYPE_CHECKING:
    from veilscore.node.service import NodeService


@pytest.fixture
def hub(tmp_path: Path, people: People) -> Generator[World]:
    with all_members(tmp_path, people) as running:
        yield running


def ask(
    hub: World, names: list[str], holder: str | None = None, party: str = "bank"
) -> Scores[EntityScore]:
    return hub.nodes[party].desk.ask(
        names, holder=holder, purpose="pre_loan", consent="contract 17"
    )


def points(answered: Scores[EntityScore]) -> list[int | None]:
    return [each.score for each in answered.scores]


def outsider(hub: World) -> Node:
    """Attach a bank that was in no run and has no model."""
    node = Node(hub, "broker", SETTINGS, None)
    node.start()
    hub.nodes["broker"] = node
    return node


@pytest.mark.parametrize("holder", ["bureau", "market"])
def test_two_hundred_scores_equal_the_plain_card_of_the_holder_that_was_asked(
    hub: World, holder: str
) -> None:
    answered = ask(hub, NAMES, holder)
    assert points(answered) == plain_scores(holder, NAMES)
    assert points(answered) != plain_scores("bank", NAMES)
    known = [each.known for each in answered.scores]
    assert known == [name in ROWS["bank"] for name in NAMES]
    for each in answered.scores:
        assert each.score is not None
        assert each.probability_of_default is not None
        odds = 20 * 2 ** ((each.score - 600) / 40)
        assert math.isclose(each.probability_of_default, 1 / (1 + odds), rel_tol=1e-9)


def test_only_the_holder_that_was_asked_hears_of_it(hub: World) -> None:
    recipients: list[str] = []

    def look(sender: str, recipient: str, data: bytes) -> list[bytes]:
        del sender
        recipients.append(recipient)
        return [data]

    hub.wiretap = look
    answered = ask(hub, NAMES[:4], "market")
    assert recipients == ["market", "bank"]
    requested, decided, told = hub.events()
    assert list(requested.event.score_requested.holders) == ["market"]
    assert (decided.event.actor, told.event.actor) == ("market", "market")
    assert decided.event.score_decided.allowed
    correlations = {each.event.correlation for each in (requested, decided, told)}
    assert correlations == {answered.request}


def test_a_member_scores_at_home_and_nothing_leaves(hub: World) -> None:
    """Also one that has no Paillier key, and so could not ask."""

    def look(sender: str, recipient: str, data: bytes) -> list[bytes]:
        del recipient, data
        pytest.fail(f"something left {sender}")

    hub.wiretap = look
    for member in ("bank", "bureau"):
        for holder in (None, member):
            answered = ask(hub, NAMES, holder, party=member)
            assert answered.at_home
            assert answered.request == ""
            assert points(answered) == plain_scores(member, NAMES)
            known = [each.known for each in answered.scores]
            assert known == [name in ROWS[member] for name in NAMES]
            odds = [
                20 * 2 ** ((score - 600) / 40) for score in plain_scores(member, NAMES)
            ]
            found = [each.probability_of_default for each in answered.scores]
            assert found == pytest.approx([1 / (1 + each) for each in odds])
    assert hub.events() == []


def test_at_home_a_registered_consent_counts_and_ids_are_normalised(
    hub: World,
) -> None:
    bank = hub.nodes["bank"]
    bank.records.register(
        "contract 17", entity(7), ["pre_loan"], int(hub.now) + 60, b"signed"
    )
    (score,) = ask(hub, ["X:\uff46irm 0007 "]).scores
    assert score.score == plain_scores("bank", [entity(7)])[0]
    with pytest.raises(ConsentError, match="another entity"):
        ask(hub, [entity(8)])
    hub.now += 61
    with pytest.raises(ConsentError):
        ask(hub, [entity(7)])
    with pytest.raises(ScoringError, match="names no entity"):
        ask(hub, [])


def test_what_its_holder_does_not_know_has_no_score_if_the_model_says_so(
    tmp_path: Path, people: People
) -> None:
    cards = {
        member: whole_card(member, {"known_to_all": True})
        for member in ("bank", "bureau")
    }
    with world(tmp_path, people) as hub:
        for member in cards:
            member_node(hub, member, cards=cards)
        for holder in ("bank", "bureau"):
            plain = plain_scores(holder, NAMES[:40])
            assert points(ask(hub, NAMES[:40], holder)) == [
                score if name in ROWS[holder] else None
                for name, score in zip(NAMES, plain, strict=False)
            ]


def test_a_bank_that_was_in_no_run_asks_by_the_manifest_of_a_member(
    hub: World,
) -> None:
    model = hub.nodes["market"].shelf.latest()
    assert model is not None
    broker = outsider(hub)
    added = broker.shelf.add(written(model.manifest), "broker", now=hub.now)
    assert (added.hash, added.card, added.whole) == (model.hash, None, True)
    for holder in HOLDERS:
        answered = ask(hub, NAMES[:30], holder, party="broker")
        assert points(answered) == plain_scores(holder, NAMES[:30])
        assert not any(each.known for each in answered.scores)


def test_a_running_node_asks_of_a_model_as_soon_as_it_was_added(hub: World) -> None:
    """As its pages and its REST interface do, which see the service."""
    broker = outsider(hub)
    service = SimpleNamespace(
        settings=SimpleNamespace(party="broker"),
        shelf=broker.shelf,
        scoring=broker.desk,
    )
    view = OperatorView(cast("NodeService", service))
    entities = [(EntityKind.OPAQUE, "firm 0003")]
    with pytest.raises(NoModelError, match="veilscore node model add"):
        view.ask(entities, None, "bureau", "pre_loan", "contract 17")
    added = view.add_model(written(whole_manifest()))
    assert (added.holders, added.whole, added.run) == (HOLDERS, True, "horizontal run")
    reply = view.ask(entities, None, "bureau", "pre_loan", "contract 17")
    assert reply.model == added.hash
    assert points(reply.answered) == plain_scores("bureau", [entity(3)])


def test_who_must_choose_and_does_not_is_told_the_holders(hub: World) -> None:
    model = hub.nodes["market"].shelf.latest()
    assert model is not None
    outsider(hub).shelf.add(written(model.manifest), "broker", now=hub.now)
    with pytest.raises(WhichHolderError, match="none is named") as caught:
        ask(hub, NAMES[:1], party="broker")
    assert "bank, bureau, market" in caught.value.remedy
    with pytest.raises(WhichHolderError, match="hub has no card") as caught:
        ask(hub, NAMES[:1], "hub")
    assert "bureau, market" in caught.value.remedy
    assert hub.events() == []


def test_the_only_holder_need_not_be_named(tmp_path: Path, people: People) -> None:
    cards = {"bureau": WHOLE["bureau"]}
    with world(tmp_path, people) as hub:
        member_node(hub, "bureau", cards=cards)
        manifest = written(whole_manifest(cards))
        outsider(hub).shelf.add(manifest, "broker", now=hub.now)
        answered = ask(hub, NAMES[:5], party="broker")
        assert points(answered) == plain_scores("bureau", NAMES[:5])


def test_no_holder_of_a_sum_can_be_chosen(hub: World) -> None:
    hub.now += 60
    broker = hub.node("broker")  # of a model that is a sum, which is the newest
    with pytest.raises(WhichHolderError, match="sums over all its holders") as caught:
        ask(hub, NAMES[:1], "bureau", party="broker")
    assert "Name no holder" in caught.value.remedy
    assert broker.shelf.latest() is not None
    assert hub.events() == []


def test_a_holder_answers_alone_only_if_it_agreed_to(
    tmp_path: Path, people: People
) -> None:
    with world(tmp_path, people) as hub:
        member_node(hub, "bank")
        member_node(hub, "bureau", SETTINGS)
        with pytest.raises(HolderRefusedError) as caught:
            ask(hub, NAMES[:3], "bureau")
        assert (caught.value.party, caught.value.reason) == ("bureau", "two-party")


@pytest.mark.parametrize(
    "change", [{"base_points": 700}, {"run": "another"}, {"whole": False}]
)
def test_a_forged_manifest_gets_no_answer(
    hub: World, change: dict[str, object]
) -> None:
    forged = whole_manifest()
    for name, value in change.items():
        setattr(forged, name, value)
    outsider(hub).shelf.add(written(forged), "broker", now=hub.now)
    holder = "bureau" if forged.whole else None
    with pytest.raises(HolderRefusedError) as caught:
        ask(hub, NAMES[:3], holder, party="broker")
    assert caught.value.reason == "unknown-model"


def test_a_member_does_not_lose_its_card_to_its_own_manifest(hub: World) -> None:
    bank = hub.nodes["bank"].shelf
    own = bank.latest()
    assert own is not None
    assert bank.add(written(own.manifest), "bank", now=hub.now + 60) == own
    assert bank.list() == [own]


def test_a_member_without_its_card_may_not_ask_as_if_it_were_none(
    hub: World,
) -> None:
    changed_cards = {**WHOLE, "bank": whole_card("bank", {"seed": 7})}
    other = written(whole_manifest(changed_cards))
    with pytest.raises(ManifestError, match="which is not here") as caught:
        hub.nodes["bank"].shelf.add(other, "bank", now=hub.now)
    assert "backup" in caught.value.remedy


def holders(*names: str) -> Callable[[ScoreQueryBody, RawRequester], None]:
    def put(body: ScoreQueryBody, bank: RawRequester) -> None:
        body.holders[:] = names
        keys = [bank.peers[name].digest for name in (*names, "bank")]
        body.receiving_keys[:] = keys

    return put


@pytest.mark.parametrize(
    ("change", "code"),
    [
        (holders("bureau"), ""),
        (holders("market"), "wrong-holders"),
        (holders("bureau", "market"), "wrong-holders"),
        (holders("bank", "bureau", "market"), "wrong-holders"),
        (holders("bureau", "bureau"), "wrong-holders"),
        (holders("bank"), "wrong-holders"),
        (holders(), "wrong-holders"),
    ],
)
def test_a_holder_answers_only_where_it_alone_is_asked(
    tmp_path: Path,
    people: People,
    change: Callable[[ScoreQueryBody, RawRequester], None],
    code: str,
) -> None:
    with world(tmp_path, people) as hub:
        for member in ("bureau", "market"):
            member_node(hub, member)
        bank = RawRequester(hub)
        body = bank.body(NAMES[:3], holder="bureau")
        change(body, bank)
        if code:
            assert bank.code("bureau", body) == code
        else:
            assert len(bank.vector("bureau", body)) == 1


def applicant(row: Row) -> Applicant:
    amount, kind = row
    return {"amount": None if math.isnan(amount) else amount, "kind": kind}


def test_hosted_scores_of_a_trained_card_equal_its_points(
    tmp_path: Path, people: People
) -> None:
    """Of all rows of a member, of levels it has not seen, and of missing codes."""
    path = tmp_path / "card.toml"
    files.create(path, encode(WHOLE["bureau"], "joint model"))
    card = read_card(path, "bureau")
    rows = [*ROWS["bureau"].values(), (-99.0, "?"), (1e9, "never seen"), (-40.0, "A")]
    amounts = np.array([amount for amount, _ in rows])
    kinds = [kind for _, kind in rows]
    expected = WHOLE["bureau"].partial({"amount": amounts, "kind": kinds}).tolist()
    form = card.form
    with world(tmp_path, people) as hub:
        hub.node("bank")
        hub.node("bureau", hosted=HostedCards.of([hosted(card)]))
        filled = [form.fill_in(applicant(row)) for row in rows]
        answered = hub.nodes["bank"].desk.ask_hosted(
            form, filled, purpose="pre_loan", consent="contract 17"
        )
        spent = hub.nodes["bureau"].ledger.spent("bank", "joint model")
    assert answered.scores == expected
    assert len({*expected}) > 20
    assert len(rows) * form.bits <= spent <= len(rows) * form.bits + 20
    assert (form.holder, form.card, form.denominator) == ("bureau", "joint model", 1)
