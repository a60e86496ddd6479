"""Attacks on joint scores by the hub, by a holder, by a bystander."""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

import pytest

from tests.conftest import Tell
from tests.protocol.raw_requester import RawRequester
from tests.protocol.score_cards import HOLDERS, entity, plain_score
from tests.protocol.score_world import World, pass_on
from veilscore.keys.paillier.public import PublicKey
from veilscore.node.errors import BadAnswerError, NoAnswerError, ScoringError
from veilscore.v1.envelope_pb2 import Envelope
from veilscore.v1.score_pb2 import (
    ScoreAnswer,
    ScoreMessage,
    ScoreRefusal,
)

NAMES = [entity(number) for number in range(70)]  # more than one plaintext


@pytest.fixture
def lab(hub: World) -> World:
    """Three honest nodes."""
    for party in HOLDERS:
        hub.node(party)
    return hub


def test_m1_a_captured_query_cannot_be_sent_again(lab: World, tell: Tell) -> None:
    captured: list[tuple[str, str, bytes]] = []

    def record(sender: str, recipient: str, data: bytes) -> list[bytes]:
        captured.append((sender, recipient, data))
        return [data]

    lab.wiretap = record
    lab.nodes["bank"].desk.ask(NAMES, purpose="pre_loan", consent="")
    lab.nodes["bureau"].stop()
    lab.nodes["bureau"].start()
    before = _answers(lab)
    lab.wiretap = pass_on
    for sender, recipient, data in captured:
        lab.recipients[recipient](sender, data)
    scores = lab.nodes["bank"].desk.ask(NAMES, purpose="pre_loan", consent="").scores
    assert [each.score for each in scores] == [plain_score(name) for name in NAMES]
    again = _answers(lab) - before - 2  # of the last question
    tell("M1 captured score messages that were answered", again, 0)
    assert captured
    assert again == 0
    assert any(each.kind == "incident" for each in lab.events())


def _answers(lab: World) -> int:
    return sum(each.kind == "score_answered" for each in lab.events())


def test_h2_a_hub_that_changes_an_answer_is_noticed(lab: World, tell: Tell) -> None:
    def flip(sender: str, recipient: str, data: bytes) -> list[bytes]:
        del recipient
        if sender != "market":
            return [data]
        envelope = Envelope.FromString(data)
        sealed = bytearray(envelope.sealed)
        sealed[-40] ^= 1
        envelope.sealed = bytes(sealed)
        return [envelope.SerializeToString()]

    made, error = scores_without_the_market(lab, flip)
    tell("H2 scores made of an answer that the hub changed", made, 0)
    assert error is not None
    assert (made, error.party) == (0, "market")
    assert "did not answer in time" in error.what


def test_h2_a_hub_that_drops_an_answer_leaves_no_score(lab: World, tell: Tell) -> None:
    made, error = scores_without_the_market(
        lab, lambda sender, _, data: [data][: sender != "market"]
    )
    tell("H2 scores made without an answer that the hub dropped", made, 0)
    assert error is not None
    assert (made, error.party) == (0, "market")
    assert "did not answer in time" in error.what


def scores_without_the_market(
    lab: World, tap: Callable[[str, str, bytes], list[bytes]]
) -> tuple[int, NoAnswerError | None]:
    """Return how many scores are made, and what the bank says if none is."""
    lab.wiretap = tap
    desk = lab.nodes["bank"].desk
    try:
        answered = desk.ask(NAMES, purpose="pre_loan", consent="", timeout_s=1.5)
    except NoAnswerError as error:
        return 0, error
    return len(answered.scores), None


def test_h2_a_hub_that_doubles_an_answer_changes_nothing(
    lab: World, tell: Tell
) -> None:
    lab.wiretap = lambda _, __, data: [data, data]
    scores = lab.nodes["bank"].desk.ask(NAMES, purpose="pre_loan", consent="").scores
    right = [plain_score(name) for name in NAMES]
    wrong = sum(each.score != plain for each, plain in zip(scores, right, strict=True))
    tell("H2 scores that a doubled answer changes", f"{wrong} of {len(NAMES)}", 0)
    assert [each.score for each in scores] == right


def test_h2_a_hub_that_swaps_two_answers_makes_no_wrong_score(
    lab: World, tell: Tell
) -> None:
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

    def ask(name: str) -> int | str | None:
        start.wait()
        try:
            answered = desk.ask([name], purpose="pre_loan", consent="", timeout_s=3)
        except ScoringError as error:
            return error.party
        return answered.scores[0].score

    names = [entity(1), entity(2)]
    with ThreadPoolExecutor(2) as pool:
        results = list(pool.map(ask, names))
    # The overtaken answer counts as replayed, so its question stays without one.
    right = [plain_score(name) for name in names]
    wrong = [got for got in results if got not in {*right, "market"}]
    tell("H2 wrong scores of two swapped answers", f"{len(wrong)} of 2", 0)
    assert results in ([right[0], "market"], ["market", right[1]])


Tamper = Callable[[PublicKey, list[int]], list[int]]


def cheat(
    lab: World, monkeypatch: pytest.MonkeyPatch, tamper: Tamper
) -> BadAnswerError | None:
    """Let the market, which signs what it likes, send other ciphertexts.

    Returns how the bank refuses them, None if it makes scores of them.
    """
    workers = lab.nodes["market"].workers
    honest = workers.encrypt_for

    def dishonest(public: PublicKey, plaintexts: Sequence[int]) -> list[int]:
        return tamper(public, honest(public, plaintexts))

    with monkeypatch.context() as patch:
        patch.setattr(workers, "encrypt_for", dishonest)
        try:
            lab.nodes["bank"].desk.ask(NAMES, purpose="pre_loan", consent="")
        except BadAnswerError as error:
            return error
    return None


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


def test_a_vector_that_is_none_names_its_holder(
    lab: World, monkeypatch: pytest.MonkeyPatch, tell: Tell
) -> None:
    errors = {name: cheat(lab, monkeypatch, each) for name, each in NO_VECTORS.items()}
    taken = [name for name, error in errors.items() if error is None]
    tell("C4 scores made of what is no vector", f"{len(taken)} of {len(errors)}", 0)
    assert taken == []
    assert {error and error.party for error in errors.values()} == {"market"}


def test_a_vector_under_another_mask_decodes_to_nothing(
    lab: World, monkeypatch: pytest.MonkeyPatch, tell: Tell
) -> None:
    errors = [cheat(lab, monkeypatch, each) for each in FOREIGN_VECTORS.values()]
    taken = errors.count(None)
    tell("C4 scores made under another mask", f"{taken} of {len(errors)}", 0)
    assert taken == 0
    for error in filter(None, errors):
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
    scores = lab.nodes["bank"].desk.ask(NAMES, purpose="pre_loan", consent="").scores
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
    assert (caught.value.party, caught.value.code) == ("market", "holder-unknown")
    assert "555" not in str(caught.value)
