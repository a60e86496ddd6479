"""Receipts: an event counts once the log has proved that it holds it."""

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.unit.tlog.sample_log import NOW_MS, Parties
from tests.unit.tlog.witnessed_log import WitnessedLog
from veilscore.keys.errors import ProofError, QuorumError
from veilscore.keys.tlog.chain import ActorChain
from veilscore.keys.tlog.database import Database
from veilscore.keys.tlog.events import MOST_TOGETHER, read_event
from veilscore.keys.tlog.log_policy import LogPolicy
from veilscore.node.log.receipts import Receipts
from veilscore.runtime.errors import UnreachableError
from veilscore.v1.audit_pb2 import Started
from veilscore.v1.hub_pb2 import AppendResponse, EventProof


class Desk:
    """A chain of the bank's, a log that can be away, and the receipts between."""

    def __init__(self, folder: Path, grace_s: float = 0) -> None:
        self.log = WitnessedLog(folder, Parties.generate())
        signer = self.log.parties.signers["bank"]
        self.database = Database(folder / "events.sqlite")
        self.chain = ActorChain(self.database, signer, "bank")
        self.away = False
        self.lie = 0
        self.proven = MOST_TOGETHER
        self._cosigned = 0
        self.calls = 0
        self.now = NOW_MS / 1000
        self.witnessed = True
        self.grace_s = grace_s
        self.receipts = self.made()

    def made(self) -> Receipts:
        """Return the receipts of a process that has just started."""
        return Receipts(
            self.chain,
            self.append,
            self.log.policy,
            lambda: self.now,
            grace_s=self.grace_s,
        )

    def append(self, leaves: Sequence[bytes]) -> AppendResponse:
        if self.away:
            raise UnreachableError("the coordinator does not answer")
        self.calls += 1
        self.log.service.append(leaves)
        if self.witnessed:
            self.log.cosign(self._cosigned)
            self._cosigned = self.log.store.size
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

    def close(self) -> None:
        self.database.close()
        self.log.close()

    def versions(self) -> list[str]:
        entries = self.log.service.events(actor="bank")
        return [each.opened.event.started.version for each in reversed(entries)]


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    made = Desk(tmp_path)
    yield made
    made.close()


@pytest.fixture
def patient(tmp_path: Path) -> Iterator[Desk]:
    """A desk that trusts the log's own word for a minute."""
    made = Desk(tmp_path, grace_s=60)
    yield made
    made.close()


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


def test_a_recorded_event_leaves_its_receipt(desk: Desk) -> None:
    desk.receipts.record(*(Started(version=v) for v in "12"), correlation="")
    for seq, version in ((1, "1"), (2, "2")):
        found = desk.chain.receipt(seq)
        assert found is not None
        assert found.proof is not None
        found.proof.verify(found.leaf, desk.log.store.key)
        desk.log.policy.open(found.proof.checkpoint)
        assert read_event(found.leaf).event.started.version == version
    assert desk.receipts.unwitnessed == 0


def test_without_witnesses_nothing_is_recorded(desk: Desk) -> None:
    desk.witnessed = False
    with pytest.raises(QuorumError, match="too few witnesses"):
        desk.receipts.record(Started(version="1"), correlation="")
    assert len(desk.chain.pending()) == 1
    assert desk.chain.receipt(1) is None
    desk.witnessed = True
    desk.receipts.catch_up()
    assert desk.chain.pending() == []
    assert desk.versions() == ["1"]


def test_for_a_time_of_grace_the_logs_word_is_enough(patient: Desk) -> None:
    patient.witnessed = False
    for version in range(3):
        patient.receipts.record(Started(version=str(version)), correlation="")
        patient.now += 20
    assert patient.versions() == ["0", "1", "2"]
    assert patient.receipts.unwitnessed == 3
    with pytest.raises(QuorumError, match="for 60 s"):
        patient.receipts.record(Started(version="3"), correlation="")
    with pytest.raises(QuorumError):
        patient.receipts.catch_up()
    assert patient.versions() == ["0", "1", "2", "3"]  # it is in the spool and the log
    patient.witnessed = True
    patient.receipts.record(Started(version="4"), correlation="")  # the first returns
    patient.receipts.catch_up()
    assert patient.chain.pending() == []
    assert patient.receipts.unwitnessed == 0
    assert all(patient.chain.receipt(seq) for seq in range(1, 6))


def test_a_restart_gives_no_new_grace(patient: Desk) -> None:
    patient.witnessed = False
    patient.receipts.record(Started(version="1"), correlation="")
    patient.now += 61
    patient.receipts = patient.made()
    with pytest.raises(QuorumError):
        patient.receipts.record(Started(version="2"), correlation="")


def test_what_waits_for_witnesses_is_not_asked_for_again_and_again(
    patient: Desk,
) -> None:
    patient.witnessed = False
    for version in range(3 * MOST_TOGETHER):
        patient.receipts.record(Started(version=str(version)), correlation="")
    assert patient.calls == 3 * MOST_TOGETHER  # each event once
    patient.receipts.catch_up()
    assert (
        patient.calls == 3 * MOST_TOGETHER + 1
    )  # the oldest tell that nothing changed


def test_the_log_must_be_the_policys(desk: Desk) -> None:
    desk.receipts = Receipts(
        desk.chain,
        desk.append,
        LogPolicy.parse(b"quorum none"),
        lambda: desk.now,
        grace_s=60,
    )
    with pytest.raises(ProofError, match="knows no log"):
        desk.receipts.record(Started(version="1"), correlation="")
