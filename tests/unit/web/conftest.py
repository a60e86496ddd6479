"""The two sites, each served on the loopback for one test."""

from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.unit.tlog.sample_log import Parties, SampleLog
from tests.unit.web.sample_coordinator import (
    SampleCoordinator,
    fill_log,
    sample_coordinator_app,
)
from tests.unit.web.sample_node import SampleNode, sample_node_app
from tests.unit.web.serving import client_of


@pytest.fixture(scope="session")
def parties() -> Parties:
    return Parties.generate()


@pytest.fixture
def log(tmp_path: Path, parties: Parties) -> Iterator[SampleLog]:
    sample = SampleLog(tmp_path, parties)
    fill_log(sample)
    yield sample
    sample.store.close()


@pytest.fixture
def node() -> SampleNode:
    return SampleNode()


@pytest.fixture
def node_client(node: SampleNode) -> Iterator[httpx.Client]:
    with client_of(sample_node_app(node)) as client:
        yield client


@pytest.fixture
def coordinator(log: SampleLog) -> SampleCoordinator:
    return SampleCoordinator(log)


@pytest.fixture
def coordinator_client(
    log: SampleLog, coordinator: SampleCoordinator
) -> Iterator[httpx.Client]:
    with client_of(sample_coordinator_app(log, coordinator)) as client:
        yield client
