"""A log of four parties for every test, and the parties for all of them."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.unit.tlog.sample_log import Parties, SampleLog


@pytest.fixture(scope="session")
def parties() -> Parties:
    return Parties.generate()


@pytest.fixture
def log(tmp_path: Path, parties: Parties) -> Iterator[SampleLog]:
    sample = SampleLog(tmp_path, parties)
    yield sample
    sample.store.close()
