"""The node that runs on this machine, as the institution's own commands ask it."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote

from veilscore.node import config
from veilscore.node.web.hosted import HostedScoreResponse
from veilscore.node.web.models import AddedModel
from veilscore.node.web.records import Asked, Counted, Erasing, KeptConsent
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
        """Ask for scores, joint or of a whole model."""
        return self.ask(ScoreResponse, "POST", "/v1/scores", json=request)

    def hosted_scores(self, request: Mapping[str, object]) -> HostedScoreResponse:
        """Ask for hosted scores."""
        return self.ask(HostedScoreResponse, "POST", "/v1/hosted-scores", json=request)

    def add_model(self, manifest: bytes) -> AddedModel:
        """Take in the manifest of a model that others trained."""
        return self.ask(
            AddedModel, "POST", "/v1/models", json={"manifest": manifest.hex()}
        )

    def disclose(self, wanted: Mapping[str, object]) -> bytes:
        """Return an opening file."""
        answer = self.ask(dict[str, str], "POST", "/v1/openings", json=wanted)
        return answer["file"].encode()

    def asked_about(self, entity: Mapping[str, object]) -> list[Asked]:
        """Return the requests that an entity is in."""
        return self.ask(list[Asked], "POST", "/v1/asked-about", json=entity)

    def erase(self, wanted: Mapping[str, object]) -> int:
        """Erase openings and return how many."""
        return self.ask(Erasing, "POST", "/v1/erasures", json=wanted).openings

    def register_consent(self, consent: Mapping[str, object]) -> int:
        """Register a consent and return the number of the event."""
        return self.ask(Counted, "POST", "/v1/consents", json=consent).event

    def withdraw_consent(self, consent: Mapping[str, object]) -> None:
        """Withdraw a consent."""
        self.send("POST", "/v1/consents/withdraw", json=consent)

    def consents(self) -> list[KeptConsent]:
        """Return the registered consents."""
        return self.ask(list[KeptConsent], "GET", "/v1/consents")

    def decide(self, run: str, *, approved: bool) -> None:
        """Approve or refuse a waiting run."""
        verb = "approve" if approved else "refuse"
        self.send("POST", f"/v1/runs/{quote(run, safe='')}/{verb}")
