"""The REST interface for runs: its operator proposes and stops them, auditors watch.

Proposing starts nothing: every party's operator decides first.
"""

from collections.abc import Sequence
from http import HTTPStatus
from typing import Annotated, Final

from fastapi import APIRouter, Depends, Request, Response
from pydantic import BaseModel, Field
from starlette.exceptions import HTTPException

from veilscore.coordinator.web.face import (
    CoordinatorFace,
    CoordinatorStatus,
    RunView,
)
from veilscore.coordinator.web.readers import Readers
from veilscore.runtime.errors import RequestError
from veilscore.runtime.web.language import gettext_noop
from veilscore.runtime.web.problems import (
    BAD_REQUEST,
    FORBIDDEN,
    UNAUTHORIZED,
    problem_responses,
)


class Proposed(BaseModel):
    """A run that was proposed."""

    run: str = Field(description="Id of the run")


async def _read_contract(request: Request) -> str:
    body = await request.body()
    try:
        return body.decode()
    except UnicodeDecodeError as error:
        raise RequestError("the contract is not UTF-8 text") from error


_TOML_BODY = {
    "requestBody": {
        "required": True,
        "content": {"application/toml": {"schema": {"type": "string"}}},
    }
}


_UNKNOWN: Final = {404: gettext_noop("not-found: there is no such run")}
_TOO_LATE: Final = {409: gettext_noop("run: the run is over")}
_REFUSED: Final = {
    409: gettext_noop("run: no run can start at the moment"),
    422: gettext_noop(
        "contract: a clause is wrong; bad-request: the body is no UTF-8 text"
    ),
}


def run_routes(face: CoordinatorFace, readers: Readers) -> APIRouter:
    """Return the routes under ``/v1``."""
    router = APIRouter(
        prefix="/v1",
        responses=problem_responses(
            {401: UNAUTHORIZED, 403: FORBIDDEN, 422: BAD_REQUEST}
        ),
    )
    watching = [Depends(readers.may_watch)]
    changing = [Depends(readers.may_change)]

    def known(run: str) -> str:
        if all(view.run != run for view in face.runs()):
            raise HTTPException(HTTPStatus.NOT_FOUND, "there is no such run")
        return run

    @router.post(
        "/runs",
        summary="Propose a training run",
        status_code=201,
        dependencies=changing,
        responses=problem_responses(_REFUSED),
        openapi_extra=_TOML_BODY,
    )
    def propose(
        contract: Annotated[str, Depends(_read_contract)], response: Response
    ) -> Proposed:
        """Send a contract, written in TOML, to its parties for their decision."""
        run = face.propose(contract)
        response.headers["Location"] = f"/v1/runs/{run}"
        return Proposed(run=run)

    @router.get("/runs", summary="List all runs", dependencies=watching)
    def runs() -> Sequence[RunView]:
        """List them with the newest first."""
        return face.runs()

    @router.get(
        "/runs/{run}",
        summary="Read one run",
        dependencies=watching,
        responses=problem_responses(_UNKNOWN),
    )
    def run_view(run: Annotated[str, Depends(known)]) -> RunView:
        """Return where the run stands and what each party decided."""
        return face.run(run)

    @router.delete(
        "/runs/{run}",
        summary="Stop a run",
        dependencies=changing,
        responses=problem_responses({**_UNKNOWN, **_TOO_LATE}),
    )
    def stop(run: Annotated[str, Depends(known)]) -> RunView:
        """Stop the run for all of its parties; this is logged."""
        face.stop(run)
        return face.run(run)

    @router.get(
        "/status", summary="Read the state of the coordinator", dependencies=watching
    )
    def status() -> CoordinatorStatus:
        """Return which nodes are attached, and why no run can start."""
        return face.status()

    return router


def readiness_route(face: CoordinatorFace) -> APIRouter:
    """Return the route that load balancers and monitors ask."""
    router = APIRouter()

    @router.get("/readyz", include_in_schema=False)
    def ready(response: Response) -> dict[str, object]:
        reasons = list(face.status().reasons)
        response.status_code = 503 if reasons else 200
        return {"ready": not reasons, "reasons": reasons}

    return router
