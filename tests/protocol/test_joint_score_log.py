"""Joint scores and the log: nothing leaves before it, and it shows nobody an id."""

import hashlib
from collections.abc import Generator
from pathlib import Path

import pytest

from tests.protocol.joint_scores import NAMES, all_holders, ask
from tests.protocol.score_cards import (
    entity,
)
from tests.protocol.score_world import (
    People,
    World,
    pass_on,
)
from veilscore.keys.paillier.private import PrivateKey
from veilscore.keys.paillier.workers import PaillierWorkers
from veilscore.keys.tlog.events import read_event
from veilscore.node.errors import HolderRefusedError
from veilscore.node.log.incidents import FOLDER, MOST_A_DAY
from veilscore.node.records.openings import Kept, Openings
from veilscore.node.scoring.requester import JointRequest
from veilscore.runtime.errors import UnreachableError
from veilscore.v1.opening_pb2 import CommittedEntity, CommittedTerms
from veilscore.v1.score_pb2 import ScoreQueryBody


@pytest.fixture
def hub(tmp_path: Path, people: People) -> Generator[World]:
    with all_holders(tmp_path, people) as running:
        yield running


def test_every_step_is_in_the_log_before_its_result_leaves(
    hub: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A request is on disk before it is sent, and proven before it is decrypted."""
    before: list[tuple[str, str]] = []
    bank = hub.nodes["bank"]
    decrypted = JointRequest.decrypted

    def kinds(party: str) -> str:
        return " ".join(each.kind for each in hub.events(actor=party))

    def look(sender: str, recipient: str, data: bytes) -> list[bytes]:
        del recipient
        if sender == "bank":
            waiting = [read_event(leaf).kind for leaf in bank.chain.pending()]
            assert (waiting or [kinds("bank")]) == ["score_requested"]
        else:
            before.append((sender, kinds(sender)))
        return [data]

    def late(
        request: JointRequest, private: PrivateKey, workers: PaillierWorkers
    ) -> list[int]:
        before.append(("decryption", kinds("bank")))
        return decrypted(request, private, workers)

    hub.wiretap = look
    monkeypatch.setattr(JointRequest, "decrypted", late)
    ask(hub, NAMES[:3])
    assert sorted(before) == [
        ("bureau", "score_decided score_answered"),
        ("decryption", "score_requested"),
        ("market", "score_decided score_answered"),
    ]


def test_a_request_that_the_log_does_not_prove_gets_no_score(
    hub: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Though all holders have answered."""

    def away(_: bytes) -> None:
        raise UnreachableError("the coordinator does not answer")

    monkeypatch.setattr(hub.nodes["bank"].receipts, "prove", away)
    with pytest.raises(UnreachableError):
        ask(hub, NAMES[:3])
    answered = [each.kind for each in hub.events() if each.event.actor != "bank"]
    assert sorted(answered) == ["score_answered"] * 2 + ["score_decided"] * 2


def test_the_log_holds_commitments_that_the_parties_can_open(hub: World) -> None:
    ask(hub, NAMES[:3])
    requested, *others = [each.event for each in hub.events()]
    query = bytes.fromhex(requested.correlation)
    assert {each.correlation for each in others} == {requested.correlation}
    assert requested.score_requested.entities_bucket == 4
    assert requested.score_requested.holders == ["bureau", "market"]
    bank = hub.nodes["bank"].openings
    kept = bank.of(query)
    bank.terms(kept).check(requested.score_requested.terms)
    shown = CommittedTerms.FromString(bank.terms(kept).data)
    body = ScoreQueryBody.FromString(shown.query)
    assert (body.purpose, body.consent, body.nonce) == ("pre_loan", "contract 17", b"")
    assert (len(body.entities), shown.entities) == (0, 3)
    _check_entity(bank, kept, requested.score_requested.entities)
    for event in others:
        holder = hub.nodes[event.actor].openings
        kept = holder.of(query)
        if event.HasField("score_answered"):
            holder.answer(kept).check(event.score_answered.commitment)
            assert event.score_answered.paillier_bits == 2048
        else:
            decided = event.score_decided
            assert decided.allowed
            assert decided.model == requested.score_requested.model
            holder.terms(kept).check(decided.terms)
            assert holder.terms(kept).data == bank.terms(bank.of(query)).data
            _check_entity(holder, kept, decided.entities)


def _check_entity(openings: Openings, kept: Kept, root: bytes) -> None:
    shown = openings.entity(kept, 1)
    shown.check(3, root)
    assert CommittedEntity.FromString(shown.opening.data).entity == NAMES[1]


def test_an_answer_names_the_request_as_the_log_does(hub: World) -> None:
    desk = hub.nodes["bank"].desk
    for names in (NAMES[:3], NAMES[:2]):
        answered = desk.ask(names, purpose="pre_loan", consent="contract 17")
        assert [each.entity for each in answered.scores] == names
        of_it = hub.events()[-5:]
        assert {each.event.correlation for each in of_it} == {answered.request}


def test_neither_hub_nor_log_sees_an_id_or_a_consent(hub: World) -> None:
    seen: list[bytes] = []

    def look(sender: str, recipient: str, data: bytes) -> list[bytes]:
        del sender, recipient
        seen.append(data)
        return [data]

    hub.wiretap = look
    ask(hub, NAMES[:3])
    seen += [each.leaf for each in hub.events()]
    assert len(seen) == 4 + 5
    assert not any(b"firm" in data or b"contract" in data for data in seen)
    files = [path for path in hub.folder.rglob("*") if path.is_file()]
    assert any(path.name == "events.sqlite" for path in files)
    assert not any(b"firm 00" in path.read_bytes() for path in files)


def test_two_questions_about_one_entity_share_nothing_in_the_log(hub: World) -> None:
    ask(hub, [entity(1)])
    ask(hub, [entity(1)])
    first, second = (
        each.event.score_requested
        for each in hub.events(actor="bank")
        if each.kind == "score_requested"
    )
    assert first.terms != second.terms
    assert first.entities != second.entities
    assert len({each.event.correlation for each in hub.events()}) == 2


def test_without_the_log_nobody_asks(hub: World) -> None:
    hub.log_down = True
    with pytest.raises(UnreachableError):
        ask(hub, NAMES[:3])
    hub.log_down = False
    assert len(ask(hub, NAMES[:3])) == 3
    kinds = [each.kind for each in hub.events(actor="bank")]
    assert kinds == ["score_requested"] * 2  # the first one reached the log later


def test_an_envelope_that_comes_again_is_an_incident_in_the_log(hub: World) -> None:
    """Queries and answers; with the next events, for nobody waits for the log."""
    seen: list[tuple[str, str, bytes]] = []

    def twice(sender: str, recipient: str, data: bytes) -> list[bytes]:
        seen.append((sender, recipient, data))
        return [data, data]

    hub.wiretap = twice
    ask(hub, NAMES[:3])
    hub.wiretap = pass_on
    ask(hub, NAMES[:3])  # envelopes are opened in order: the copies were before
    for node in hub.nodes.values():
        node.receipts.catch_up()
    kinds = [each.kind for each in hub.events(actor="bureau")]
    assert sorted(kinds[:3]) == ["incident", "score_answered", "score_decided"]
    logged = {
        (each.event.actor, each.event.incident.evidence)
        for each in hub.events()
        if each.kind == "incident"
    }
    assert logged == {
        (recipient, hashlib.sha256(data).digest()) for _, recipient, data in seen
    }
    assert len(logged) == 4
    for party in hub.nodes:
        kept = {
            hashlib.sha256(file.read_bytes()).digest()
            for file in (hub.folder / party / FOLDER).glob("*.envelope")
        }
        assert kept == {digest for actor, digest in logged if actor == party}


def test_a_flood_of_old_envelopes_does_not_fill_the_log(hub: World) -> None:
    copies = 50

    def flood(sender: str, recipient: str, data: bytes) -> list[bytes]:
        return [data] * (copies if (sender, recipient) == ("bank", "market") else 1)

    hub.wiretap = flood
    ask(hub, NAMES[:3])
    hub.wiretap = pass_on
    ask(hub, NAMES[:3])
    receipts = hub.nodes["market"].receipts
    receipts.catch_up()
    found = [each.kind for each in hub.events(actor="market")]
    assert found.count("incident") == MOST_A_DAY
    hub.nodes["market"].crash()
    hub.nodes["market"].open()  # a restart gives no new number
    incidents = hub.nodes["market"].incidents
    assert not incidents.replayed(b"old")
    hub.now -= 3600  # nor does a clock that is set back
    assert not incidents.replayed(b"old")
    hub.now += 3600 + 86_400
    told = [incidents.replayed(b"old") for _ in range(MOST_A_DAY + 2)]
    assert told.count(True) == MOST_A_DAY


@pytest.mark.parametrize("ahead", [-301, 302])
def test_a_clock_that_is_off_is_refused_and_logged(hub: World, ahead: int) -> None:
    ask(hub, NAMES[:1])  # all keys are valid on all clocks
    hub.now += 1000
    hub.ahead["market"] = ahead
    with pytest.raises(HolderRefusedError) as caught:
        ask(hub, NAMES[:3])
    assert caught.value.party == "market"
    assert caught.value.code == "holder-clock-skew"
    requested = [each for each in hub.events() if each.kind == "score_requested"]
    assert caught.value.request == requested[-1].event.correlation
    decided = hub.events(actor="market")[-1].event.score_decided
    assert (decided.allowed, decided.code) == (False, "clock-skew")
    hub.ahead["market"] = 20 if ahead > 0 else -290
    assert len(ask(hub, NAMES[:3])) == 3
