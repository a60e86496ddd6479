"""The people of all federations that are simulated, whose keys take long to make."""

import pytest

from tests.protocol.score_world import People


@pytest.fixture(scope="session")
def people(tmp_path_factory: pytest.TempPathFactory) -> People:
    return People.create(tmp_path_factory.mktemp("people"))
