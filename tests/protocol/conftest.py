"""The people of a federation, whose keys take long to make."""

import pytest

from tests.protocol.score_world import People


@pytest.fixture(scope="module")
def people(tmp_path_factory: pytest.TempPathFactory) -> People:
    return People.create(tmp_path_factory.mktemp("people"))
