"""The coordinator that runs on this machine, as its operator's commands ask it."""

from collections.abc import Sequence
from pathlib import Path
from typing import Final
from urllib.parse import quote

from veilscore.coordinator import config
from veilscore.coordinator.web.face import CoordinatorStatus, RunView
from veilscore.coordinator.web.runs import Proposed
from veilscore.runtime.rest_client import Program, RestClient

_TIMEOUT_S: Final = 15.0


class OperatorClient(RestClient):
    """The coordinator of a configuration file.

    Every method raises UnreachableError if it does not answer, and ProblemError for
    what it refuses.
    """

    def __init__(self, config_file: Path) -> None:
        settings = config.read(config_file)
        super().__init__(
            Program(
                name="the coordinator",
                party=settings.name,
                host=settings.web.host,
                port=settings.web.port,
                token_file=settings.web.token_file,
                start=f"veilscore coordinator run --config {config_file}",
                timeout_s=_TIMEOUT_S,
                authority=(
                    settings.authority if settings.web.readers == "parties" else None
                ),
            )
        )

    def propose(self, contract_toml: str) -> str:
        """Propose a run and return its id."""
        return self.ask(Proposed, "POST", "/v1/runs", text=contract_toml).run

    def stop(self, run: str) -> RunView:
        """Stop a run for all of its parties and return what it is then."""
        return self.ask(RunView, "DELETE", f"/v1/runs/{quote(run, safe='')}")

    def run(self, run: str) -> RunView:
        """Return one run."""
        return self.ask(RunView, "GET", f"/v1/runs/{quote(run, safe='')}")

    def runs(self) -> Sequence[RunView]:
        """Return all runs, the newest first."""
        return self.ask(list[RunView], "GET", "/v1/runs")

    def status(self) -> CoordinatorStatus:
        """Return the state of the coordinator."""
        return self.ask(CoordinatorStatus, "GET", "/v1/status")
