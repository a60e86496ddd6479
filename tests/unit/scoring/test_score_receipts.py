"""Receipts: an event counts once the log has proved that it holds it."""

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.unit.tlog.sample_log import NOW_MS, Parties, SampleLog, own_word
from veilscore.keys.errors import ProofError
from veilscore.keys.tlog.chain import ActorChain
from veilscore.keys.tlog.database import Database
from veilscore.keys.tlog.events import MOST_TOGETHER
from veilscore.node.receipts import Receipts
from veilscore.runtime.errors import UnreachableError
from veilscore.v1.audit_pb2 import Started
from veilscore.v1.hub_pb2 import AppendResponse, EventProof


class Desk:
    """A chain of the bank's, a log that can be away, and the receipts between."""

    def __init__(self, folder: Path) -> None:
        self.log = SampleLog(folder, Parties.generate())
        signer = self.log.parties.signers["bank"]
        self.database = Database(folder / "events.sqlite")
        self.chain = ActorChain(self.database, signer, "bank")
        self.away = False
        self.lie = 0
        self.proven = MOST_TOGETHER
        self.calls = 0
        policy = own_word(self.log.store.key)
        self.receipts = Receipts(self.chain, self.append, policy, lambda: NOW_MS / 1000)

    def append(self, leaves: Sequence[bytes]) -> AppendResponse:
        if self.away:
            raise UnreachableError("the coordinator does not answer")
        self.calls += 1
        return AppendResponse(
            proofs=[
                EventProof(
                    index=proof.index + self.lie,
                    checkpoint=proof.checkpoint,
                    path=proof.path,
                )
                for proof in self.log.service.append(leaves)[: self.proven]
            ]
        )

    def versions(self) -> list[str]:
        entries = self.log.service.events(actor="bank")
        return [each.opened.event.started.version for each in reversed(entries)]


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    made = Desk(tmp_path)
    yield made
    made.database.close()
    made.log.store.close()


def test_a_recorded_event_is_in_the_log(desk: Desk) -> None:
    desk.receipts.record(Started(version="1"), correlation="run")
    (entry,) = desk.log.service.events(actor="bank", correlation="run")
    assert entry.opened.event.time_ms == NOW_MS
    assert desk.chain.pending() == []


def test_what_the_log_missed_goes_first(desk: Desk) -> None:
    desk.away = True
    for version in ("1", "2"):
        with pytest.raises(UnreachableError):
            desk.receipts.record(Started(version=version), correlation="")
    assert len(desk.chain.pending()) == 2
    desk.away = False
    desk.receipts.record(Started(version="3"), correlation="")
    assert desk.versions() == ["1", "2", "3"]
    assert desk.chain.pending() == []


def test_what_the_log_missed_is_caught_up_without_another_event(desk: Desk) -> None:
    desk.receipts.catch_up()
    desk.away = True
    with pytest.raises(UnreachableError):
        desk.receipts.record(Started(version="1"), correlation="")
    with pytest.raises(UnreachableError):
        desk.receipts.catch_up()
    desk.away = False
    desk.receipts.catch_up()
    assert desk.versions() == ["1"]
    assert desk.chain.pending() == []


def test_a_proof_that_does_not_hold_is_none(desk: Desk) -> None:
    desk.lie = 1
    with pytest.raises(ProofError):
        desk.receipts.record(Started(version="1"), correlation="")
    assert len(desk.chain.pending()) == 1


def test_a_proof_that_is_missing_is_no_receipt(desk: Desk) -> None:
    desk.proven = 1
    with pytest.raises(ProofError, match="every event"):
        desk.receipts.record(Started(), Started(), correlation="")
    assert len(desk.chain.pending()) == 2


def test_events_of_one_record_stand_side_by_side(desk: Desk) -> None:
    desk.receipts.record(*(Started(version=v) for v in "123"), correlation="run")
    assert desk.calls == 1
    assert desk.versions() == ["1", "2", "3"]


def test_more_events_than_a_call_takes_are_sent_in_several(desk: Desk) -> None:
    desk.away = True
    for version in range(MOST_TOGETHER + 1):
        with pytest.raises(UnreachableError):
            desk.receipts.record(Started(version=str(version)), correlation="")
    desk.away = False
    desk.receipts.catch_up()
    assert desk.calls == 2
    assert desk.versions() == [str(version) for version in range(MOST_TOGETHER + 1)]


def test_threads_do_not_get_into_each_others_way(desk: Desk) -> None:
    def record(version: int) -> None:
        desk.receipts.record(Started(version=str(version)), correlation="")

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(record, range(24)))
    assert sorted(map(int, desk.versions())) == list(range(24))
    assert desk.chain.pending() == []
    assert desk.calls <= 24
