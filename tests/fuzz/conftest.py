"""One stock of keys, parties and logs for all targets."""

from collections.abc import Iterator

import pytest

from tests.fuzz.stock import Stock


@pytest.fixture(scope="session")
def stock(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stock]:
    made = Stock(tmp_path_factory.mktemp("fuzz"))
    with made.parts:
        yield made


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """List what came of long runs, each with the seed that makes its inputs again."""
    reports = [
        report
        for kind in ("passed", "failed")
        for report in terminalreporter.getreports(kind)
    ]
    told = [
        str(said)
        for report in reports
        for name, said in report.user_properties
        if name == "fuzz"
    ]
    if told:
        terminalreporter.section("fuzz")
        terminalreporter.write_line("\n".join(told))
