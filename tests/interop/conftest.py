"""One honest log for all verifiers: 690 entries, cosigned by two witnesses."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.interop.goverify import Goverify
from tests.interop.witnessed_log import Keys, WitnessedLog, publish

SIZES = (4, 300, 690)  # of the checkpoints that were cosigned


@dataclass(frozen=True)
class HonestLog:
    keys: Keys
    log: WitnessedLog
    checkpoints: dict[int, str]  # by size
    backup: dict[str, bytes]  # an export from before the older checkpoint
    files: dict[str, bytes]
    export: Path

    def older(self, size: int = 300) -> str:
        """Return what the auditor has kept from an earlier visit."""
        return self.checkpoints[size]


@pytest.fixture(scope="session")
def honest(tmp_path_factory: pytest.TempPathFactory) -> Iterator[HonestLog]:
    folder = tmp_path_factory.mktemp("honest")
    keys = Keys.generate()
    log = WitnessedLog(folder / "log", keys)
    events = keys.events(keys.acts(SIZES[-1]))
    checkpoints, backup = dict[int, str](), dict[str, bytes]()
    for size in SIZES:
        checkpoints[size] = log.grow(events[log.store.size : size])
        backup = backup or log.files()
    files = log.files()
    # Partial tiles at two levels, or half of the code would not be met.
    assert {"tile/0/002.p/178", "tile/1/000.p/2", "tile/entries/001"} <= files.keys()
    yield HonestLog(
        keys, log, checkpoints, backup, files, publish(files, folder / "export")
    )
    log.close()
    assert not log.reported


@pytest.fixture(scope="session")
def goverify(tmp_path_factory: pytest.TempPathFactory) -> Goverify:
    return Goverify(tmp_path_factory.mktemp("goverify"))
