"""A party's own log: a tree of its events, exported, verified and checked like any."""

import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.unit.tlog.sample_log import NOW_MS, Parties
from tests.vectors.tlog import make_tree
from veilscore.keys.errors import AuditError, LogStoreError, ProofError
from veilscore.keys.identity import Signer
from veilscore.keys.tlog.archive import open_export, write_tar
from veilscore.keys.tlog.audit import AuditReport, audit_export
from veilscore.keys.tlog.chain import ActorChain, open_own, own_files, own_key
from veilscore.keys.tlog.checkpoint import open_checkpoint
from veilscore.keys.tlog.database import Database
from veilscore.keys.tlog.events import read_event
from veilscore.keys.tlog.export import plan_export
from veilscore.keys.tlog.fsck import check_file
from veilscore.keys.tlog.note import NoteKey
from veilscore.keys.tlog.origin import own_origin, owner_of
from veilscore.keys.tlog.recon.own_events import OwnEvents
from veilscore.keys.tlog.tlog_proof import TlogProof
from veilscore.v1.audit_pb2 import Started

PROOF = TlogProof(5, (bytes(32),), "a checkpoint")


class Own:
    """The bank's own log in its file, which another table shares."""

    def __init__(self, folder: Path, parties: Parties) -> None:
        self.path = folder / "events.db"
        self.parties = parties
        self.database = Database(self.path)
        self.database.run("CREATE TABLE other (number INTEGER) STRICT")
        self.chain = ActorChain(self.database, parties.signers["bank"], "bank")

    def say(self, count: int, together: int = 1) -> None:
        for _ in range(0, count, together):
            details = [Started(version="1") for _ in range(together)]
            self.chain.extend(details, "", NOW_MS)

    def export(self, path: Path) -> Path:
        with own_files(self.path) as get:
            write_tar(path, plan_export(get).files(get))
        return path

    def audit(self, path: Path) -> AuditReport:
        key = self.parties.signers["bank"].verify_key
        with open_export(self.export(path)) as export:
            return audit_export(export, fingerprint=key.fingerprint)


@pytest.fixture
def own(tmp_path: Path, parties: Parties) -> Iterator[Own]:
    made = Own(tmp_path, parties)
    yield made
    made.database.close()


def test_an_event_is_the_entry_of_its_number(own: Own) -> None:
    own.say(300, together=3)
    with open_own(own.path) as file:
        leaves, note = file.read(0, file.size), file.checkpoint
    assert [read_event(each.leaf).event.seq for each in leaves] == [*range(1, 301)]
    head = open_checkpoint(note, own_key(own.path))
    assert (head.size, head.root) == own.chain.head()
    assert head.root == make_tree.mth([each.leaf for each in leaves])
    assert own.chain.root(7) == make_tree.mth([each.leaf for each in leaves[:7]])
    assert own.chain.log.entry(41).opened.event.seq == 42


def test_an_event_is_stored_once(own: Own) -> None:
    own.say(2)
    (first, second) = own.chain.pending()
    own.chain.confirm([(first, PROOF)])
    assert own.chain.pending() == [second]
    connection = sqlite3.connect(own.path)
    cells = [
        cell
        for (table,) in connection.execute(
            "SELECT name FROM sqlite_master WHERE type = 'table'"
        ).fetchall()
        for row in connection.execute(f"SELECT * FROM {table}").fetchall()  # noqa: S608 - from the line above
        for cell in row
    ]
    connection.close()
    assert cells.count(first) == cells.count(second) == 1


def test_what_is_undone_leaves_the_tree_as_it_was(own: Own) -> None:
    """Also if several calls were a part of the same transaction."""
    own.say(5)
    before = own.chain.head()

    def fail() -> None:
        with own.database.transaction():
            own.say(1)
            own.database.run("INSERT INTO other VALUES (1)")
            own.say(300, together=100)
            assert own.chain.head()[0] == 306
            raise ProofError("something else went wrong")

    with pytest.raises(ProofError):
        fail()
    assert own.chain.head() == before
    assert own.chain.log.size == 5
    own.say(256, together=16)
    assert check_file(own.path, own_key(own.path)).size == 261


def test_a_restart_goes_on_with_the_same_tree(own: Own) -> None:
    own.say(260)
    again = Database(own.path)
    chain = ActorChain(again, own.parties.signers["bank"], "bank")
    chain.extend([Started()], "", NOW_MS)
    again.close()
    report = check_file(own.path, own_key(own.path))
    assert (report.size, report.checkpoints) == (261, 262)


def test_the_own_log_is_exported_and_verifies(own: Own, tmp_path: Path) -> None:
    own.say(300, together=10)
    report = own.audit(tmp_path / "own.tar")
    assert report.actors == {"bank": 300}
    assert report.origin == own_origin("bank", own.parties.signers["bank"].verify_key)
    assert report.size == 300
    assert "own log of bank" in report.remarks[0]


def test_an_export_of_another_party_or_key_is_refused(
    own: Own, tmp_path: Path, parties: Parties
) -> None:
    own.say(3)
    with open_export(own.export(tmp_path / "own.tar")) as export:
        with pytest.raises(AuditError, match="not the pinned one") as caught:
            audit_export(export, fingerprint=parties.fingerprint)
        assert caught.value.step == "log key"
        assert export.names().isdisjoint({"registry.json"})


def test_an_event_of_another_party_is_none_of_the_own_log(
    own: Own, tmp_path: Path
) -> None:
    """Whoever holds the key can sign a tree of anything; the audit reads on."""
    own.say(1)
    signer = own.parties.signers["bank"]
    foreign = own.parties.events("market", 2)
    own.chain.log.append(foreign[:1])
    assert owner_of(NoteKey(own_origin("bank", signer.verify_key), signer.verify_key))
    with pytest.raises(AuditError, match="another party") as caught:
        own.audit(tmp_path / "own.tar")
    assert caught.value.step == "event signatures"


def test_a_name_that_its_key_does_not_fit_is_refused() -> None:
    mine, other = Signer.generate().verify_key, Signer.generate().verify_key
    assert owner_of(NoteKey(own_origin("bank", mine), mine)) == "bank"
    assert owner_of(NoteKey(f"veilscore/{mine.key_id.hex()}", mine)) == ""
    assert owner_of(NoteKey("log.example/bank", mine)) == ""
    with pytest.raises(ProofError, match="another key than its name") as caught:
        owner_of(NoteKey(own_origin("bank", mine), other))
    assert caught.value.party == "bank"


def test_the_own_events_are_checked_by_the_registry(
    own: Own, tmp_path: Path, parties: Parties
) -> None:
    own.say(9)
    for path in (own.path, own.export(tmp_path / "own.tar")):
        with OwnEvents.open(path) as events:
            events.check(parties.registry)
            with pytest.raises(ProofError, match="is not signed by"):
                events.check(Parties.generate().registry)
    connection = sqlite3.connect(own.path)
    connection.execute("DELETE FROM entry WHERE idx = 8")
    connection.commit()
    connection.close()
    another = pytest.raises(ProofError, match="another tree than that of its events")
    with OwnEvents.open(own.path) as events, another:
        events.check(parties.registry)


def test_a_file_of_an_earlier_version_says_what_to_do(
    tmp_path: Path, parties: Parties
) -> None:
    path = tmp_path / "events.db"
    connection = sqlite3.connect(path)
    connection.execute("CREATE TABLE pending (seq INTEGER PRIMARY KEY, leaf BLOB)")
    connection.commit()
    connection.close()
    database = Database(path)
    with pytest.raises(LogStoreError, match="earlier version") as caught:
        ActorChain(database, parties.signers["bank"], "bank")
    database.close()
    assert caught.value.party == "bank"
    assert caught.value.place == str(path)
    assert "made anew" in caught.value.remedy


def test_a_file_without_a_log_is_named(tmp_path: Path) -> None:
    with pytest.raises(LogStoreError, match="no events of a party"):
        own_key(tmp_path / "none.db")
    Database(tmp_path / "empty.db").close()
    with pytest.raises(LogStoreError, match="cannot be used"):
        own_key(tmp_path / "empty.db")
