"""A node's chain: continued after a restart, never forked, never doubled."""

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from tests.unit.tlog.sample_log import NOW_MS, Parties, SampleLog
from veilscore.keys.errors import LogStoreError, ProofError
from veilscore.keys.tlog.chain import ActorChain, OwnEvent
from veilscore.keys.tlog.database import Database
from veilscore.keys.tlog.events import open_event
from veilscore.keys.tlog.tlog_proof import TlogProof
from veilscore.v1.audit_pb2 import RunOpened, ScoreDecided, Started

PROOF = TlogProof(5, (bytes(32), bytes(range(32))), "a checkpoint")


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    opened = Database(tmp_path / "events.sqlite")
    yield opened
    opened.close()


@pytest.fixture
def chain(database: Database, parties: Parties) -> ActorChain:
    return open_chain(database, parties)


def open_chain(database: Database, parties: Parties) -> ActorChain:
    return ActorChain(database, parties.signers["bank"], "bank")


def test_events_follow_each_other(chain: ActorChain, log: SampleLog) -> None:
    for at in range(5):
        (leaf,) = chain.extend([Started(version=str(at))], "run", NOW_MS + at)
        chain.confirm([(leaf, log.service.append([leaf])[0])])
    assert chain.pending() == []
    events = [entry.opened.event for entry in log.service.events(actor="bank")]
    assert [event.seq for event in events] == [5, 4, 3, 2, 1]
    assert [event.time_ms - NOW_MS for event in events] == [4, 3, 2, 1, 0]


@pytest.mark.parametrize("arrived", [False, True])
def test_a_crash_before_confirming_neither_breaks_nor_doubles(
    chain: ActorChain, log: SampleLog, database: Database, *, arrived: bool
) -> None:
    (confirmed,) = chain.extend([Started(version="1")], "", NOW_MS)
    chain.confirm([(confirmed, log.service.append([confirmed])[0])])
    (sent,) = chain.extend([Started(version="2")], "", NOW_MS)
    if arrived:
        log.service.append([sent])
    # A second one reads what is on disk, and knows nothing else.
    another = Database(database.path)
    again = open_chain(another, log.parties)
    assert again.pending() == [sent]
    for leaf in again.pending():
        (proof,) = log.service.append([leaf])
        proof.verify(leaf, log.store.key)
        again.confirm([(leaf, proof)])
    log.service.append(again.extend([Started(version="3")], "", NOW_MS))
    assert log.service.size == 3
    another.close()


def test_events_wait_in_order_while_the_log_is_away(
    chain: ActorChain, log: SampleLog
) -> None:
    def make(at: int) -> bytes:
        (leaf,) = chain.extend([ScoreDecided(code=str(at))], "", NOW_MS)
        return leaf

    with ThreadPoolExecutor(4) as threads:
        made = list(threads.map(make, range(20)))
    assert sorted(made) == sorted(chain.pending())
    for leaf in chain.pending():
        chain.confirm([(leaf, log.service.append([leaf])[0])])
    assert log.service.size == 20
    assert chain.pending() == []


def test_an_event_too_large_leaves_no_gap(chain: ActorChain, parties: Parties) -> None:
    with pytest.raises(ProofError, match="over 65535"):
        chain.extend([RunOpened(contract_body=bytes(70_000))], "", NOW_MS)
    (leaf,) = chain.extend([Started()], "", NOW_MS)
    assert open_event(leaf, parties.registry).event.seq == 1


def test_what_was_proven_is_kept_with_its_proof(
    chain: ActorChain, database: Database, parties: Parties
) -> None:
    first, second = chain.extend([Started(), Started()], "", NOW_MS)
    chain.confirm([(first, PROOF)])
    again = open_chain(database, parties)
    assert again.pending() == [second]
    assert again.receipt(1) == again.event(1) == OwnEvent(first, PROOF)
    assert again.receipt(2) is None
    assert again.event(2) == OwnEvent(second)
    assert again.event(3) is None
    assert [*again.after(0)] == [OwnEvent(first, PROOF), OwnEvent(second)]
    assert [*again.after(1)] == [OwnEvent(second)]


class Interrupted(Database):
    """A file to which somebody writes as soon as one query has been answered."""

    then: Callable[[], object] | None = None

    def rows(
        self, types: Sequence[type], query: str, *bound: object
    ) -> list[tuple[Any, ...]]:
        found = super().rows(types, query, *bound)
        if then := self.then:
            self.then = None
            then()
        return found


def test_a_receipt_that_comes_while_events_are_read_hides_none(
    tmp_path: Path, parties: Parties
) -> None:
    database = Interrupted(tmp_path / "events.sqlite")
    chain = open_chain(database, parties)
    first, second = chain.extend([Started(), Started()], "", NOW_MS)
    database.then = lambda: chain.confirm([(first, PROOF)])
    assert [each.leaf for each in chain.after(0)] == [first, second]
    database.then = lambda: chain.confirm([(second, PROOF)])
    found = chain.event(2)
    assert found is not None
    assert found.leaf == second
    assert [*chain.after(0)] == [OwnEvent(first, PROOF), OwnEvent(second, PROOF)]
    database.close()


def test_only_a_pending_event_is_confirmed(chain: ActorChain) -> None:
    (leaf,) = chain.extend([Started()], "", NOW_MS)
    (other,) = chain.extend([Started()], "", NOW_MS)
    chain.confirm([(leaf, PROOF)])
    for stranger in (leaf, b""):
        with pytest.raises(LogStoreError, match="not pending"):
            chain.confirm([(other, PROOF), (stranger, PROOF)])
    assert chain.pending() == [other]


def test_a_file_of_another_party_is_refused(
    chain: ActorChain, database: Database, parties: Parties
) -> None:
    chain.extend([Started()], "", NOW_MS)
    with pytest.raises(LogStoreError, match="another party"):
        ActorChain(database, parties.signers["bureau"], "bureau")


def test_a_file_that_cannot_be_opened_is_named(tmp_path: Path) -> None:
    with pytest.raises(LogStoreError) as caught:
        Database(tmp_path / "missing" / "events.sqlite")
    assert "missing/events.sqlite" in caught.value.place


def test_what_is_written_with_an_event_is_there_if_the_event_is(
    chain: ActorChain, database: Database, parties: Parties
) -> None:
    database.run("CREATE TABLE other (number INTEGER) STRICT")
    chain.extend([Started()], "", NOW_MS)

    def write(number: int, *details: Started | RunOpened) -> None:
        with database.transaction():
            database.run("INSERT INTO other VALUES (?)", number)
            chain.extend(details, "", NOW_MS)

    write(1, Started())
    with pytest.raises(ProofError):
        write(2, Started(), RunOpened(contract_body=bytes(70_000)))
    assert database.rows((int,), "SELECT number FROM other") == [(1,)]
    assert len(chain.pending()) == 2
    assert chain.head()[0] == chain.log.size == 2
    chain.extend([Started()], "", NOW_MS)  # the tree goes on where it was left
    assert open_chain(database, parties).log.size == 3
