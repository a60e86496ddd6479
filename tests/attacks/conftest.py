"""A hub to attack."""

from collections.abc import Generator
from pathlib import Path

import pytest

from tests.protocol.score_world import People, World, world


@pytest.fixture(scope="module")
def people(tmp_path_factory: pytest.TempPathFactory) -> People:
    return People.create(tmp_path_factory.mktemp("people"))


@pytest.fixture
def hub(tmp_path: Path, people: People) -> Generator[World]:
    with world(tmp_path, people) as running:
        yield running
