"""What a data holder refuses: every code over the whole path, and their order."""

from collections.abc import Callable, Generator, Sequence
from pathlib import Path

import pytest

from tests.protocol.raw_requester import RawRequester
from tests.protocol.score_cards import (
    CARDS,
    HOLDERS,
    ROWS,
    card,
    columns,
    entity,
    manifest,
)
from tests.protocol.score_world import SOON, People, World, changed, world
from veilscore.keys.paillier.public import PublicKey
from veilscore.node.columns import Columns
from veilscore.node.errors import (
    HolderRefusedError,
    HolderUnavailableError,
    NoOpeningError,
)
from veilscore.node.scoring.query import Query
from veilscore.node.scoring.refusals import SENTENCES, Reason
from veilscore.v1.hub_pb2 import AppendResponse
from veilscore.v1.score_pb2 import ScoreMessage, ScoreQuery, ScoreQueryBody

NAMES = [entity(number) for number in range(5)]
Change = Callable[[ScoreQueryBody], object]


@pytest.fixture
def hub(tmp_path: Path, people: People) -> Generator[World]:
    with world(tmp_path, people) as running:
        for party in ("bureau", "market"):
            running.node(party)
        yield running


def swap_holders(body: ScoreQueryBody) -> None:
    body.holders[:] = reversed(body.holders)


def drop_holder(body: ScoreQueryBody) -> None:
    body.holders[:] = ["bureau"]
    del body.receiving_keys[1]


def add_itself(body: ScoreQueryBody) -> None:
    body.holders.insert(0, "bank")
    body.receiving_keys.insert(0, body.receiving_keys[-1])


def key(at: int) -> Change:
    def spoil(body: ScoreQueryBody) -> None:
        body.receiving_keys[at] = bytes(32)

    return spoil


def entities(*names: str) -> Change:
    def replace(body: ScoreQueryBody) -> None:
        body.entities[:] = names

    return replace


def modulus(spoil: Callable[[int], int]) -> Change:
    def replace(body: ScoreQueryBody) -> None:
        n = spoil(int.from_bytes(body.modulus))
        body.modulus = n.to_bytes((n.bit_length() + 7) // 8)

    return replace


def put(field: str, value: object) -> Change:
    return lambda body: setattr(body, field, value)


def later(seconds: int) -> Change:
    def move(body: ScoreQueryBody) -> None:
        body.deadline += seconds

    return move


def moved(seconds: int) -> Change:
    """Ask on a clock that is so far ahead."""

    def move(body: ScoreQueryBody) -> None:
        body.asked += seconds
        body.deadline += seconds

    return move


CHANGES: dict[str, tuple[Change, str]] = {
    "short nonce": (put("nonce", bytes(15)), "malformed"),
    "no nonce": (put("nonce", b""), "malformed"),
    "short model": (put("model", bytes(31)), "malformed"),
    "one key too few": (lambda body: body.receiving_keys.pop(), "malformed"),
    "no holders": (lambda body: body.ClearField("holders"), "malformed"),
    "somebody else's name": (put("requester", "broker"), "not-a-requester"),
    "another model": (put("model", bytes(32)), "unknown-model"),
    "holders reversed": (swap_holders, "wrong-holders"),
    "a holder missing": (drop_holder, "wrong-holders"),
    "requester as holder": (add_itself, "wrong-holders"),
    "another purpose": (put("purpose", "audit"), "purpose-not-allowed"),
    "our key": (key(0), "stale-keys"),
    "the other holder's key": (key(1), "stale-keys"),
    "the requester's key": (key(2), "stale-keys"),
    "deadline now": (later(-60), "expired"),
    "deadline long ago": (put("deadline", -(2**62)), "expired"),
    "deadline in a quarter": (later(900), "deadline-too-far"),
    "deadline a second too far": (later(241), "deadline-too-far"),
    "asked too long ago": (moved(-301), "clock-skew"),
    "asked on a fast clock": (moved(301), "clock-skew"),
    "asked in another age": (put("asked", -(2**63)), "clock-skew"),
    "asked at no time": (put("asked", 0), "clock-skew"),
    "no entity": (entities(), "bad-entities"),
    "one twice": (entities("X:a", "X:b", "X:a"), "bad-entities"),
    "not canonical": (entities("X: a"), "bad-entities"),
    "not typed": (entities("a"), "bad-entities"),
    "bad check digit": (entities("R:11010519491231002A"), "bad-entities"),
    "too many": (entities(*(f"X:{n}" for n in range(1001))), "too-many-entities"),
    "another modulus": (modulus(lambda n: n + 2), "bad-modulus"),
    "an even modulus": (modulus(lambda n: n + 1), "bad-modulus"),
    "a small modulus": (modulus(lambda n: n >> 1024 | 1), "bad-modulus"),
    "no modulus": (put("modulus", b""), "bad-modulus"),
}


@pytest.mark.parametrize("name", CHANGES)
def test_a_query_with_one_flaw_gets_its_code(hub: World, name: str) -> None:
    change, code = CHANGES[name]
    bank = RawRequester(hub)
    body = bank.body(NAMES)
    change(body)
    reply = bank.ask("bureau", body)
    assert reply.refusal.code == code
    assert reply.refusal.reason == SENTENCES[Reason(code)]
    assert reply.refusal.digest == Query.of(body).digest
    (decided,) = [each.event for each in hub.events(actor="bureau")]
    assert not decided.score_decided.allowed
    assert decided.score_decided.code == code
    assert decided.correlation == Query.of(body).correlation
    with pytest.raises(NoOpeningError):
        hub.nodes["bureau"].openings.of(Query.of(body).digest)


@pytest.mark.parametrize("raw", [b"", b"\xff" * 40, b"\x0a\x10"])
def test_bytes_that_are_no_query_are_malformed(hub: World, raw: bytes) -> None:
    assert RawRequester(hub).code("bureau", raw) == "malformed"


def test_a_second_spelling_of_a_query_is_malformed(hub: World) -> None:
    bank = RawRequester(hub)
    raw = Query.of(bank.body(NAMES)).raw
    assert bank.code("bureau", raw + b"\xaa\x06\x00") == "malformed"  # unknown field
    assert bank.code("bureau", raw + raw[-6:]) == "malformed"  # when, twice


def test_who_is_no_requester_gets_nothing(hub: World) -> None:
    RawRequester(hub)  # publishes the bank's keys
    market = RawRequester(hub, "market")
    assert market.code("bureau", market.body(NAMES)) == "not-a-requester"


def test_only_listed_requesters_are_answered(tmp_path: Path, people: People) -> None:
    with world(tmp_path, people) as hub:
        hub.node("bureau", changed(requesters=("broker",)))
        hub.node("market", changed(requesters=()))
        bank = RawRequester(hub)
        for holder in ("bureau", "market"):
            body = bank.body(NAMES)
            assert bank.code(holder, body) == "requester-not-allowed"


def test_alone_a_holder_answers_only_if_it_agreed(
    tmp_path: Path, people: People
) -> None:
    pair = {party: CARDS[party] for party in ("bank", "bureau")}
    with world(tmp_path, people) as hub:
        hub.node("bureau", cards=pair)
        bank = RawRequester(hub)
        assert bank.code("bureau", bank.body(NAMES)) == "two-party"


def test_a_card_of_another_holder_is_no_card(tmp_path: Path, people: People) -> None:
    with world(tmp_path, people) as hub:
        node = hub.node("bureau")
        hub.node("market")
        hub.now += 1
        others = [card(party, "stolen") for party in HOLDERS]
        model = node.shelve(manifest(*others), others[2])
        bank = RawRequester(hub)
        assert bank.code("bureau", bank.body(NAMES, model)) == "unknown-model"


def test_a_nonce_is_answered_once_also_after_a_restart(hub: World) -> None:
    bank = RawRequester(hub)
    first, second = bank.body(NAMES[:2]), bank.body(NAMES[2:])
    assert bank.ask("bureau", first).HasField("answer")
    second.nonce = first.nonce
    for body in (first, second):
        assert bank.code("bureau", body) == "replayed"
    hub.nodes["bureau"].stop()
    hub.nodes["bureau"].start()
    for body in (first, second):
        assert bank.code("bureau", body) == "replayed"
    # The other holder has not answered it; a fresh nonce is answered.
    assert bank.ask("market", first).HasField("answer")
    assert bank.ask("bureau", bank.body(NAMES)).HasField("answer")


def test_of_two_copies_at_the_same_time_one_is_answered(hub: World) -> None:
    bank = RawRequester(hub)
    query = ScoreQuery(body=Query.of(bank.body(NAMES)).raw)
    for _ in range(4):
        bank.send("bureau", ScoreMessage(query=query))
    replies = [bank.replies.get(timeout=SOON) for _ in range(4)]
    assert sum(reply.HasField("answer") for reply in replies) == 1
    codes = [reply.refusal.code for reply in replies if reply.HasField("refusal")]
    assert codes == ["replayed"] * 3


def test_a_refused_query_may_be_corrected_under_its_nonce(hub: World) -> None:
    bank = RawRequester(hub)
    body = bank.body(NAMES)
    body.purpose = "audit"
    assert bank.code("bureau", body) == "purpose-not-allowed"
    body.purpose = "pre_loan"
    assert bank.ask("bureau", body).HasField("answer")


def test_without_the_log_there_is_no_answer(hub: World) -> None:
    bank = RawRequester(hub)
    hub.log_down = True
    assert bank.code("bureau", bank.body(NAMES)) == "log-unreachable"
    assert hub.events() == []
    hub.log_down = False
    assert bank.ask("bureau", bank.body(NAMES)).HasField("answer")
    told = [each.event.score_decided for each in hub.events() if "decided" in each.kind]
    assert [(each.allowed, each.code) for each in told] == [
        (True, ""),
        (False, "log-unreachable"),
        (True, ""),
    ]


def test_a_log_that_proves_nothing_is_no_log(
    hub: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    bank = RawRequester(hub)
    honest = hub.append

    def stale(leaves: Sequence[bytes]) -> AppendResponse:
        response = honest(leaves)
        response.proofs[-1].index += 1
        return response

    monkeypatch.setattr(hub, "append", stale)
    assert bank.code("bureau", bank.body(NAMES)) == "log-unreachable"


def test_what_fails_inside_stays_inside(tmp_path: Path, people: People) -> None:
    table = columns(ROWS["bureau"])
    lacking = Columns(table.ids, table.features[:1], table.labels, table.holdout)
    with world(tmp_path, people) as hub:
        hub.node("bureau", data=lacking)
        hub.node("market")
        bank = RawRequester(hub)
        reply = bank.ask("bureau", bank.body(NAMES))
        assert reply.refusal.code == "unavailable"
        assert "kind" not in reply.refusal.reason  # the column's name


def test_an_answer_that_took_too_long_does_not_leave(
    hub: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    bank = RawRequester(hub)
    body = bank.body(NAMES)
    node = hub.nodes["bureau"]
    honest = node.workers.encrypt_for

    def slow(public: PublicKey, plaintexts: Sequence[int]) -> list[int]:
        hub.now += 120
        return honest(public, plaintexts)

    monkeypatch.setattr(node.workers, "encrypt_for", slow)
    assert bank.code("bureau", body) == "expired"


def test_the_first_reason_in_the_fixed_order_is_told(hub: World) -> None:
    """A query with every flaw at once; mend them one by one."""
    bank = RawRequester(hub)
    good = bank.body(NAMES)
    used = bank.body(NAMES)
    assert bank.ask("bureau", used).HasField("answer")
    mends: list[tuple[str, Change]] = [
        ("requester", put("requester", "broker")),
        ("model", put("model", bytes(32))),
        ("holders", swap_holders),
        ("purpose", put("purpose", "audit")),
        ("nonce", put("nonce", used.nonce)),
        ("asked", moved(-301)),
        ("deadline", later(900)),
        ("receiving_keys", key(1)),
        ("entities", entities(*(f"X:{n}" for n in range(1001)))),
        ("modulus", modulus(lambda n: n + 2)),
    ]
    codes: list[str] = []
    for begin in range(len(mends)):
        body = ScoreQueryBody()
        body.CopyFrom(good)
        for _, spoil in mends[begin:]:
            spoil(body)
        codes.append(bank.code("bureau", body))
    assert codes == [
        "not-a-requester",
        "unknown-model",
        "wrong-holders",
        "purpose-not-allowed",
        "replayed",
        "clock-skew",
        "deadline-too-far",
        "stale-keys",
        "too-many-entities",
        "bad-modulus",
    ]
    assert [Reason(code) for code in codes] == [r for r in Reason if r in codes]
    assert bank.ask("bureau", good).HasField("answer")


def test_a_refusal_is_shown_with_holder_code_and_our_own_sentence(
    tmp_path: Path, people: People
) -> None:
    with world(tmp_path, people) as hub:
        hub.node("bank")
        hub.node("bureau")
        hub.node("market", changed(purposes=("audit",)))
        with pytest.raises(HolderRefusedError) as caught:
            hub.nodes["bank"].desk.ask(NAMES, purpose="pre_loan", consent="")
    assert caught.value.party == "market"
    assert caught.value.reason == "purpose-not-allowed"
    assert caught.value.code == "holder-purpose-not-allowed"
    assert not isinstance(caught.value, HolderUnavailableError)
    assert SENTENCES[Reason.PURPOSE_NOT_ALLOWED] in str(caught.value)


def test_a_holder_that_may_answer_later_is_told_from_one_that_will_not(
    tmp_path: Path, people: People
) -> None:
    table = columns(ROWS["market"])
    lacking = Columns(table.ids, table.features[:1], table.labels, table.holdout)
    with world(tmp_path, people) as hub:
        hub.node("bank")
        hub.node("bureau")
        hub.node("market", data=lacking)
        with pytest.raises(HolderUnavailableError) as caught:
            hub.nodes["bank"].desk.ask(NAMES, purpose="pre_loan", consent="")
    assert (caught.value.party, caught.value.code) == ("market", "holder-unavailable")
    assert caught.value.remedy.startswith("Ask again")


def test_every_code_has_a_sentence_and_a_test_here() -> None:
    assert set(SENTENCES) == set(Reason)
    both = (Path(__file__), Path(__file__).with_name("test_hosted_score_refusals.py"))
    text = "".join(path.read_text() for path in both)
    assert [reason for reason in Reason if f'"{reason}"' not in text] == []
    assert len({*SENTENCES.values()}) == len(Reason)
