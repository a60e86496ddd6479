"""What a node remembers of its runs: none is joined twice, few are led a day."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import Tell
from veilscore.node.errors import RefusedError
from veilscore.node.training.ledger import RunLedger
from veilscore.v1.training_pb2 import RunContract

NOW, DAY = 1_790_000_000.0, 86_400.0


def run(name: str, label_holder: str = "bank") -> RunContract:
    return RunContract(run=name, label_holder=label_holder)


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[RunLedger]:
    opened = RunLedger(tmp_path / "runs.db", runs_a_day=2)
    yield opened
    opened.close()


def take_part(ledger: RunLedger, contract: RunContract, now: float = NOW) -> None:
    ledger.check(contract, now)
    ledger.join(contract)
    ledger.place(contract, now)


def refusal(ledger: RunLedger, contract: RunContract, now: float) -> str:
    """Return why a run is not joined; "" if it may be."""
    try:
        ledger.check(contract, now)
    except RefusedError as error:
        return error.what
    return ""


def test_a_run_is_joined_once_also_after_a_restart(
    ledger: RunLedger, tmp_path: Path, tell: Tell
) -> None:
    ledger.join(run("a"))
    again = RunLedger(tmp_path / "runs.db", runs_a_day=9)
    replays = [
        (opened, run("a", label_holder), now)
        for opened in (ledger, again)
        for label_holder in ("bank", "credit union")
        for now in (NOW, NOW + 400 * DAY)
    ]
    said = [refusal(*replay) for replay in replays]
    again.close()
    told = f"{said.count('')} of {len(said)}"
    tell("H3 replayed run ids that a node joins again", told, 0)
    assert all("joined the run before" in each for each in said)


def test_the_number_of_runs_a_day_holds_also_after_a_restart(
    ledger: RunLedger, tmp_path: Path
) -> None:
    take_part(ledger, run("a"))
    take_part(ledger, run("b"))
    ledger.close()
    again = RunLedger(tmp_path / "runs.db", runs_a_day=2)
    with pytest.raises(RefusedError, match="no more than 2 runs a day"):
        again.check(run("c"), NOW + DAY - 1)
    again.check(run("c"), NOW + DAY + 1)
    again.close()


def test_runs_that_never_got_as_far_as_rows_do_not_count(ledger: RunLedger) -> None:
    for name in "abcdef":
        ledger.check(run(name), NOW)
        ledger.join(run(name))


def test_runs_that_were_joined_before_the_limit_are_stopped_at_their_rows(
    ledger: RunLedger,
) -> None:
    for name in "abc":
        ledger.check(run(name), NOW)
        ledger.join(run(name))
    ledger.place(run("a"), NOW)
    ledger.place(run("b"), NOW)
    with pytest.raises(RefusedError, match="runs a day"):
        ledger.place(run("c"), NOW)


def test_every_label_holder_has_runs_of_its_own(ledger: RunLedger) -> None:
    take_part(ledger, run("a"))
    take_part(ledger, run("b"))
    take_part(ledger, run("c", "credit union"))


def test_a_clock_that_is_set_back_gives_no_runs_back(ledger: RunLedger) -> None:
    take_part(ledger, run("a"))
    take_part(ledger, run("b"), NOW - 3 * DAY)
    with pytest.raises(RefusedError, match="runs a day"):
        take_part(ledger, run("c"), NOW - 3 * DAY)


def test_horizontal_runs_count_together_and_apart_from_others(
    tmp_path: Path,
) -> None:
    ledger = RunLedger(tmp_path / "more.db", runs_a_day=2)
    for number in range(2):
        joint = RunContract(run=f"joint-{number}")
        ledger.join(joint)
        ledger.place(joint, 1e9)
    with pytest.raises(RefusedError, match="2 horizontal runs a day"):
        ledger.check(RunContract(run="joint-2"), 1e9)
    ledger.check(RunContract(run="v", label_holder="bank"), 1e9)
    ledger.close()
