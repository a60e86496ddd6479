"""The app that Flower runs at the coordinator for every training run.

The code that leads a run is a director: the coordinator puts it into ``DIRECTORS``
under the run's name, then submits the run to the SuperLink, whose task comes back to
this process. An exception of the director marks Flower's run as failed.
"""

from collections.abc import Callable

from flwr.app import Context
from flwr.serverapp import Grid, ServerApp

from veilscore.coordinator.errors import RunError
from veilscore.coordinator.fleet import Fleet

# Directors that wait for their run to begin, by the run's name.
DIRECTORS: dict[str, Callable[[Fleet], None]] = {}

# Makes the fleet of a run. The SuperLink's owner sets it before the first run;
# module-wide because Flower names an app by its module.
FLEET_OF: Callable[[Grid, str], Fleet] | None = None

app = ServerApp()


@app.main()
def main(grid: Grid, context: Context) -> None:
    """Lead one run with the director that waits for it."""
    run = str(context.run_config.get("run", ""))
    director = DIRECTORS.pop(run, None)
    if director is None or FLEET_OF is None:
        raise RunError(f"nobody here waits for run {run[:64]!r}")
    director(FLEET_OF(grid, run))
