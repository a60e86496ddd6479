from typing import TYPE_CHECKING, cast

import pytest
from flwr.app import Context, RecordDict
from flwr.serverapp import Grid

from veilscore.coordinator import server_app
from veilscore.coordinator.errors import RunError
from veilscore.coordinator.fleet import Fleet

if TYPE_CHECKING:
    from .conftest import ScriptedGrid


def begin(run: str, grid: "ScriptedGrid") -> None:
    """What Flower does when a run begins."""
    context = Context(1, 1, {}, RecordDict(), {"run": run})
    server_app.app(cast("Grid", grid), context)


@pytest.fixture(autouse=True)
def _one_fleet(fleet: Fleet, monkeypatch: pytest.MonkeyPatch) -> None:
    def fleet_of(grid: Grid, run: str) -> Fleet:
        del grid, run
        return fleet

    monkeypatch.setattr(server_app, "FLEET_OF", fleet_of)


def test_the_director_of_the_run_leads_it_once(
    fleet: Fleet, grid: "ScriptedGrid", monkeypatch: pytest.MonkeyPatch
) -> None:
    led: list[Fleet] = []
    monkeypatch.setitem(server_app.DIRECTORS, "run-1", led.append)
    begin("run-1", grid)
    assert led == [fleet]
    with pytest.raises(RunError, match="nobody here waits"):
        begin("run-1", grid)


def test_a_run_nobody_waits_for_fails(grid: "ScriptedGrid") -> None:
    with pytest.raises(RunError, match="nobody here waits for run 'other'"):
        begin("other", grid)


def test_an_error_of_the_director_reaches_flower(
    grid: "ScriptedGrid", monkeypatch: pytest.MonkeyPatch
) -> None:
    def director(fleet: Fleet) -> None:
        raise RunError("two holders disagree", party=fleet.parties()[0])

    monkeypatch.setitem(server_app.DIRECTORS, "run-1", director)
    with pytest.raises(RunError, match="two holders disagree"):
        begin("run-1", grid)
