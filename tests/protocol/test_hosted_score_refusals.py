"""What a host refuses: every code over the whole path, and their order."""

from collections.abc import Callable, Generator, Sequence
from pathlib import Path

import pytest

from tests.protocol.hosted_cards import (
    HOLDER,
    LINEAR,
    PLENTY,
    SCORECARD,
    RawHostedRequester,
    applicants,
    cards,
    hosted,
)
from tests.protocol.score_world import SOON, People, World, world
from veilscore.node.errors import NoOpeningError
from veilscore.node.hosting.form_file import digest
from veilscore.node.hosting.query import HostedQuery as CanonicalHostedQuery
from veilscore.node.scoring.refusals import SENTENCES, Reason
from veilscore.v1.hub_pb2 import AppendResponse
from veilscore.v1.score_pb2 import HostedQuery, HostedQueryBody, ScoreMessage

FORM = SCORECARD.form
ROWS = [FORM.fill_in(applicant) for applicant in applicants(5)]
Change = Callable[[HostedQueryBody], object]


@pytest.fixture
def hub(tmp_path: Path, people: People) -> Generator[World]:
    with world(tmp_path, people) as running:
        running.node(
            HOLDER,
            hosted=cards(hosted(max_applicants=200), hosted(LINEAR, requesters=())),
        )
        yield running


def put(field: str, value: object) -> Change:
    return lambda body: setattr(body, field, value)


def later(seconds: int) -> Change:
    def move(body: HostedQueryBody) -> None:
        body.deadline += seconds

    return move


def moved(seconds: int) -> Change:
    """Ask on a clock that is so far ahead."""

    def move(body: HostedQueryBody) -> None:
        body.asked += seconds
        body.deadline += seconds

    return move


def key(at: int) -> Change:
    def spoil(body: HostedQueryBody) -> None:
        body.receiving_keys[at] = bytes(32)

    return spoil


def modulus(spoil: Callable[[int], int]) -> Change:
    def replace(body: HostedQueryBody) -> None:
        n = spoil(int.from_bytes(body.modulus))
        body.modulus = n.to_bytes((n.bit_length() + 7) // 8)

    return replace


def ciphertexts(spoil: Callable[[bytes, int], bytes]) -> Change:
    """Change the blob; the spoiler gets it and the modulus."""

    def replace(body: HostedQueryBody) -> None:
        body.ciphertexts = spoil(body.ciphertexts, int.from_bytes(body.modulus))

    return replace


CHANGES: dict[str, tuple[Change, str]] = {
    "short nonce": (put("nonce", bytes(15)), "malformed"),
    "short form": (put("form", bytes(31)), "malformed"),
    "one key too few": (lambda body: body.receiving_keys.pop(), "malformed"),
    "one key too many": (
        lambda body: body.receiving_keys.append(bytes(32)),
        "malformed",
    ),
    "a short key": (
        lambda body: body.receiving_keys.__setitem__(0, bytes(31)),
        "malformed",
    ),
    "no applicants": (put("applicants", 0), "malformed"),
    "somebody else's name": (put("requester", "broker"), "not-a-requester"),
    "another form": (put("form", bytes(32)), "unknown-card"),
    "a card for nobody": (put("form", digest(LINEAR.form)), "requester-not-allowed"),
    "another purpose": (put("purpose", "audit"), "purpose-not-allowed"),
    "the holder's key": (key(0), "stale-keys"),
    "the requester's key": (key(1), "stale-keys"),
    "deadline now": (later(-60), "expired"),
    "deadline long ago": (put("deadline", -(2**62)), "expired"),
    "deadline in a quarter": (later(900), "deadline-too-far"),
    "deadline a second too far": (later(241), "deadline-too-far"),
    "asked too long ago": (moved(-301), "clock-skew"),
    "asked on a fast clock": (moved(301), "clock-skew"),
    "asked in another age": (put("asked", -(2**63)), "clock-skew"),
    "asked at no time": (put("asked", 0), "clock-skew"),
    "too many": (put("applicants", 201), "too-many-entities"),
    "a billion": (put("applicants", 2**32 - 1), "too-many-entities"),
    "another modulus": (modulus(lambda n: n + 2), "bad-modulus"),
    "a small modulus": (modulus(lambda n: n >> 1024 | 1), "bad-modulus"),
    "no modulus": (put("modulus", b""), "bad-modulus"),
    "no ciphertexts": (put("ciphertexts", b""), "bad-ciphertexts"),
    "one too few": (ciphertexts(lambda blob, _: blob[512:]), "bad-ciphertexts"),
    "one too many": (
        ciphertexts(lambda blob, _: blob + blob[:512]),
        "bad-ciphertexts",
    ),
    "half of one": (ciphertexts(lambda blob, _: blob[:-256]), "bad-ciphertexts"),
    "a zero": (ciphertexts(lambda blob, _: bytes(512) + blob[512:]), "bad-ciphertexts"),
    "n itself": (
        ciphertexts(lambda blob, n: blob[:-512] + n.to_bytes(512)),
        "bad-ciphertexts",
    ),
    "n squared": (
        ciphertexts(lambda blob, n: blob[:-512] + (n * n).to_bytes(512)),
        "bad-ciphertexts",
    ),
}


@pytest.mark.parametrize("name", CHANGES)
def test_a_query_with_one_flaw_gets_its_code(hub: World, name: str) -> None:
    change, code = CHANGES[name]
    bank = RawHostedRequester(hub)
    body = bank.query(FORM, ROWS)
    change(body)
    reply = bank.ask_hosted(body)
    assert reply.refusal.code == code
    assert reply.refusal.reason == SENTENCES[Reason(code)]
    query = CanonicalHostedQuery.of(body)
    assert reply.refusal.digest == query.digest
    (decided,) = [each.event for each in hub.events(actor=HOLDER)]
    assert not decided.score_decided.allowed
    assert decided.score_decided.code == code
    assert decided.correlation == query.correlation
    # What the log names is a form that is hosted, never bytes that somebody sent.
    known = {b"", digest(FORM), digest(LINEAR.form)}
    assert decided.score_decided.model in known
    node = hub.nodes[HOLDER]
    with pytest.raises(NoOpeningError):
        node.openings.of(query.digest)
    assert node.ledger.spent("bank", FORM.card) == 0


@pytest.mark.parametrize("raw", [b"", b"\xff" * 40, b"\x0a\x10"])
def test_bytes_that_are_no_query_are_malformed(hub: World, raw: bytes) -> None:
    assert RawHostedRequester(hub).hosted_code(raw) == "malformed"


def test_a_second_spelling_of_a_query_is_malformed(hub: World) -> None:
    bank = RawHostedRequester(hub)
    raw = CanonicalHostedQuery.of(bank.query(FORM, ROWS)).raw
    assert bank.hosted_code(raw + b"\xaa\x06\x00") == "malformed"  # unknown field
    assert bank.hosted_code(raw + raw[-6:]) == "malformed"  # when, twice


def test_who_is_no_requester_gets_nothing(hub: World) -> None:
    RawHostedRequester(hub)  # publishes the bank's keys
    hub.nodes[HOLDER].stop()
    hub.nodes[HOLDER].hosted = cards(hosted(requesters=("market",)))
    hub.nodes[HOLDER].start()
    market = RawHostedRequester(hub, "market")
    assert market.hosted_code(market.query(FORM, ROWS)) == "not-a-requester"


def test_a_node_without_hosted_cards_hosts_none(tmp_path: Path, people: People) -> None:
    with world(tmp_path, people) as hub:
        hub.node(HOLDER)
        bank = RawHostedRequester(hub)
        assert bank.hosted_code(bank.query(FORM, ROWS)) == "unknown-card"


def test_a_nonce_is_answered_once_also_after_a_restart(hub: World) -> None:
    bank = RawHostedRequester(hub)
    first, second = bank.query(FORM, ROWS[:2]), bank.query(FORM, ROWS[2:])
    assert bank.ask_hosted(first).HasField("answer")
    second.nonce = first.nonce
    for body in (first, second):
        assert bank.hosted_code(body) == "replayed"
    hub.nodes[HOLDER].stop()
    hub.nodes[HOLDER].start()
    for body in (first, second):
        assert bank.hosted_code(body) == "replayed"
    assert bank.ask_hosted(bank.query(FORM, ROWS)).HasField("answer")


def send_at_once(bank: RawHostedRequester, bodies: list[HostedQueryBody]) -> list[str]:
    """Return the codes of the refusals; an answer has none."""
    for body in bodies:
        raw = CanonicalHostedQuery.of(body).raw
        bank.send(HOLDER, ScoreMessage(hosted=HostedQuery(body=raw)))
    replies = [bank.replies.get(timeout=SOON) for _ in bodies]
    return [reply.refusal.code for reply in replies if reply.HasField("refusal")]


def test_of_copies_at_the_same_time_one_is_answered(hub: World) -> None:
    bank = RawHostedRequester(hub)
    body = bank.query(FORM, ROWS)
    assert send_at_once(bank, [body] * 4) == ["replayed"] * 3
    charge = 5 * FORM.bits + 1
    assert hub.nodes[HOLDER].ledger.spent("bank", FORM.card) == charge


def test_queries_at_the_same_time_share_one_budget(
    tmp_path: Path, people: People
) -> None:
    charge = 5 * FORM.bits + 1
    with world(tmp_path, people) as hub:
        node = hub.node(HOLDER, hosted=cards(hosted(budget_bits=2 * charge)))
        bank = RawHostedRequester(hub)
        bodies = [bank.query(FORM, ROWS) for _ in range(4)]
        assert send_at_once(bank, bodies) == ["budget-spent"] * 2
        assert node.ledger.spent("bank", FORM.card) == 2 * charge


def test_a_charge_that_another_query_made_first_is_a_refusal(
    hub: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Both passed the check before either was charged."""
    ledger = hub.nodes[HOLDER].ledger
    ledger.spend("bank", FORM.card, PLENTY, PLENTY)
    honest = ledger.spent

    def nothing(requester: str, card: str) -> int:
        del requester, card
        return 0

    monkeypatch.setattr(ledger, "spent", nothing)
    honest_spend = ledger.spend

    def late(requester: str, card: str, bits: int, allowed: int) -> None:
        monkeypatch.setattr(ledger, "spent", honest)
        honest_spend(requester, card, bits, allowed)

    monkeypatch.setattr(ledger, "spend", late)
    bank = RawHostedRequester(hub)
    assert bank.hosted_code(bank.query(FORM, ROWS)) == "budget-spent"
    assert ledger.spent("bank", FORM.card) == PLENTY


def test_without_the_log_there_is_no_answer(
    hub: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    bank = RawHostedRequester(hub)
    hub.log_down = True
    assert bank.hosted_code(bank.query(FORM, ROWS)) == "log-unreachable"
    hub.log_down = False
    honest = hub.append

    def stale(leaves: Sequence[bytes]) -> AppendResponse:
        response = honest(leaves)
        response.proofs[-1].index += 1
        return response

    monkeypatch.setattr(hub, "append", stale)
    assert bank.hosted_code(bank.query(FORM, ROWS)) == "log-unreachable"


def test_an_answer_that_took_too_long_does_not_leave(
    hub: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    bank = RawHostedRequester(hub)
    body = bank.query(FORM, ROWS)
    node = hub.nodes[HOLDER]
    honest = node.workers.rerandomise

    def slow(*args: object) -> list[int]:
        hub.now += 120
        return honest(*args)  # type: ignore[arg-type] # as they came

    monkeypatch.setattr(node.workers, "rerandomise", slow)
    assert bank.hosted_code(body) == "expired"


def test_the_first_reason_in_the_fixed_order_is_told(hub: World) -> None:
    """A query with every flaw at once; mend them one by one."""
    bank = RawHostedRequester(hub)
    good, used = bank.query(FORM, ROWS), bank.query(FORM, ROWS)
    assert bank.ask_hosted(used).HasField("answer")
    node = hub.nodes[HOLDER]
    left = PLENTY - node.ledger.spent("bank", FORM.card)
    node.ledger.spend("bank", FORM.card, left, PLENTY)
    mends: list[Change] = [
        put("requester", "broker"),
        put("form", bytes(32)),
        put("purpose", "audit"),
        put("nonce", used.nonce),
        moved(-301),
        later(900),
        key(1),
        put("applicants", 201),
        modulus(lambda n: n + 2),
        put("ciphertexts", b"x"),
    ]
    codes: list[str] = []
    for begin in range(len(mends) + 1):
        body = HostedQueryBody()
        body.CopyFrom(good)
        for spoil in mends[begin:]:
            spoil(body)
        codes.append(bank.hosted_code(body))
    assert codes == [
        "not-a-requester",
        "unknown-card",
        "purpose-not-allowed",
        "replayed",
        "clock-skew",
        "deadline-too-far",
        "stale-keys",
        "too-many-entities",
        "bad-modulus",
        "bad-ciphertexts",
        "budget-spent",
    ]
    assert [Reason(code) for code in codes] == [r for r in Reason if r in codes]
