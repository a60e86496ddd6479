"""Cosigning when the coordinator's disk is full for a while."""

from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from threading import Event

import pytest

from tests.unit.tlog.sample_log import Parties, SampleLog
from veilscore.coordinator.cosigning import Cosigning
from veilscore.coordinator.log import LogService
from veilscore.keys.errors import LogStoreError
from veilscore.keys.identity import Signer
from veilscore.keys.tlog.database import Database
from veilscore.keys.tlog.guard import LogGuard
from veilscore.keys.tlog.log_policy import KnownWitness, LogPolicy
from veilscore.keys.tlog.witness import Submission, Witness

NAME = "witness.example"


class SampleOfWitnesses(SampleLog):
    witnessed = True


@pytest.fixture
def log(tmp_path: Path) -> Iterator[SampleLog]:
    sample = SampleOfWitnesses(tmp_path, Parties.generate())
    yield sample
    sample.store.close()


@pytest.fixture
def witness(tmp_path: Path, log: SampleLog) -> Iterator[Witness]:
    database = Database(tmp_path / "witness.sqlite")
    yield Witness(
        database,
        NAME,
        Signer.generate(),
        [log.store.key],
        clock=lambda: 1.0,
        report=lambda found: pytest.fail(str(found)),
    )
    database.close()


class NearClient:
    """Asks a witness of this process; ``meanwhile`` runs while it is asked."""

    def __init__(
        self, witness: Witness, log: SampleLog, meanwhile: Callable[[], None]
    ) -> None:
        self._witness, self._log, self._meanwhile = witness, log, meanwhile
        self._cosigned = 0

    def cosign(self, note: str, size: int) -> str:
        old = self._cosigned
        path = self._log.store.consistency(old, size) if old else ()
        line = self._witness.add_checkpoint(Submission(old, path, note).body)
        self._cosigned = size
        self._meanwhile()
        return line

    def close(self) -> None:
        """There is no connection."""


def test_witnesses_are_asked_again_when_there_is_space_again(
    log: SampleLog, witness: Witness, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The disk fills up while a round is under way, which ends nevertheless."""
    first, second = log.parties.events("bank", 2)
    full, advance = Event(), LogGuard.advance

    def advance_if_there_is_space(
        self: LogGuard, old: int, new: int, root: bytes
    ) -> None:
        if full.is_set():
            raise LogStoreError("the file cannot be used (disk full)")
        advance(self, old, new, root)

    def fill() -> None:
        if log.store.size == 1:
            full.set()
            with suppress(LogStoreError):
                log.store.append([second])

    monkeypatch.setattr(LogGuard, "advance", advance_if_there_is_space)

    def near(*_: object) -> NearClient:
        return NearClient(witness, log, fill)

    monkeypatch.setattr("veilscore.coordinator.cosigning.WitnessClient", near)
    policy = LogPolicy(
        logs={log.store.key.name: log.store.key},
        witnesses={NAME: KnownWitness(witness.key, "http://near.example")},
        quorum=NAME,
    )
    cosigning = Cosigning(log.store, policy)
    service = LogService(
        log.store, log.parties.registry, log.parties.signers["hub"], cosigning
    )
    cosigning.start()
    try:
        with pytest.raises(LogStoreError, match="disk full"):
            service.append([first.leaf])
        full.clear()
        proofs = service.append([first.leaf, second.leaf])
        assert all(policy.is_witnessed(proof.checkpoint) for proof in proofs)
    finally:
        cosigning.close()
