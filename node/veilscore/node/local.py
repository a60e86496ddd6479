"""Talking to the node that runs on this machine, through its REST interface.

For the institution's own commands; the token is read from the node's file.
"""

from dataclasses import dataclass, field
from typing import Any

import httpx

from veilscore.node.config import NodeSettings
from veilscore.runtime.errors import HostError, UnreachableError
from veilscore.runtime.web.tokens import read_token

TIMEOUT_S = 120.0


class ProblemError(HostError):
    """What the node answered instead (RFC 9457)."""

    code = "problem"


@dataclass(frozen=True, slots=True)
class LocalNode:
    """The REST interface of one running node."""

    party: str
    address: str
    token: str = field(repr=False)

    @classmethod
    def of(cls, settings: NodeSettings) -> "LocalNode":
        """Return the node that a configuration file describes."""
        token = read_token(settings.web.token_file)
        address = f"http://{settings.web.host}:{settings.web.port}"
        return cls(settings.party, address, token)

    def status(self) -> dict[str, Any]:
        """Return the node's status."""
        return self._call("GET", "/v1/status")

    def scores(self, request: dict[str, Any]) -> dict[str, Any]:
        """Ask for joint scores."""
        return self._call("POST", "/v1/scores", request)

    def decide(self, run: str, *, approved: bool) -> None:
        """Approve or refuse a waiting run."""
        verb = "approve" if approved else "refuse"
        self._call("POST", f"/v1/runs/{run}/{verb}")

    def _call(
        self, method: str, path: str, body: dict[str, Any] | None = None
    ) -> dict[str, Any]:
        headers = {"Authorization": f"Bearer {self.token}"}
        try:
            response = httpx.request(
                method,
                self.address + path,
                json=body,
                headers=headers,
                timeout=TIMEOUT_S,
                trust_env=False,
            )
        except httpx.TransportError as error:
            raise UnreachableError(
                "the node does not answer",
                party=self.party,
                place=self.address,
                remedy="start it with `veilscore node run`",
            ) from error
        if response.is_error:
            raise _problem(self.party, response)
        found: dict[str, Any] = response.json() if response.content else {}
        return found


def _problem(party: str, response: httpx.Response) -> ProblemError:
    try:
        problem: dict[str, Any] = response.json()
    except ValueError:
        problem = {}
    what = str(problem.get("detail") or problem.get("title") or response.reason_phrase)
    error = ProblemError(what, party=party)
    error.code = str(problem.get("code", ProblemError.code))
    return error
