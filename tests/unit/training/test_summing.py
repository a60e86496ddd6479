"""A member answers the coordinator's attempts at a sum, and nothing that is none."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date

import numpy as np
import pytest

from tests.protocol.conduct import Talk
from tests.sample_contract import sample_contract
from veilscore.keys.aggregation.aggregator import Aggregator
from veilscore.keys.aggregation.terms import LONGEST, Pinned, Terms
from veilscore.keys.aggregation.wire import Kind, write
from veilscore.keys.errors import Breach, MisconductError
from veilscore.keys.identity import Signer
from veilscore.keys.paillier.private import PrivateKey
from veilscore.keys.paillier.workers import PaillierWorkers
from veilscore.keys.registry import PartyRecord, Registry, Role
from veilscore.models.horizontal.ports import Words
from veilscore.models.script import Script, Send
from veilscore.node.columns import Columns
from veilscore.node.entities import Entities
from veilscore.node.errors import RefusedError, TrainingError
from veilscore.node.training.summing import Sums
from veilscore.node.training.surroundings import Surroundings
from veilscore.runtime.chunks import MAX_ENVELOPE_BYTES
from veilscore.v1.aggregation_pb2 import (
    AggregationBody,
    MaskedInput,
    SignedAggregation,
    SignedList,
)
from veilscore.v1.training_pb2 import (
    HorizontalTerms,
    RunContract,
    SumBegins,
    SumMessage,
    TrainingMessage,
)

HUB = "coordinator"
COUNTIES = ("county-a", "county-b", "county-c")
SIGNERS = {name: Signer.generate() for name in (*COUNTIES, HUB)}
REGISTRY = Registry(
    1,
    tuple(
        PartyRecord(
            name,
            frozenset({Role.COORDINATOR if name == HUB else Role.DATA_HOLDER}),
            signer.verify_key,
            "",
            date.min,
        )
        for name, signer in SIGNERS.items()
    ),
    SIGNERS[HUB].verify_key,
)
LENGTH = 4
NOTHING = Columns(Entities.of(()), (), np.zeros(0, np.int8), np.zeros(0, np.bool_))


def contract() -> RunContract:
    made = sample_contract(COUNTIES, REGISTRY.fingerprints(), label_holder="")
    made.horizontal.CopyFrom(HorizontalTerms(colluding=1))
    return made


@pytest.fixture(scope="module")
def private() -> PrivateKey:
    return PrivateKey.generate(2048)


@dataclass
class Table:
    """Three members at one sum, and the messages of an honest coordinator."""

    private: PrivateKey
    sums: dict[str, Sums] = field(default_factory=dict[str, Sums])
    talks: dict[str, Talk] = field(default_factory=dict[str, Talk])
    totals: dict[str, Words] = field(default_factory=dict[str, Words])

    def __post_init__(self) -> None:
        agreed = contract()
        body = agreed.SerializeToString()
        for name in COUNTIES:
            self.sums[name] = Sums(self._surroundings(name), agreed, body)

    def ask(self, label: str, vectors: Mapping[str, Words]) -> list[SumMessage]:
        """Let all members begin a sum; return what they tell the coordinator."""
        self.talks = {
            name: Talk(self._keep(name, label, vectors[name])) for name in COUNTIES
        }
        return [_only(talk.begin()) for talk in self.talks.values()]

    def begin(self, round_: int, attempt: int) -> Aggregator:
        """Begin an attempt; return its aggregator, which has everybody's keys."""
        aggregator = Aggregator(self.terms(round_, attempt), SIGNERS[HUB])
        begins = SumMessage(begins=SumBegins(round=round_, attempt=attempt))
        for name in COUNTIES:
            aggregator.take(self.tell(name, begins).signed)
        return aggregator

    def terms(self, round_: int, attempt: int) -> Terms:
        agreed = contract()
        return Terms(
            run=agreed.run,
            round=round_,
            attempt=attempt,
            roster=tuple(Pinned(name, SIGNERS[name].verify_key) for name in COUNTIES),
            aggregator=Pinned(HUB, SIGNERS[HUB].verify_key),
            contract=hashlib.sha256(agreed.SerializeToString()).digest(),
            length=LENGTH,
            colluders=1,
        )

    def pass_on(self, aggregator: Aggregator, said: bytes) -> None:
        """Tell everybody the same, and take all answers."""
        for name in COUNTIES:
            aggregator.take(self.tell(name, SumMessage(signed=said)).signed)

    def make(self, round_: int, attempt: int = 1) -> None:
        """Make a sum from its first message to its last."""
        aggregator = self.begin(round_, attempt)
        self.pass_on(aggregator, aggregator.key_list())
        self.pass_on(aggregator, aggregator.share_list())
        self.pass_on(aggregator, aggregator.survivor_set())
        self.pass_on(aggregator, aggregator.agreement_list())
        total = SumMessage(signed=aggregator.total())
        for name in COUNTIES:
            assert self.hear(name, total) == []

    def tell(self, name: str, message: SumMessage) -> SumMessage:
        """Tell a member something that it answers."""
        return _only(self.hear(name, message))

    def hear(self, name: str, message: SumMessage) -> list[Send]:
        """Tell a member something; return what it sends."""
        return self.talks[name].tell({HUB: TrainingMessage(sum=message)})

    def _keep(self, name: str, label: str, words: Words) -> Script:
        self.totals[name] = yield from self.sums[name].add(label, words)

    def _surroundings(self, name: str) -> Surroundings:
        return Surroundings(
            party=name,
            coordinator=HUB,
            signer=SIGNERS[name],
            registry=REGISTRY,
            private_key=self.private,
            workers=PaillierWorkers(0),
            source=NOTHING,
            send=unused,
            publish=unused,
            directory=lambda _: [],
            clock=lambda: 1.8e9,
            step_timeout_s=1.0,
            min_rows=200,
        )


def unused(*_: object) -> None:
    raise AssertionError("a sum needs the coordinator only")


def _only(sent: list[Send]) -> SumMessage:
    (action,) = sent
    assert action.to == HUB
    return action.message.sum


def vectors(seed: int) -> dict[str, Words]:
    draw = np.random.default_rng(seed)
    return {name: draw.integers(0, 2**64, LENGTH, dtype=np.uint64) for name in COUNTIES}


@pytest.fixture
def table(private: PrivateKey) -> Table:
    return Table(private)


def check_totals(table: Table, given: Mapping[str, Words]) -> None:
    expected = np.sum(list(given.values()), axis=0, dtype=np.uint64)
    for name in COUNTIES:
        np.testing.assert_array_equal(table.totals[name], expected)


def test_sums_follow_one_another(table: Table) -> None:
    for number in (1, 2):
        given = vectors(number)
        wanted = table.ask(f"sum {number}", given)
        assert {(each.wanted.label, each.wanted.length) for each in wanted} == {
            (f"sum {number}", LENGTH)
        }
        table.make(number)
        check_totals(table, given)
    (made,) = {tuple(sums.made) for sums in table.sums.values()}
    assert len(set(made)) == 2


def test_an_attempt_that_failed_is_followed_by_one_with_other_keys(
    table: Table,
) -> None:
    given = vectors(1)
    table.ask("sum", given)
    first = table.begin(1, 1)
    table.pass_on(first, first.key_list())
    abandoned = first.share_list()
    second = table.begin(1, 2)
    # What is left of the first attempt is not heard.
    assert table.hear(COUNTIES[0], SumMessage(signed=abandoned)) == []
    table.pass_on(second, second.key_list())
    table.pass_on(second, second.share_list())
    table.pass_on(second, second.survivor_set())
    table.pass_on(second, second.agreement_list())
    total = SumMessage(signed=second.total())
    for name in COUNTIES:
        assert table.hear(name, total) == []
    check_totals(table, given)


@pytest.mark.parametrize(
    "message",
    [
        SumMessage(begins=SumBegins(round=2, attempt=1)),
        SumMessage(begins=SumBegins(round=1, attempt=0)),
        SumMessage(),
        SumMessage(signed=b"before any attempt"),
    ],
    ids=["another-sum", "no-attempt", "nothing", "too-early"],
)
def test_what_is_no_attempt_at_this_sum_ends_the_run(
    table: Table, message: SumMessage
) -> None:
    table.ask("sum", vectors(1))
    with pytest.raises(RefusedError, match="sum") as caught:
        table.hear(COUNTIES[0], message)
    assert caught.value.party == HUB


def test_a_sum_that_is_made_is_not_made_again(table: Table) -> None:
    table.ask("sum", vectors(1))
    table.make(1)
    table.ask("next", vectors(2))
    with pytest.raises(RefusedError, match="out of turn"):
        table.hear(COUNTIES[0], SumMessage(begins=SumBegins(round=1, attempt=2)))


def test_an_attempt_is_not_begun_twice(table: Table) -> None:
    table.ask("sum", vectors(1))
    table.begin(1, 1)
    with pytest.raises(MisconductError) as caught:
        table.hear(COUNTIES[0], SumMessage(begins=SumBegins(round=1, attempt=1)))
    assert caught.value.breach is Breach.REPLAY


def test_two_lists_of_keys_convict_the_coordinator(table: Table) -> None:
    table.ask("sum", vectors(1))
    aggregator = table.begin(1, 1)
    said = aggregator.key_list()
    table.pass_on(aggregator, said)
    other = write(
        table.terms(1, 1), HUB, SIGNERS[HUB], Kind.KEY_LIST, SignedList(entries=[b"x"])
    )
    with pytest.raises(MisconductError) as caught:
        table.hear(COUNTIES[0], SumMessage(signed=other))
    assert caught.value.party == HUB
    assert len(caught.value.evidence) == 2


def test_a_vector_that_no_envelope_carries_is_refused_at_home(
    table: Table, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("veilscore.node.training.summing.LONGEST", LENGTH - 1)
    with pytest.raises(TrainingError, match="has 4 words") as caught:
        table.ask("bins 1", vectors(1))
    assert caught.value.party == COUNTIES[0]
    assert "fewer columns" in caught.value.remedy


def test_the_longest_vector_fits_into_an_envelope() -> None:
    """With its signature, the message around it and the seal of the envelope."""
    body = AggregationBody(masked=MaskedInput(words=bytes(32)))
    said = SignedAggregation(
        body=body.SerializeToString(), signature=bytes(64), words=bytes(8 * LONGEST)
    )
    message = TrainingMessage(sum=SumMessage(signed=said.SerializeToString()))
    assert message.ByteSize() + (1 << 12) < MAX_ENVELOPE_BYTES
