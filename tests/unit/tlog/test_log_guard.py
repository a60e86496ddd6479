"""The guard never stands behind what anybody was told, and refuses older logs."""

import shutil

import pytest

from tests.unit.tlog.sample_log import ORIGIN, Parties, SampleLog
from veilscore.keys.errors import LogStoreError
from veilscore.keys.tlog.checkpoint import open_checkpoint
from veilscore.keys.tlog.guard import LogGuard


def guarded(log: SampleLog) -> int:
    guard = LogGuard.open(log.guard, ORIGIN)
    try:
        return guard.head()[0]
    finally:
        guard.close()


def full(*_: object) -> None:
    raise LogStoreError("the file cannot be used (disk full)")


def test_nobody_is_told_what_the_guard_could_not_note(
    log: SampleLog, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither who appends, nor who sends the event again, nor a reader."""
    first, second = log.parties.events("bank", 2)
    log.service.append([first.leaf])
    with monkeypatch.context() as broken:
        broken.setattr(LogGuard, "advance", full)
        for _ in range(2):
            with pytest.raises(LogStoreError, match="disk full"):
                log.service.append([second.leaf])
        with pytest.raises(LogStoreError, match="disk full"):
            log.service.checkpoint()
        assert guarded(log) == 1
    (proof,) = log.service.append([second.leaf])
    assert proof.verify(second.leaf, log.store.key).size == 2
    assert guarded(log) == 2


def test_a_guard_that_a_crash_left_behind_catches_up_before_anybody_is_told(
    log: SampleLog,
) -> None:
    first, second = log.parties.events("bank", 2)
    log.store.append([first])
    log.store.close()
    older = log.guard.with_name("older.sqlite")
    shutil.copy(log.guard, older)
    log.store = log.open()
    log.store.append([second])
    log.store.close()
    shutil.copy(older, log.guard)
    log.reopen()
    assert open_checkpoint(log.service.checkpoint(), log.store.key).size == 2
    assert guarded(log) == 2


def test_an_older_copy_of_the_log_does_not_open(
    log: SampleLog, parties: Parties
) -> None:
    log.store.append(parties.events("bank", 2))
    log.store.close()
    older = log.path.with_name("older.sqlite")
    shutil.copy(log.path, older)
    log.store = log.open()
    log.fill(1, "market")
    log.store.close()
    with pytest.raises(LogStoreError, match="holds 2 entries, and held 3 before"):
        log.open(older)
