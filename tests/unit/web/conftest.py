"""The two sites, served on the loopback once for all tests.

What a test changed of a face is undone before the next; a test that writes to the log
takes ``own_log``.
"""

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
from tests.unit.web.serving import client_of, serving


@pytest.fixture(scope="session")
def parties() -> Parties:
    return Parties.generate()


@pytest.fixture(scope="session")
def log(tmp_path_factory: pytest.TempPathFactory, parties: Parties) -> SampleLog:
    sample = SampleLog(tmp_path_factory.mktemp("log"), parties)
    fill_log(sample)
    return sample


@pytest.fixture(scope="session")
def coordinator_site(log: SampleLog) -> Iterator[tuple[SampleCoordinator, str]]:
    face = SampleCoordinator(log)
    with serving(sample_coordinator_app(log, face)) as address:
        yield face, address
    log.store.close()


@pytest.fixture
def coordinator(coordinator_site: tuple[SampleCoordinator, str]) -> SampleCoordinator:
    face, _ = coordinator_site
    face.reset()
    return face


@pytest.fixture
def coordinator_client(
    coordinator: SampleCoordinator, coordinator_site: tuple[SampleCoordinator, str]
) -> Iterator[httpx.Client]:
    assert coordinator is coordinator_site[0]
    with httpx.Client(base_url=coordinator_site[1], timeout=20) as client:
        yield client


@pytest.fixture(scope="session")
def node_site() -> Iterator[tuple[SampleNode, str]]:
    face = SampleNode()
    with serving(sample_node_app(face)) as address:
        yield face, address


@pytest.fixture
def node(node_site: tuple[SampleNode, str]) -> SampleNode:
    face, _ = node_site
    face.reset()
    return face


@pytest.fixture
def node_client(
    node: SampleNode, node_site: tuple[SampleNode, str]
) -> Iterator[httpx.Client]:
    assert node is node_site[0]
    with httpx.Client(base_url=node_site[1], timeout=20) as client:
        yield client


@pytest.fixture
def own_log(tmp_path: Path, parties: Parties) -> Iterator[SampleLog]:
    sample = SampleLog(tmp_path, parties)
    fill_log(sample)
    yield sample
    sample.store.close()


@pytest.fixture
def own_client(own_log: SampleLog) -> Iterator[httpx.Client]:
    app = sample_coordinator_app(own_log, SampleCoordinator(own_log))
    with client_of(app) as client:
        yield client
