import pytest

from tests.unit.lab.small_lab import Small, make_cards, make_small
from tests.unit.lab.small_regions import Regions, make_joint_cards, make_regions
from veilscore.models.scorecard import Card


@pytest.fixture(scope="session")
def small(tmp_path_factory: pytest.TempPathFactory) -> Small:
    return make_small(tmp_path_factory.mktemp("data"), tmp_path_factory.mktemp("out"))


@pytest.fixture(scope="session")
def cards(small: Small) -> dict[str, Card]:
    return make_cards(small)


@pytest.fixture(scope="session")
def regions(tmp_path_factory: pytest.TempPathFactory) -> Regions:
    return make_regions(tmp_path_factory.mktemp("data"), tmp_path_factory.mktemp("out"))


@pytest.fixture(scope="session")
def joint_cards(regions: Regions) -> dict[str, Card]:
    return make_joint_cards(regions.tables)
