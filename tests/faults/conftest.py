"""The parties of all logs here, and how a test tells what it did to them."""

from collections.abc import Callable

import pytest

from tests.unit.tlog.sample_log import Parties

Report = Callable[[str], None]


@pytest.fixture(scope="session")
def parties() -> Parties:
    return Parties.generate()


@pytest.fixture
def report(record_property: Callable[[str, object], None]) -> Report:
    """Return a function whose text stands in pytest's summary."""

    def reported(text: str) -> None:
        record_property("fault", text)

    return reported


@pytest.fixture
def soak(pytestconfig: pytest.Config) -> bool:
    return bool(pytestconfig.getoption("--soak"))
