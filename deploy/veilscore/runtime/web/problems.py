"""How a web request that fails is answered: a problem (RFC 9457) or a page.

Who asks with a token or from a session is at home and gets the whole fault, which may
name local files and columns. Everybody else gets its stable code, and its sentence if
the fault is the asker's. A defect of ours is told to nobody but the log.
"""

import logging
from collections.abc import Mapping
from http import HTTPStatus
from typing import Final, cast

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, RedirectResponse, Response
from pydantic import BaseModel, Field
from starlette.exceptions import HTTPException

from veilscore.fault import Fault
from veilscore.runtime.errors import (
    ForbiddenError,
    HostError,
    PeerLostError,
    RequestError,
    UnauthorizedError,
    UnreachableError,
)
from veilscore.runtime.web.pages import Pages

_log = logging.getLogger(__name__)

API: Final = "/v1/"  # everything below answers in JSON, whatever the client accepts
_STATUSES: Final[Mapping[type[Fault], int]] = {
    UnauthorizedError: 401,
    ForbiddenError: 403,
    RequestError: 422,
    PeerLostError: 503,
    UnreachableError: 503,
    HostError: 500,
}


class ProblemItem(BaseModel):
    """One flaw of a request."""

    pointer: str = Field(description="JSON pointer to the place (RFC 6901)")
    detail: str = Field(description="What is wrong there")


class Problem(BaseModel):
    """A refusal or failure, as ``application/problem+json`` (RFC 9457)."""

    title: str = Field(description="Name of the HTTP status")
    status: int = Field(description="HTTP status")
    code: str = Field(description="Stable code of the fault")
    detail: str = Field(default="", description="What happened, one sentence")
    party: str = Field(default="", description="The party concerned")
    place: str = Field(default="", description="File, column or step concerned")
    remedy: str = Field(default="", description="What to do about it")
    errors: list[ProblemItem] = Field(
        default=[], description="Every flaw of the request"
    )


def problem_responses(*statuses: int) -> dict[int | str, dict[str, object]]:
    """Describe these refusals of a route for OpenAPI."""
    return {
        status: {
            "description": HTTPStatus(status).phrase,
            "content": {
                "application/problem+json": {"schema": Problem.model_json_schema()}
            },
        }
        for status in statuses
    }


def mark_at_home(request: Request) -> None:
    """Remember that this request proved who it is from."""
    request.state.at_home = True


def answer_problems(
    app: FastAPI, pages: Pages, statuses: Mapping[type[Fault], int]
) -> None:
    """Answer every error of a route; ``statuses`` adds the site's own faults."""
    table = {**_STATUSES, **statuses}

    def respond(request: Request, problem: Problem) -> Response:
        unauthorized = problem.status == HTTPStatus.UNAUTHORIZED
        if _wants_page(request):
            if unauthorized and pages.site.sign_in:
                return RedirectResponse(pages.site.sign_in, HTTPStatus.SEE_OTHER)
            return pages.render(
                request, "problem.html", http=problem.status, problem=problem
            )
        return JSONResponse(
            problem.model_dump(exclude_defaults=True),
            problem.status,
            {"WWW-Authenticate": "Bearer"} if unauthorized else None,
            "application/problem+json",
        )

    def on_fault(request: Request, error: Exception) -> Response:
        fault = cast("Fault", error)
        problem = _of_fault(fault, table)
        if problem.status >= HTTPStatus.INTERNAL_SERVER_ERROR:
            _log.error("%s %s: %s", request.method, request.url.path, fault)
        return respond(request, problem if _at_home(request) else _abroad(problem))

    def on_http(request: Request, error: Exception) -> Response:
        status = HTTPStatus(cast("HTTPException", error).status_code)
        code = status.phrase.lower().replace(" ", "-")
        return respond(request, Problem(title=status.phrase, status=status, code=code))

    def on_invalid(request: Request, error: Exception) -> Response:
        # What was sent is not repeated: it may hold ids.
        items = tuple(
            ("".join(f"/{part}" for part in each["loc"][1:]), str(each["msg"]))
            for each in cast("RequestValidationError", error).errors()
        )
        fault = RequestError("the request is not as the interface says", items=items)
        return respond(request, _of_fault(fault, table))

    def on_defect(request: Request, _error: Exception) -> Response:
        status = HTTPStatus.INTERNAL_SERVER_ERROR
        answer = respond(
            request, Problem(title=status.phrase, status=status, code="internal")
        )
        answer.headers["Connection"] = "close"  # as the server will do
        return answer

    app.add_exception_handler(Fault, on_fault)
    app.add_exception_handler(HTTPException, on_http)
    app.add_exception_handler(RequestValidationError, on_invalid)
    app.add_exception_handler(Exception, on_defect)  # which is logged by the server


def _wants_page(request: Request) -> bool:
    accepted = request.headers.get("accept", "")
    return "text/html" in accepted and not request.url.path.startswith(API)


def _at_home(request: Request) -> bool:
    return getattr(request.state, "at_home", False)


def _of_fault(fault: Fault, table: Mapping[type[Fault], int]) -> Problem:
    kinds = cast("tuple[type[Fault], ...]", type(fault).__mro__)
    status = HTTPStatus(next((table[kind] for kind in kinds if kind in table), 500))
    items = fault.items if isinstance(fault, RequestError) else ()
    return Problem(
        title=status.phrase,
        status=status,
        code=fault.code,
        detail=fault.what,
        party=fault.party,
        place=fault.place,
        remedy=fault.remedy,
        errors=[ProblemItem(pointer=pointer, detail=what) for pointer, what in items],
    )


def _abroad(problem: Problem) -> Problem:
    """Return what a stranger may know of a problem."""
    own_fault = problem.status < HTTPStatus.INTERNAL_SERVER_ERROR
    return Problem(
        title=problem.title,
        status=problem.status,
        code=problem.code,
        detail=problem.detail if own_fault else "",
        errors=problem.errors,
    )
