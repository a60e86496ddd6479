"""What members of horizontal runs say to the coordinator has no field to leave in.

The messages are those of real aggregations; each test lets one say one thing more.
"""

from collections.abc import Iterator

import numpy as np
import pytest

from tests.attacks.allowed_fields import PublicKnowledge, allowed_fields
from tests.protocol.aggregation_round import (
    HUB,
    NAMES,
    Attempt,
    terms,
    vectors,
)
from veilscore.keys.aggregation.history import RoundHistory
from veilscore.v1.aggregation_pb2 import AggregationBody, SignedAggregation
from veilscore.v1.audit_pb2 import Event, PrivacySpent, StepDone, SumMade
from veilscore.v1.training_pb2 import (
    HorizontalPrivacy,
    HorizontalTerms,
    JointColumn,
    RunContract,
    SumBegins,
    SumMessage,
    SumWanted,
    TrainingMessage,
)

MEMBERS = NAMES[:3]
KNOWN = PublicKnowledge(
    coordinator=HUB,
    parties=MEMBERS,
    runs=("r1",),
    steps=("join", "bins", "round-1"),
    node_ids=frozenset({7}),
    key_bits=2048,
    version="0.1.0",
    since=1.79e9,
    until=1.79e9 + 100,
)
ALLOWED = allowed_fields(KNOWN)
DIGEST = bytes(range(32))


def said(signed: bytes) -> list[str]:
    """Return the findings about what a member says in a sum."""
    sent = TrainingMessage(sum=SumMessage(signed=signed)).SerializeToString()
    return list(ALLOWED.decode(TrainingMessage, sent))


@pytest.fixture(scope="module")
def sent() -> list[bytes]:
    """Return all that three members send in two rounds."""
    histories = {name: RoundHistory() for name in MEMBERS}
    found: list[bytes] = []
    for number in (1, 2):
        asked = terms(round_=number, length=400)
        attempt = Attempt(asked, vectors(asked), histories)
        attempt.play()
        found += [each for step in attempt.sent.values() for each in step.values()]
    return found


def of_kind(
    sent: list[bytes], kind: str
) -> Iterator[tuple[SignedAggregation, AggregationBody]]:
    for each in sent:
        signed = SignedAggregation.FromString(each)
        body = AggregationBody.FromString(signed.body)
        if body.WhichOneof("content") == kind:
            yield signed, body


def test_what_members_say_in_sums_is_on_the_list(sent: list[bytes]) -> None:
    kinds = ("keys", "shares", "masked", "agreement", "revealed")
    assert [len(list(of_kind(sent, kind))) for kind in kinds] == [6] * 5
    assert [finding for each in sent for finding in said(each)] == []
    wanted = SumWanted(label="r1 round 12", length=400)
    message = TrainingMessage(sum=SumMessage(wanted=wanted))
    assert list(ALLOWED.check(message)) == []


def test_a_vector_without_a_mask_is_found(sent: list[bytes]) -> None:
    for signed, _ in of_kind(sent, "masked"):
        signed.words = np.arange(400, dtype=np.uint64).tobytes()
        (found,) = said(signed.SerializeToString())
        assert found == "veilscore.v1.SignedAggregation.words holds what it may not"


def test_a_share_that_is_not_sealed_is_found(sent: list[bytes]) -> None:
    for signed, body in of_kind(sent, "shares"):
        body.shares.sealed[0].sealed = bytes(86)
        signed.body = body.SerializeToString()
        assert said(signed.SerializeToString()) == [
            "veilscore.v1.SealedShares.sealed holds what it may not"
        ]


@pytest.mark.parametrize(
    ("message", "named"),
    [
        (SumMessage(wanted=SumWanted(label="r1 row 17")), "SumWanted.label holds"),
        (SumMessage(wanted=SumWanted(length=2**31)), "SumWanted.length holds"),
        (SumMessage(begins=SumBegins(round=17)), "SumMessage.begins is not"),
        (SumMessage(signed=b"\xff"), "SignedAggregation cannot be decoded"),
    ],
)
def test_a_member_says_no_more_of_a_sum(message: SumMessage, named: str) -> None:
    (found,) = ALLOWED.check(TrainingMessage(sum=message))
    assert named in found


@pytest.mark.parametrize(
    ("event", "named"),
    [
        (Event(step_done=StepDone(sums=b"17")), "StepDone.sums holds"),
        (Event(sum_made=SumMade(round=4711)), "SumMade.round holds"),
        (Event(sum_made=SumMade(attempt=4711)), "SumMade.attempt holds"),
        (Event(sum_made=SumMade(members=["1001"])), "SumMade.members holds"),
        (Event(sum_made=SumMade(total=bytes(8))), "SumMade.total holds"),
        (Event(privacy_spent=PrivacySpent(delta=0.731)), "PrivacySpent.delta holds"),
        (Event(privacy_spent=PrivacySpent(epsilon=-1)), "PrivacySpent.epsilon holds"),
    ],
)
def test_an_event_of_a_horizontal_run_says_no_more(event: Event, named: str) -> None:
    (found,) = ALLOWED.check(event)
    assert named in found


def test_events_and_the_contract_of_a_horizontal_run_are_on_the_list() -> None:
    made = SumMade(round=3, attempt=1, members=MEMBERS, total=DIGEST)
    contract = RunContract(
        run="r1",
        horizontal=HorizontalTerms(
            columns=[JointColumn(name="sector", text=True, levels=["01", "02"])],
            optimizer="adam",
            rounds=40,
            local_rate=0.05,
            own="intercept",
            privacy=HorizontalPrivacy(clip=1, noise=9.8, count_noise=4.4),
        ),
    )
    for message in (
        Event(sum_made=made),
        Event(privacy_spent=PrivacySpent(epsilon=2.9, delta=1e-5)),
        contract,
    ):
        assert list(ALLOWED.check(message)) == []
