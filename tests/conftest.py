"""Options of the whole suite, and how a test tells the figure of an attack.

``--soak`` gives every property test that sets no number of its own a hundred times as
many examples, lifts the time limit of a test and runs those with the marker ``soak``;
``make soak`` passes it.
"""

import signal
from collections.abc import Callable, Iterator

import pytest
from hypothesis import settings

settings.register_profile("quick", deadline=None)
settings.register_profile("soak", deadline=None, max_examples=10_000)


Tell = Callable[[str, object, object], None]


@pytest.fixture
def tell(record_property: Callable[[str, object], None]) -> Tell:
    """Return a function that records what an attack got and what it may get."""

    def recorded(what: str, got: object, bound: object) -> None:
        record_property("attack", f"{what}: {got} (bound {bound})")

    return recorded


@pytest.fixture
def interruptible() -> Iterator[None]:
    """Let SIGINT interrupt this process and children; background jobs ignore it."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--soak", action="store_true", help="run property tests for long")


def pytest_configure(config: pytest.Config) -> None:
    for marker in (
        "long: trains on real data, or with processes; make test runs two at once",
        "alone: watches processes or connections; nothing may run beside it",
        "chaos: strikes a federation of its own; make test runs two at once",
        "soak: takes hours; only make soak runs it",
    ):
        config.addinivalue_line("markers", marker)
    soak = config.getoption("--soak")
    settings.load_profile("soak" if soak else "quick")


def pytest_collection_modifyitems(
    config: pytest.Config, items: list[pytest.Item]
) -> None:
    """Leave out what takes hours, unless ``--soak`` asks for it."""
    if config.getoption("--soak"):
        for item in items:
            item.add_marker(pytest.mark.timeout(0), append=False)  # before its own
        return
    long = [item for item in items if item.get_closest_marker("soak")]
    config.hook.pytest_deselected(items=long)
    items[:] = [item for item in items if item not in long]


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """List the figures that tests tell, each beside the most that it may be."""
    reports = [
        report
        for kind in ("passed", "failed")
        for report in terminalreporter.getreports(kind)
    ]
    for property_name, title in (
        ("attack", "attacks"),
        ("chaos", "crashes and cuts"),
        ("fault", "faults and kills of the log"),
    ):
        figures = [
            str(told)
            for report in reports
            for name, told in report.user_properties
            if name == property_name
        ]
        if figures:
            terminalreporter.section(title)
            terminalreporter.write_line("\n".join(figures))
