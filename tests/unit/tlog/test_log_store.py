"""The store: durable, one writer, never two checkpoints of one size."""

import contextlib
import shutil
import sqlite3
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.unit.tlog.sample_log import ORIGIN, Parties, SampleLog
from tests.unit.tlog.witnessed_log import witnessed_log
from tests.vectors.tlog import make_tree
from veilscore.keys.errors import LogStoreError, ProofError
from veilscore.keys.identity import Signer
from veilscore.keys.tlog.checkpoint import (
    Checkpoint,
    open_checkpoint,
    sign_checkpoint,
)
from veilscore.keys.tlog.database import Database
from veilscore.keys.tlog.guard import LogGuard
from veilscore.keys.tlog.proof import consistency_proof, verify_consistency
from veilscore.keys.tlog.store import LogStore
from veilscore.keys.tlog.tiles import Tile, decode_bundle


def leaves_of(store: LogStore) -> list[bytes]:
    return [store.entry(index).opened.leaf for index in range(store.size)]


def check(store: LogStore) -> None:
    """Compare the signed root with that of the leaves, by the definition."""
    checkpoint = open_checkpoint(store.checkpoint(), store.key)
    assert checkpoint.size == store.size
    assert checkpoint.root == make_tree.mth(leaves_of(store))


def test_a_new_log_is_empty_and_signed(log: SampleLog) -> None:
    check(log.store)
    assert log.store.size == 0
    log.reopen()
    check(log.store)


@settings(
    max_examples=10,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
    deadline=None,
)
@given(batches=st.lists(st.integers(1, 300), min_size=1, max_size=4))
def test_a_log_continues_after_reopening(
    batches: list[int], tmp_path: Path, parties: Parties
) -> None:
    folder = tmp_path / "example"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    log = SampleLog(folder, parties)
    try:
        for batch in batches:
            log.fill(batch, "bank")
            log.reopen()
        assert log.store.size == sum(batches)
        check(log.store)
    finally:
        log.store.close()


def test_every_entry_has_a_proof(log: SampleLog) -> None:
    log.fill(300, "bank")
    log.fill(7, "bureau", "market")
    for index in range(log.store.size):
        leaf = log.store.entry(index).opened.leaf
        head = log.store.inclusion(index).verify(leaf, log.store.key)
        assert head.size == 314
        first = log.store.receipt(index).verify(leaf, log.store.key)
        assert first.size == min(size for size in (300, 307, 314) if size > index)


def test_every_checkpoint_continues_the_one_before(log: SampleLog) -> None:
    for _ in range(12):
        log.fill(3, "bank")
    sizes = range(3, 37, 3)
    roots: dict[int, bytes] = {}
    for size in sizes:
        proof = log.store.receipt(size - 1)
        roots[size] = open_checkpoint(proof.checkpoint, log.store.key).root
    leaves = leaves_of(log.store)
    for old in sizes:
        for new in sizes[sizes.index(old) :]:
            path = consistency_proof(
                old,
                new,
                lambda level, index: make_tree.mth(
                    leaves[index << level : (index + 1) << level]
                ),
            )
            verify_consistency(old, new, path, roots[old], roots[new])


def test_bundles_and_tiles_are_served_in_every_width_the_log_has_had(
    log: SampleLog,
) -> None:
    log.fill(260, "bank")
    leaves = leaves_of(log.store)
    for width in (1, 100, 256):
        bundle = log.store.tile(Tile(None, 0, width))
        assert decode_bundle(bundle, width) == leaves[:width]
        hashes = b"".join(make_tree.mth([leaf]) for leaf in leaves[:width])
        assert log.store.tile(Tile(0, 0, width)) == hashes
    assert log.store.tile(Tile(1, 0, 1)) == make_tree.mth(leaves[:256])


@pytest.mark.parametrize(
    "tile",
    [
        Tile(0, 1, 5),
        Tile(None, 1, 5),
        Tile(0, 2, 1),
        Tile(1, 0),
        Tile(None, 10**15 - 1, 1),
    ],
)
def test_a_tile_beyond_the_log_is_refused(log: SampleLog, tile: Tile) -> None:
    log.fill(260, "bank")
    with pytest.raises(ProofError):
        log.store.tile(tile)


def test_entries_are_listed_newest_first_by_page(log: SampleLog) -> None:
    log.fill(20, "bank", "bureau")
    first = log.store.entries(limit=15)
    assert [entry.index for entry in first] == list(range(39, 24, -1))
    rest = log.store.entries(before=first[-1].index)
    assert [entry.index for entry in rest] == list(range(24, -1, -1))
    assert log.store.entries(before=0) == []
    assert log.store.entries(before=10**30, limit=15) == first
    of_bank = log.store.entries(actor="bank", correlation="0002")
    assert [entry.index for entry in of_bank] == [16, 9, 2]
    assert {entry.opened.event.actor for entry in of_bank} == {"bank"}
    assert len(log.store.entries(kind="score_decided")) == 40
    assert log.store.entries(kind="started") == []


def test_a_chain_is_kept_by_the_store_itself(log: SampleLog) -> None:
    first, second, third = log.parties.events("bank", 3)
    with pytest.raises(ProofError, match="cannot follow its event 0"):
        log.store.append([second])
    with pytest.raises(ProofError, match="event 3 of bank cannot follow its event 1"):
        log.store.append([first, third])
    assert log.store.size == 0
    check(log.store)
    assert log.store.append([first, second, third]) == range(3)
    assert log.store.head("bank") == third.head
    assert log.store.head("bureau").seq == 0


def test_a_log_is_created_once_and_opened_only_if_it_is_there(
    log: SampleLog, tmp_path: Path
) -> None:
    signer = log.parties.signers["hub"]
    with pytest.raises(LogStoreError, match="there is a log already"):
        LogStore.create(log.path, ORIGIN, signer, guard=log.guard)
    with pytest.raises(LogStoreError, match="there is no log") as caught:
        log.open(tmp_path / "other.sqlite")
    assert "fork" in caught.value.remedy
    assert not (tmp_path / "other.sqlite").exists()


def test_a_log_of_another_key_or_origin_is_refused(log: SampleLog) -> None:
    log.fill(1, "bank")
    with pytest.raises(LogStoreError, match="not signed by"):
        log.open(signer=Signer.generate())
    with pytest.raises(LogStoreError, match="not this log's"):
        LogStore.open(
            log.path, "other.example/log", log.parties.signers["hub"], guard=log.guard
        )


@pytest.mark.parametrize(
    "damage",
    [
        "DELETE FROM entry WHERE idx = 299",
        "DELETE FROM tile WHERE level = 0 AND number = 1",
        "UPDATE tile SET data = zeroblob(32) WHERE level = 1",
        "DELETE FROM checkpoint WHERE size = 300",
        "DELETE FROM checkpoint",
        "PRAGMA user_version = 1",
        "DROP TABLE tile",
    ],
)
def test_a_damaged_log_is_not_opened(log: SampleLog, damage: str) -> None:
    log.fill(200, "bank")
    log.fill(100, "bank")
    log.store.close()
    database = sqlite3.connect(log.path)
    database.execute(damage)
    database.commit()
    database.close()
    with pytest.raises(LogStoreError) as caught:
        log.open()
    assert str(log.path) in str(caught.value)


def test_a_file_that_is_no_database_is_refused(log: SampleLog, tmp_path: Path) -> None:
    file = tmp_path / "letter.sqlite"
    file.write_text("this is not a database, but long enough to look at" * 20)
    with pytest.raises(LogStoreError):
        log.open(file)


def test_a_second_writer_is_refused_and_forks_nothing(log: SampleLog) -> None:
    log.fill(3, "bank")
    second = log.open()
    log.fill(1, "bureau")
    with pytest.raises(LogStoreError, match="not as this process left it"):
        second.append(log.parties.events("market", 1))
    second.close()
    check(log.store)
    assert log.store.size == 4


# Six statements on the log, three on its guard, and one beyond, which fails nothing.
FAILURES = [(at, after) for at in range(10) for after in (False, True)]
GUARD, BEYOND = range(6, 9), 9


@pytest.mark.parametrize(("at", "after"), FAILURES)
def test_a_failed_write_is_progress_or_nothing_but_never_a_fork(
    log: SampleLog, monkeypatch: pytest.MonkeyPatch, at: int, *, after: bool
) -> None:
    """Fail the n-th statement of an append, without and with its effect."""
    log.fill(255, "bank")
    first, second = log.parties.events("bureau", 2)
    calls = iter(range(1000))

    def failing(work: Callable[..., object]) -> Callable[..., object]:
        def run(*bound: object) -> object:
            fails = next(calls) == at
            if fails and not after:
                raise LogStoreError("injected")
            result = work(*bound)
            if fails:
                raise LogStoreError("injected")
            return result

        return run

    for name in ("run", "run_many"):
        monkeypatch.setattr(Database, name, failing(getattr(Database, name)))
    told = False
    with contextlib.suppress(LogStoreError):
        log.store.append([first])
        told = True
    monkeypatch.undo()
    assert told is (at == BEYOND)
    written = log.store.size - 255  # as far as this process knows
    assert written == (at in {*GUARD, BEYOND})
    try:
        log.store.append([second] if written else [first])
    except LogStoreError as error:  # only if the first was written after all
        assert "not as this process left it" in error.what  # noqa: PT017 - either outcome is right
    if written:
        assert log.store.receipt(255).verify(first.leaf, log.store.key).size == 256
    log.reopen()
    check(log.store)
    assert log.store.size == 256 + written


def test_no_receipt_leaves_before_the_guard_has_noted_it(
    log: SampleLog, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An event is repeated that was written while the guard could not be."""
    (event,) = log.parties.events("bank", 1)

    def fail(*_: object) -> None:
        raise LogStoreError("injected")

    monkeypatch.setattr(LogGuard, "advance", fail)
    for _ in range(2):
        with pytest.raises(LogStoreError, match="injected"):
            log.service.append([event.leaf])
    monkeypatch.undo()
    log.service.append([event.leaf])
    assert LogGuard.open(log.guard, ORIGIN).head()[0] == log.store.size == 1


def test_an_older_copy_of_the_log_does_not_open(log: SampleLog) -> None:
    log.fill(3, "bank")
    log.store.close()
    old = log.path.read_bytes()
    log.reopen()
    log.fill(2, "bank")
    log.store.close()
    log.path.write_bytes(old)
    with pytest.raises(LogStoreError, match="holds 3 entries, and held 5") as caught:
        log.open()
    assert caught.value.place == str(log.path)
    assert "newest backup" in caught.value.remedy


def test_another_history_of_the_log_does_not_open(
    log: SampleLog, tmp_path: Path
) -> None:
    (tmp_path / "other").mkdir()
    other = SampleLog(tmp_path / "other", log.parties)
    other.fill(6, "market")
    other.store.close()
    log.fill(5, "bank")
    log.store.close()
    log.path.write_bytes(other.path.read_bytes())
    with pytest.raises(LogStoreError, match="held 5 other entries before"):
        log.open()


def test_what_was_written_and_not_yet_noted_is_progress(
    log: SampleLog, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A crash between the log and its guard: nobody was told, and nothing is lost."""
    log.fill(3, "bank")

    def crash(*_: object) -> None:
        raise LogStoreError("injected")

    monkeypatch.setattr(LogGuard, "advance", crash)
    with pytest.raises(LogStoreError, match="injected"):
        log.fill(1, "bureau")
    monkeypatch.undo()
    log.reopen()
    assert log.store.size == 4
    log.fill(1, "bureau")
    check(log.store)
    log.reopen()
    assert log.store.size == 5


def test_a_lost_guard_is_named(log: SampleLog) -> None:
    log.store.close()
    log.guard.unlink()
    with pytest.raises(LogStoreError, match="guard of the log is missing") as caught:
        log.open()
    assert caught.value.place == str(log.guard)


def test_only_a_checkpoint_of_this_log_becomes_final(
    parties: Parties, tmp_path: Path
) -> None:
    with witnessed_log(tmp_path, parties) as made:
        made.fill(3, "bank")
        assert "\n0\n" in made.store.checkpoint()
        assert made.store.receipt(2).checkpoint == made.store.signed()
        assert made.store.inclusion(2).checkpoint == made.store.signed()
        with pytest.raises(ProofError):
            made.store.inclusion(3)
        hub = made.parties.signers["hub"]
        other = sign_checkpoint(Checkpoint(ORIGIN, 3, bytes(32)), hub)
        with pytest.raises(LogStoreError, match="signed no such checkpoint"):
            made.store.finalise(other)
        note = made.cosign(0)
        assert made.store.checkpoint() == note == made.store.receipt(0).checkpoint
        made.fill(2, "bank")
        assert made.store.checkpoint() == note
        assert made.store.receipt(0).checkpoint == note
        assert made.store.receipt(4).checkpoint == made.store.signed()
