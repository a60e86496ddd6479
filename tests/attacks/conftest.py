"""A hub to attack, and a way to tell: pytest's summary lists what attacks got."""

from collections.abc import Callable, Generator
from pathlib import Path

import pytest

from tests.protocol.score_world import People, World, world

Tell = Callable[[str, object, object], None]


@pytest.fixture
def tell(record_property: Callable[[str, object], None]) -> Tell:
    """Return a function that records what an attack got and what it may get."""

    def recorded(what: str, got: object, bound: object) -> None:
        record_property("attack", f"{what}: {got} (bound {bound})")

    return recorded


@pytest.fixture(scope="module")
def people(tmp_path_factory: pytest.TempPathFactory) -> People:
    return People.create(tmp_path_factory.mktemp("people"))


@pytest.fixture
def hub(tmp_path: Path, people: People) -> Generator[World]:
    with world(tmp_path, people) as running:
        yield running
