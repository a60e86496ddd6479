"""The operator's commands as a client of the running coordinator's REST interface.

Shows the operator's token to the address in the configuration and to nobody else.
"""

import json
from collections.abc import Sequence
from typing import Final, TypeVar, cast

import httpx
from pydantic import TypeAdapter, ValidationError

from veilscore.coordinator.config import CoordinatorSettings
from veilscore.coordinator.errors import ContractError, CoordinatorError
from veilscore.coordinator.folder import read_file
from veilscore.coordinator.web.face import CoordinatorStatus, RunView
from veilscore.runtime.errors import UnreachableError, WireError

_TIMEOUT_S: Final = 15.0
_WILDCARDS: Final = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 - not dialled
_T = TypeVar("_T")


class OperatorClient:
    """Asks the running coordinator.

    Every method raises UnreachableError if it does not answer, and what it refuses
    as CoordinatorError.
    """

    def __init__(self, settings: CoordinatorSettings) -> None:
        token = read_file(settings.web.token_file).decode("ascii", "replace").strip()
        web = settings.web
        here = web.model_copy(update={"host": _WILDCARDS.get(web.host, web.host)})
        self._client = httpx.Client(
            base_url=f"http://{here.address}",
            headers={"Authorization": f"Bearer {token}"},
            timeout=_TIMEOUT_S,
            trust_env=False,  # a proxy must not see the token
        )

    def close(self) -> None:
        """Close the connection."""
        self._client.close()

    def propose(self, contract_toml: str) -> str:
        """Propose a run and return its id."""
        answer = self._ask("POST", "/v1/runs", contract_toml.encode())
        return _read(dict[str, str], answer)["run"]

    def run(self, run: str) -> RunView:
        """Return one run."""
        return _read(RunView, self._ask("GET", f"/v1/runs/{run}"))

    def runs(self) -> Sequence[RunView]:
        """Return all runs, the newest first."""
        return _read(list[RunView], self._ask("GET", "/v1/runs"))

    def status(self) -> CoordinatorStatus:
        """Return the state of the coordinator."""
        return _read(CoordinatorStatus, self._ask("GET", "/v1/status"))

    def _ask(self, method: str, path: str, body: bytes = b"") -> bytes:
        try:
            response = self._client.request(method, path, content=body)
        except httpx.HTTPError as error:
            raise UnreachableError(
                "the coordinator does not answer",
                place=str(self._client.base_url),
                remedy="Start it with: veilscore coordinator run.",
            ) from error
        if not response.is_success:
            raise _problem(response)
        return response.content


def _read(kind: type[_T], data: bytes) -> _T:
    try:
        return TypeAdapter(kind).validate_json(data)
    except ValidationError as error:
        raise WireError(
            "the coordinator's answer cannot be read",
            remedy="Install the version that the coordinator runs.",
        ) from error


def _problem(response: httpx.Response) -> CoordinatorError:
    """Return the fault that an answer (RFC 9457) tells of."""
    try:
        said = cast("dict[str, object]", json.loads(response.content))
        what, code = str(said["detail"]), str(said["code"])
    except (ValueError, TypeError, KeyError):
        what, code, said = f"the coordinator answered {response.status_code}", "", {}
    kind = ContractError if code == ContractError.code else CoordinatorError
    party, place, remedy = (
        str(said.get(name, "")) for name in ("party", "place", "remedy")
    )
    return kind(what, party=party, place=place, remedy=remedy)
