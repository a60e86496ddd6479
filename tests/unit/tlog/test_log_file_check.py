"""fsck: a sound file passes, and whatever is changed in it is found and placed."""

import sqlite3
from pathlib import Path

import pytest

from tests.unit.tlog.sample_log import ORIGIN, SampleLog
from tests.vectors.tlog import make_tree
from veilscore.keys.errors import LogStoreError
from veilscore.keys.identity import Signer
from veilscore.keys.tlog.fsck import check_file
from veilscore.keys.tlog.note import NoteKey
from veilscore.keys.tlog.tlog_proof import TlogProof


@pytest.fixture
def filled(log: SampleLog) -> SampleLog:
    """Return a log of 700 entries under five checkpoints, with full tiles."""
    log.fill(300, "bank")
    log.fill(1, "market")
    log.fill(200, "bureau", "market")
    return log


def test_a_sound_file_passes(filled: SampleLog) -> None:
    seen: list[tuple[int, int]] = []
    report = check_file(
        filled.path, filled.store.key, lambda done, total: seen.append((done, total))
    )
    leaves = [filled.store.entry(at).opened.leaf for at in range(filled.store.size)]
    assert report.size == 701
    assert report.root == make_tree.mth(leaves)
    assert report.checkpoints == 5
    assert report.tiles == 3 + 1
    assert seen[0] == (0, 701)
    assert seen[-1] == (701, 701)


def test_an_empty_log_passes(log: SampleLog) -> None:
    report = check_file(log.path, log.store.key)
    assert (report.size, report.checkpoints, report.tiles) == (0, 1, 0)


def test_a_log_that_is_being_written_passes(filled: SampleLog) -> None:
    """The check sees one state, and the writer does not wait for it."""

    def write(done: int, _total: int) -> None:
        if done == 256:
            filled.fill(300, "bank")

    assert check_file(filled.path, filled.store.key, write).size == 701
    assert check_file(filled.path, filled.store.key).size == 1001


DAMAGE = {
    "UPDATE entry SET leaf = (SELECT leaf FROM entry WHERE idx = 7) WHERE idx = 6": (
        "entry 6"
    ),
    "UPDATE entry SET kind = 'started' WHERE idx = 600": "entry 600",
    "UPDATE entry SET correlation = 'ff' WHERE idx = 600": "entry 600",
    "DELETE FROM entry WHERE idx = 700": "",
    "DELETE FROM entry WHERE idx = 100": "entry 100",
    "UPDATE entry SET idx = -1 WHERE idx = 700": "",
    "DELETE FROM checkpoint WHERE size = 701": "",
    "UPDATE tile SET data = zeroblob(8192) WHERE level = 0 AND number = 1": "tile 0/1",
    "UPDATE tile SET data = zeroblob(32) WHERE level = 1": "tile 1/0",
    "DELETE FROM tile WHERE level = 0 AND number = 2": "tile 0/2",
    "INSERT INTO tile VALUES (5, 5, x'00')": "",
    "UPDATE checkpoint SET note = (SELECT note FROM checkpoint WHERE size = 301) "
    "WHERE size = 501": "",
    "UPDATE checkpoint SET note = replace(note, '501', '502') WHERE size = 501": (
        "checkpoint of 501"
    ),
    "UPDATE actor SET seq = seq + 1 WHERE name = 'bank'": "",
    "DELETE FROM actor WHERE name = 'market'": "",
}


@pytest.mark.parametrize(("damage", "place"), DAMAGE.items())
def test_damage_is_found_and_placed(filled: SampleLog, damage: str, place: str) -> None:
    database = sqlite3.connect(filled.path)
    assert database.execute(damage).rowcount == 1
    database.commit()
    database.close()
    with pytest.raises(LogStoreError) as caught:
        check_file(filled.path, filled.store.key)
    assert str(filled.path) in caught.value.place
    assert place in caught.value.place
    assert "backup" in caught.value.remedy


def test_a_flipped_bit_in_the_file_is_found(filled: SampleLog) -> None:
    filled.store.close()
    whole = filled.path.read_bytes()
    at = whole.index(b"score_decided", len(whole) // 2)  # in a page of entries
    damaged = bytearray(whole)
    damaged[at] ^= 1
    filled.path.write_bytes(damaged)
    with pytest.raises(LogStoreError):
        check_file(filled.path, filled.store.key)


def test_another_logs_key_and_a_missing_file_are_named(
    filled: SampleLog, tmp_path: Path
) -> None:
    stranger = NoteKey(ORIGIN, Signer.generate().verify_key)
    with pytest.raises(LogStoreError, match="not signed by"):
        check_file(filled.path, stranger)
    with pytest.raises(LogStoreError, match="there is no log"):
        check_file(tmp_path / "none.db", stranger)
    assert not (tmp_path / "none.db").exists()


def test_a_proof_of_a_checked_file_is_small(filled: SampleLog) -> None:
    proof = filled.store.receipt(350)
    assert TlogProof.parse(proof.text) == proof
    assert len(proof.text) < 1500
