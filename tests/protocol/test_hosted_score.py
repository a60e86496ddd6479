"""Hosted scores: right to the point, charged and logged before they leave."""

from collections.abc import Generator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from pathlib import Path

import phe
import pytest

from tests.protocol.hosted_cards import (
    HOLDER,
    LINEAR,
    SCORECARD,
    RawHostedRequester,
    applicants,
    cards,
    hosted,
    plain_score,
)
from tests.protocol.score_cards import entity
from tests.protocol.score_cards import plain_score as joint_plain_score
from tests.protocol.score_world import People, World, world
from veilscore.keys.paillier.private import PrivateKey
from veilscore.models.hosted import Form, HostedCard
from veilscore.models.padded_batch import Batch
from veilscore.node.errors import (
    BadAnswerError,
    HolderRefusedError,
    NoAnswerError,
    NoReceivingKeyError,
    ScoringError,
    TooManyEntitiesError,
)
from veilscore.node.hosting import serving
from veilscore.node.hosting.form_file import digest
from veilscore.node.hosting.query import HostedQuery
from veilscore.node.hosting.requesting import HostedRequest, most_applicants
from veilscore.node.scoring.refusals import QueryRefusedError, Reason
from veilscore.runtime.errors import PeerLostError, UnreachableError
from veilscore.v1.opening_pb2 import CommittedTerms
from veilscore.v1.score_pb2 import HostedQueryBody, ScoreAnswer

PEOPLE = applicants(130)


@pytest.fixture
def hub(tmp_path: Path, people: People) -> Generator[World]:
    with world(tmp_path, people) as running:
        running.node("bank")
        running.node(HOLDER, hosted=cards())
        yield running


def rows(form: Form, count: int = len(PEOPLE)) -> list[list[int]]:
    return [form.fill_in(applicant) for applicant in PEOPLE[:count]]


def ask(
    hub: World, form: Form, count: int = 5, party: str = "bank"
) -> list[int | float]:
    answered = hub.nodes[party].desk.ask_hosted(
        form, rows(form, count), purpose="pre_loan", consent="contract 17"
    )
    return answered.scores


@pytest.mark.parametrize("card", [SCORECARD, LINEAR], ids=["one-hot", "fixed point"])
@pytest.mark.parametrize("count", [1, 130])
def test_hosted_scores_equal_the_plain_card(
    hub: World, card: HostedCard, count: int
) -> None:
    expected = [plain_score(card, applicant) for applicant in PEOPLE[:count]]
    assert ask(hub, card.form, count) == [card.form.score(each) for each in expected]
    assert count == 1 or len({*expected}) > 6


def test_joint_and_hosted_scores_share_a_node(hub: World) -> None:
    hub.node("market")
    (joint,) = (
        hub.nodes["bank"]
        .desk.ask([entity(3)], purpose="pre_loan", consent="contract 17")
        .scores
    )
    assert joint.score == joint_plain_score(entity(3))
    assert ask(hub, SCORECARD.form, 1) == [plain_score(SCORECARD, PEOPLE[0])]


def test_a_requester_that_holds_no_data_may_ask(hub: World) -> None:
    hub.node("broker")
    assert ask(hub, SCORECARD.form, 3, "broker") == ask(hub, SCORECARD.form, 3)


def test_many_threads_may_ask_at_once(hub: World) -> None:
    expected = [plain_score(SCORECARD, applicant) for applicant in PEOPLE[:7]]
    with ThreadPoolExecutor(5) as pool:
        for scores in pool.map(partial(ask, hub, SCORECARD.form), [7] * 10):
            assert scores == expected


def test_an_answer_names_the_request_as_the_log_does(hub: World) -> None:
    for form in (SCORECARD.form, LINEAR.form):
        answered = hub.nodes["bank"].desk.ask_hosted(
            form, rows(form, 2), purpose="pre_loan", consent="contract 17"
        )
        assert len(answered.scores) == 2
        of_it = hub.events()[-3:]
        assert {each.event.correlation for each in of_it} == {answered.request}


def test_an_answer_leaves_once_the_log_holds_what_became_of_it(hub: World) -> None:
    """The request may leave while the log is still at proving it."""
    seen: list[tuple[str, str]] = []

    def look(sender: str, recipient: str, data: bytes) -> list[bytes]:
        del recipient
        kinds = " ".join(each.kind for each in hub.events(actor=sender))
        seen.append((sender, kinds))
        return [data]

    hub.wiretap = look
    ask(hub, SCORECARD.form)
    assert [sender for sender, _ in seen] == ["bank", HOLDER]
    assert seen[1] == (HOLDER, "score_decided score_answered")


def test_the_log_holds_commitments_that_the_parties_can_open(hub: World) -> None:
    ask(hub, SCORECARD.form)
    requested, decided, answered = [each.event for each in hub.events()]
    query = bytes.fromhex(requested.correlation)
    assert {decided.correlation, answered.correlation} == {requested.correlation}
    told = requested.score_requested
    assert told.model == digest(SCORECARD.form)
    assert list(told.holders) == [HOLDER]
    assert (told.purpose, told.entities_bucket) == ("pre_loan", 8)
    bank = hub.nodes["bank"].openings
    kept = bank.of(query)
    bank.terms(kept).check(told.terms)
    terms = CommittedTerms.FromString(bank.terms(kept).data)
    assert (terms.hosted, terms.entities) == (True, 1)
    body = HostedQueryBody.FromString(terms.query)
    assert (body.applicants, body.nonce, body.ciphertexts) == (5, b"", b"")
    row = bank.entity(kept, 0)
    row.check(1, told.entities)
    assert (decided.score_decided.allowed, decided.score_decided.model) == (
        True,
        digest(SCORECARD.form),
    )
    holder = hub.nodes[HOLDER].openings
    answer = holder.answer(holder.of(query))
    answer.check(answered.score_answered.commitment)
    same = holder.entity(holder.of(query), 0)
    assert same.opening.data == row.opening.data
    same.check(1, decided.score_decided.entities)
    assert answered.score_answered.ciphertexts == 1
    assert answered.score_answered.paillier_bits == 2048


def test_the_budget_is_charged_before_the_answer_leaves(hub: World) -> None:
    ledger = hub.nodes[HOLDER].ledger
    assert SCORECARD.form.bits == 11
    spent: list[int] = []

    def look(sender: str, recipient: str, data: bytes) -> list[bytes]:
        del recipient
        if sender == HOLDER:
            spent.append(ledger.spent("bank", "farm credit"))
        return [data]

    hub.wiretap = look
    for _ in range(2):
        ask(hub, SCORECARD.form)
    charge = 5 * 11 + 1
    assert spent == [charge, 2 * charge]
    assert ledger.spent("bank", "linear") == 0
    assert ledger.spent("broker", "farm credit") == 0


def test_a_budget_is_spent_to_the_last_bit_also_over_a_restart(
    tmp_path: Path, people: People
) -> None:
    charge = 5 * 11 + 1
    with world(tmp_path, people) as hub:
        hub.node("bank")
        hub.node("broker")
        node = hub.node(HOLDER, hosted=cards(hosted(budget_bits=3 * charge - 1)))
        ask(hub, SCORECARD.form)
        ask(hub, SCORECARD.form)
        for _ in range(2):
            with pytest.raises(HolderRefusedError) as caught:
                ask(hub, SCORECARD.form)
            assert caught.value.reason == "budget-spent"
            node.stop()
            node.start()
        assert node.ledger.spent("bank", "farm credit") == 2 * charge
        ask(hub, SCORECARD.form, 4)  # which 4 * 11 + 1 bits are left for
        ask(hub, SCORECARD.form, party="broker")  # has a budget of its own


def test_an_answer_that_is_not_made_costs_nothing(
    hub: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise OSError("the process is gone")

    node = hub.nodes[HOLDER]
    monkeypatch.setattr(node.workers, "weighted_sums", fail)
    with pytest.raises(HolderRefusedError) as caught:
        ask(hub, SCORECARD.form)
    assert caught.value.reason == "unavailable"
    assert node.ledger.spent("bank", "farm credit") == 0


@pytest.mark.parametrize("checks_passed", [0, 1])
def test_an_answer_that_is_made_too_late_is_not_charged(
    hub: World, monkeypatch: pytest.MonkeyPatch, checks_passed: int
) -> None:
    """Neither if it is late before the charge nor after."""
    checks: list[int] = []

    def late(deadline: int, now: float) -> None:
        del now
        checks.append(deadline)
        if len(checks) > checks_passed:
            raise QueryRefusedError(Reason.EXPIRED)

    monkeypatch.setattr(serving, "check_deadline", late)
    with pytest.raises(HolderRefusedError) as caught:
        ask(hub, SCORECARD.form)
    assert caught.value.reason == "expired"
    assert hub.nodes[HOLDER].ledger.spent("bank", "farm credit") == 0


def test_without_the_log_nothing_is_answered_or_charged(
    hub: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    hub.log_down = True
    with pytest.raises(UnreachableError):
        ask(hub, SCORECARD.form)
    assert hub.nodes[HOLDER].ledger.spent("bank", "farm credit") == 0
    hub.log_down = False

    def away(_: bytes) -> None:
        raise UnreachableError("the coordinator does not answer")

    monkeypatch.setattr(hub.nodes[HOLDER].receipts, "prove", away)
    with pytest.raises(HolderRefusedError) as caught:
        ask(hub, SCORECARD.form)
    assert caught.value.reason == "log-unreachable"
    assert hub.nodes[HOLDER].ledger.spent("bank", "farm credit") == 0


def test_neither_hub_nor_log_nor_disk_sees_a_feature_or_a_consent(hub: World) -> None:
    seen: list[bytes] = []

    def look(sender: str, recipient: str, data: bytes) -> list[bytes]:
        del sender, recipient
        seen.append(data)
        return [data]

    hub.wiretap = look
    ask(hub, SCORECARD.form)
    seen += [each.leaf for each in hub.events()]
    assert len(seen) == 2 + 3
    assert not any(b"contract" in data or b"income" in data for data in seen)


def test_the_same_applicant_is_never_encrypted_or_answered_twice_alike(
    hub: World,
) -> None:
    bank = RawHostedRequester(hub)
    bodies = [bank.query(SCORECARD.form, rows(SCORECARD.form, 1)) for _ in range(3)]
    assert len({body.ciphertexts for body in bodies}) == 3
    again = HostedQueryBody()
    again.CopyFrom(bodies[0])
    again.nonce = bytes(16)
    one, two = (bank.residues(body) for body in (bodies[0], again))
    assert one != two
    mask = (1 << SCORECARD.form.bits) - 1
    assert one[0] & mask == two[0] & mask


def test_a_bank_with_plain_python_paillier_gets_the_same_scores(
    tmp_path: Path, people: People
) -> None:
    """Key, encryption and decryption are phe's; packing and the proof are ours."""
    public, private = phe.generate_paillier_keypair(n_length=2048)
    people = people.with_paillier("bank", PrivateKey.from_phe(private))
    with world(tmp_path, people) as hub:
        hub.node(HOLDER, hosted=cards())
        bank = RawHostedRequester(hub)
        bits, filled = LINEAR.form.bits, rows(LINEAR.form, 40)
        body = bank.query(LINEAR.form, filled)
        body.ciphertexts = b"".join(
            public.encrypt(
                sum(value << bits * slot for slot, value in enumerate(column))
            )
            .ciphertext()
            .to_bytes(2 * 2048 // 8, "big")
            for column in zip(*filled, strict=True)
        )
        reply = bank.ask_hosted(body)
    residue = private.raw_decrypt(int.from_bytes(reply.answer.ciphertexts))
    offset = 1 << bits - 1
    found = [(residue >> bits * slot) % (2 * offset) - offset for slot in range(40)]
    assert found == [plain_score(LINEAR, applicant) for applicant in PEOPLE[:40]]


def test_who_cannot_ask_is_told_why(hub: World) -> None:
    form = SCORECARD.form
    with pytest.raises(ScoringError, match="no Paillier key"):
        ask(hub, form, party=HOLDER)
    with pytest.raises(ScoringError, match="this node's own"):
        ask(hub, replace(form, holder="bank"))
    with pytest.raises(ScoringError, match="no applicant"):
        ask(hub, form, 0)
    with pytest.raises(NoReceivingKeyError, match="market: has published no valid"):
        ask(hub, replace(form, holder="market"))
    wide = most_applicants(form, 2048) + 1
    with pytest.raises(TooManyEntitiesError, match=f"{wide - 1} fit"):
        hub.nodes["bank"].desk.ask_hosted(
            form, [[0] * form.inputs] * wide, purpose="pre_loan", consent=""
        )
    assert hub.events() == []


def test_as_many_applicants_as_fit_one_query_are_scored(hub: World) -> None:
    """All ciphertexts of the largest query fit an envelope."""
    form = SCORECARD.form
    most = most_applicants(form, 2048)
    body = RawHostedRequester(hub).crafted(
        form, [0] * form.inputs * len(Batch(1 << 2047, form.bits, most).sizes), most
    )
    assert 980_000 < len(HostedQuery.of(body).raw) < 1_010_000


def test_an_answer_that_does_not_come_or_whose_sender_is_lost_is_no_score(
    hub: World,
) -> None:
    desk = hub.nodes["bank"].desk
    hub.wiretap = lambda sender, recipient, data: []  # noqa: ARG005 - nothing arrives
    with pytest.raises(NoAnswerError, match=HOLDER):
        desk.ask_hosted(
            SCORECARD.form,
            rows(SCORECARD.form, 1),
            purpose="pre_loan",
            consent="",
            timeout_s=0.2,
        )

    def lose(sender: str, recipient: str, data: bytes) -> list[bytes]:
        del sender, recipient, data
        desk.on_lost(HOLDER, "it has left")
        return []

    hub.wiretap = lose
    with pytest.raises(PeerLostError, match="it has left"):
        ask(hub, SCORECARD.form)


def test_only_the_holders_own_answer_to_this_query_counts(hub: World) -> None:
    bank = RawHostedRequester(hub)
    query, other = (
        HostedQuery.of(bank.query(SCORECARD.form, rows(SCORECARD.form, 2)))
        for _ in range(2)
    )
    request = HostedRequest(query, SCORECARD.form, bank.public)
    answer = bank.ask_hosted(query.body).answer
    request.add("market", ScoreAnswer(digest=b"anything"))
    assert list(request.missing) == [HOLDER]
    with pytest.raises(BadAnswerError, match="another query"):
        request.add(HOLDER, ScoreAnswer(digest=other.digest))
    for blob in (b"", answer.ciphertexts * 2, answer.ciphertexts[:-1], bytes(512)):
        with pytest.raises(BadAnswerError):
            request.add(HOLDER, ScoreAnswer(digest=query.digest, ciphertexts=blob))
    request.add(HOLDER, answer)
    assert not request.missing
    found = request.scores(bank.private.decrypt(request.ciphertexts))
    assert found == [plain_score(SCORECARD, each) for each in PEOPLE[:2]]
