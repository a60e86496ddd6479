"""The node that runs on this machine, as the institution's own commands ask it."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote

from veilscore.node import config
from veilscore.node.web.hosted import HostedScoreResponse
from veilscore.node.web.scores import ScoreResponse
from veilscore.runtime.rest_client import Program, RestClient

_TIMEOUT_S: Final = 120.0  # a node waits for data holders for half a minute


class LocalNode(RestClient):
    """The node of a configuration file.

    Every method raises UnreachableError if it does not answer, and ProblemError for
    what it refuses.
    """

    def __init__(self, config_file: Path) -> None:
        settings = config.read(config_file)
        super().__init__(
            Program(
                name="the node",
                party=settings.party,
                host=settings.web.host,
                port=settings.web.port,
                token_file=settings.web.token_file,
                start=f"veilscore node run --config {config_file}",
                timeout_s=_TIMEOUT_S,
            )
        )

    def status(self) -> dict[str, Any]:
        """Return the node's status."""
        return self.ask(dict[str, Any], "GET", "/v1/status")

    def scores(self, request: Mapping[str, object]) -> ScoreResponse:
        """Ask for joint scores."""
        return self.ask(ScoreResponse, "POST", "/v1/scores", json=request)

    def hosted_scores(self, request: Mapping[str, object]) -> HostedScoreResponse:
        """Ask for hosted scores."""
        return self.ask(HostedScoreResponse, "POST", "/v1/hosted-scores", json=request)

    def decide(self, run: str, *, approved: bool) -> None:
        """Approve or refuse a waiting run."""
        verb = "approve" if approved else "refuse"
        self.send("POST", f"/v1/runs/{quote(run, safe='')}/{verb}")
