"""Flower's grid, by which a run sends messages to nodes, on our client.

Nobody learns anything here: what it carries is the business of the fleet.
"""

from functools import partial

from flwr.supercore.inflatable.inflatable_utils import pull_objects
from flwr.superlink.grid import http_grid

from veilscore.runtime.flower.claim import PULL_BACKOFF_S, PULL_LIMIT_S
from veilscore.runtime.flower.endpoint import Endpoint, RuntimeClient
from veilscore.runtime.flower.pin import replace


class TaskGrid(http_grid.HttpGrid):
    """Flower's grid on a client that raises instead of interrupting the process."""

    def __init__(self, endpoint: Endpoint, token: str, client: RuntimeClient) -> None:
        super().__init__(endpoint.address, token=token)
        self._client = client


replace(
    http_grid,
    "pull_objects",
    partial(pull_objects, initial_backoff=PULL_BACKOFF_S, max_time=PULL_LIMIT_S),
)
