"""The service: who may append what, and what a repeated event is answered."""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from threading import Event
from time import sleep

import pytest

from tests.unit.tlog.sample_log import NOW_MS, SampleLog
from veilscore.coordinator.errors import AppendError
from veilscore.keys.errors import ProofError
from veilscore.keys.tlog.checkpoint import open_checkpoint
from veilscore.keys.tlog.events import ActorHead, OpenedEvent
from veilscore.keys.tlog.export import read_log_document
from veilscore.v1.audit_pb2 import RunClosed, RunOpened, ScoreDecided


def test_an_event_is_answered_with_its_proof(log: SampleLog) -> None:
    for at, signed in enumerate(log.parties.events("bank", 3)):
        (proof,) = log.service.append([signed.leaf])
        assert proof.index == at
        head = proof.verify(signed.leaf, log.store.key)
        assert head.size == at + 1


def test_a_repeated_event_is_answered_with_the_same_proof(log: SampleLog) -> None:
    first, second = log.parties.events("bank", 2)
    (proof,) = log.service.append([first.leaf])
    other = log.parties.events("market", 1)[0]
    log.service.append([other.leaf])
    assert log.service.append([first.leaf]) == [proof]
    log.service.append([second.leaf])
    log.reopen()
    assert log.service.append([first.leaf]) == [proof]
    assert log.service.size == 3


def test_a_gap_is_refused_with_both_numbers_and_the_actor(log: SampleLog) -> None:
    events = log.parties.events("bank", 5)
    log.service.append([events[0].leaf])
    with pytest.raises(
        AppendError, match="event 4 of bank cannot follow its event 1"
    ) as caught:
        log.service.append([events[3].leaf])
    assert caught.value.party == "bank"
    assert caught.value.remedy
    assert log.service.size == 1


def test_a_second_event_of_a_number_is_refused(log: SampleLog) -> None:
    events = log.parties.events("bank", 3)
    for signed in events:
        log.service.append([signed.leaf])
    other = log.parties.event("bank", events[1].head, ScoreDecided(code="other"))
    with pytest.raises(AppendError, match="event 3 of bank is in the log already"):
        log.service.append([other.leaf])
    assert log.service.size == 3


def test_an_event_after_another_one_than_ours_is_refused(log: SampleLog) -> None:
    first = log.parties.events("bank", 1)[0]
    log.service.append([first.leaf])
    fork = log.parties.event("bank", ActorHead(1, bytes(32)))
    with pytest.raises(AppendError, match="event 2 of bank follows another event 1"):
        log.service.append([fork.leaf])


def test_an_unregistered_or_unsigned_event_is_refused(log: SampleLog) -> None:
    leaf = bytearray(log.parties.events("bank", 1)[0].leaf)
    leaf[-1] ^= 1
    with pytest.raises(AppendError, match="does not verify"):
        log.service.append([bytes(leaf)])
    with pytest.raises(AppendError, match="not decodable"):
        log.service.append([b"\xff"])
    assert log.service.size == 0


def test_the_coordinator_keeps_a_chain_of_its_own(log: SampleLog) -> None:
    opened = RunOpened(contract=bytes(32), contract_body=b"{}")
    log.service.append_own(opened, correlation="0a", now_ms=NOW_MS)
    log.reopen()
    closed = RunClosed(completed=True)
    log.service.append_own(closed, correlation="0a", now_ms=NOW_MS + 1)
    event = log.service.event(1).opened.event
    assert (event.actor, event.seq, event.run_closed) == ("hub", 2, closed)
    with pytest.raises(AppendError, match="over 65535"):
        log.service.append_own(
            RunOpened(contract_body=bytes(70_000)), correlation="", now_ms=NOW_MS
        )


def test_events_of_one_call_are_appended_all_or_none(log: SampleLog) -> None:
    first, second, third = (each.leaf for each in log.parties.events("bank", 3))
    with pytest.raises(AppendError, match="event 3 of bank cannot follow"):
        log.service.append([first, third])
    assert log.service.size == 0
    proofs = log.service.append([first, second])
    assert [proof.index for proof in proofs] == [0, 1]
    assert len({proof.checkpoint for proof in proofs}) == 1
    again = log.service.append([second, third])
    assert [proof.index for proof in again] == [1, 2]
    for leaf, proof in zip([second, third], again, strict=True):
        assert proof.verify(leaf, log.store.key).size == 3


@pytest.mark.parametrize("refused", [False, True])
def test_what_arrives_during_a_write_is_written_together(
    log: SampleLog, monkeypatch: pytest.MonkeyPatch, *, refused: bool
) -> None:
    """Under one checkpoint, or one by one if a call among them is refused."""
    writing, go_on = Event(), Event()
    write = log.store.append

    def slow(events: Sequence[OpenedEvent]) -> range:
        writing.set()
        assert go_on.wait(10)
        return write(events)

    monkeypatch.setattr(log.store, "append", slow)
    first, second = log.parties.events("bureau", 2)
    leaves = [log.parties.events(name, 1)[0].leaf for name in ("bank", "market")]
    leaves.append(second.leaf if refused else first.leaf)
    with ThreadPoolExecutor(4) as threads:
        own = threads.submit(
            log.service.append_own, ScoreDecided(), correlation="", now_ms=NOW_MS
        )
        assert writing.wait(10)
        calls = [threads.submit(log.service.append, [leaf]) for leaf in leaves]
        while len(vars(log.service)["_waiting"]) < len(calls):
            sleep(0.01)
        go_on.set()
        own.result()
        if refused:
            with pytest.raises(AppendError, match="event 2 of bureau cannot follow"):
                calls.pop().result()
        proofs = [proof for call in calls for proof in call.result()]
    assert sorted(proof.index for proof in proofs) == list(range(1, len(proofs) + 1))
    assert (len({proof.checkpoint for proof in proofs}) == 1) is not refused
    assert log.service.event(0).opened.event.actor == "hub"
    assert log.service.size == 1 + len(proofs)


def test_threads_append_at_the_same_time(log: SampleLog) -> None:
    def party(name: str) -> None:
        for signed in log.parties.events(name, 25):
            (proof,) = log.service.append([signed.leaf])
            assert proof.verify(signed.leaf, log.store.key).size > proof.index

    def own(_: int) -> None:
        log.service.append_own(ScoreDecided(), correlation="", now_ms=NOW_MS)

    with ThreadPoolExecutor(8) as threads:
        list(threads.map(party, ["bank", "bureau", "market"]))
        list(threads.map(own, range(25)))
    assert log.service.size == 100
    log.reopen()
    for index in range(100):
        leaf = log.service.event(index).opened.leaf
        log.service.inclusion(index).verify(leaf, log.store.key)


def test_static_files_are_those_of_the_log(log: SampleLog) -> None:
    log.fill(260, "bank")
    assert read_log_document(log.service.log_document()) == log.store.key
    head = open_checkpoint(log.service.checkpoint(), log.store.key)
    assert head.size == log.service.size == 260
    assert len(log.service.tile("tile/0/001.p/4")) == 4 * 32
    assert log.service.entries("tile/entries/001.p/4")


@pytest.mark.parametrize("path", ["tile/entries/000", "tile/0/000.p/9", "checkpoint"])
def test_a_path_that_is_no_tile_of_hashes_is_refused(log: SampleLog, path: str) -> None:
    log.fill(3, "bank")
    with pytest.raises(ProofError):
        log.service.tile(path)


@pytest.mark.parametrize("path", ["tile/0/000.p/3", "tile/entries/000", "entries"])
def test_a_path_that_is_no_bundle_is_refused(log: SampleLog, path: str) -> None:
    log.fill(3, "bank")
    with pytest.raises(ProofError):
        log.service.entries(path)


def test_there_is_no_event_beyond_the_end(log: SampleLog) -> None:
    log.fill(3, "bank")
    for index in (-1, 3, 10**19):
        with pytest.raises(ProofError):
            log.service.event(index)
        with pytest.raises(ProofError):
            log.service.inclusion(index)
