"""Options of the whole suite.

``--soak`` gives every property test that sets no number of its own a hundred times as
many examples and lifts the time limit of a test; ``make soak`` passes it.
"""

import pytest
from hypothesis import settings

settings.register_profile("quick", deadline=None)
settings.register_profile("soak", deadline=None, max_examples=10_000)


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--soak", action="store_true", help="run property tests for long")


def pytest_configure(config: pytest.Config) -> None:
    for marker in (
        "data: trains on real data; make test runs two at once",
        "alone: watches processes or connections; nothing may run beside it",
    ):
        config.addinivalue_line("markers", marker)
    soak = config.getoption("--soak")
    settings.load_profile("soak" if soak else "quick")
    if soak:
        config.option.timeout = 0


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """List what the attacks got, each beside the most that it may get."""
    reports = [
        report
        for kind in ("passed", "failed")
        for report in terminalreporter.getreports(kind)
    ]
    figures = [
        str(told)
        for report in reports
        for name, told in report.user_properties
        if name == "attack"
    ]
    if figures:
        terminalreporter.section("attacks")
        terminalreporter.write_line("\n".join(figures))
