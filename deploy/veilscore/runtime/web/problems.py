"""How a web request that fails is answered: a problem (RFC 9457) or a page.

Who asks with a token or from a session is at home and gets the whole fault, which may
name local files and columns. Everybody else gets its stable code, and its sentence if
the fault is the asker's, and how to sign in. A defect of ours is told to nobody but
the log.
"""

import logging
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any, Final, cast

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, RedirectResponse, Response
from pydantic import BaseModel, Field
from pydantic.json_schema import models_json_schema
from starlette.exceptions import HTTPException
from starlette.routing import Match, Mount

from veilscore.fault import Fault
from veilscore.runtime.errors import (
    BusyError,
    ForbiddenError,
    HostError,
    PeerLostError,
    RequestError,
    UnauthorizedError,
    UnreachableError,
)
from veilscore.runtime.web.language import gettext_noop
from veilscore.runtime.web.pages import Pages

_log = logging.getLogger(__name__)

# Codes of statuses that several routes share, for ``problem_responses``.
UNAUTHORIZED: Final = gettext_noop("unauthorized: the token is missing or wrong")
FORBIDDEN: Final = gettext_noop("access: the party that asks may not do this")
UNREADABLE: Final = gettext_noop("bad-request: the body cannot be read")
BAD_REQUEST: Final = gettext_noop("bad-request: errors lists what is wrong, and where")

API: Final = "/v1/"  # everything below answers in JSON, whatever the client accepts
_STATUSES: Final[Mapping[type[Fault], int]] = {
    UnauthorizedError: 401,
    ForbiddenError: 403,
    RequestError: 422,
    BusyError: 503,
    PeerLostError: 503,
    UnreachableError: 503,
    HostError: 500,
}
# Codes and sentences of what is refused before it reaches a route.
_REFUSALS: Final[Mapping[int, tuple[str, str]]] = {
    404: ("not-found", "there is nothing at this address"),
    405: ("method-not-allowed", "this address does not take this method"),
    413: ("request-entity-too-large", "the body of the request is too long"),
}
_OTHER_REFUSAL: Final = ("bad-request", "this is no request that can be answered")
_METHODS: Final = ("DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT")
_SCHEMAS: Final = "#/components/schemas/{model}"


class ProblemItem(BaseModel):
    """One flaw of a request."""

    pointer: str = Field(
        description="JSON pointer into the body (RFC 6901); empty: to all of it, or "
        "to what is not in the body"
    )
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
    request: str = Field(
        default="",
        description="Id of the score request that failed, under which the audit log "
        "holds it; absent if nothing was logged",
    )
    errors: list[ProblemItem] = Field(
        default=[], description="Every flaw of the request"
    )


def problem_responses(texts: Mapping[int, str]) -> dict[int | str, dict[str, object]]:
    """Describe the refusals of a route for OpenAPI: the codes of each HTTP status."""
    schema = {"$ref": _SCHEMAS.format(model=Problem.__name__)}
    return {
        status: {
            "description": text,
            "content": {"application/problem+json": {"schema": schema}},
        }
        for status, text in texts.items()
    }


def problem_schemas() -> dict[str, object]:
    """Return the schemas that ``problem_responses`` refers to, by name."""
    _, found = models_json_schema([(Problem, "serialization")], ref_template=_SCHEMAS)
    return cast("dict[str, object]", found["$defs"])


def mark_at_home(request: Request) -> None:
    """Remember that this request proved who it is from."""
    request.state.at_home = True


def answer_problems(
    app: FastAPI, pages: Pages, statuses: Mapping[type[Fault], int]
) -> None:
    """Answer every error of a route; ``statuses`` adds the site's own faults."""
    table = {**_STATUSES, **statuses}

    def respond(
        request: Request, problem: Problem, headers: Mapping[str, str] | None = None
    ) -> Response:
        response = _render(pages, request, problem)
        response.headers.update(headers or {})
        return response

    def on_fault(request: Request, error: Exception) -> Response:
        fault = cast("Fault", error)
        problem = _of_fault(fault, table)
        if isinstance(fault, BusyError):
            return respond(request, problem, {"Retry-After": str(fault.after_s)})
        if problem.status >= HTTPStatus.INTERNAL_SERVER_ERROR:
            _log.error("%s %s: %s", request.method, request.url.path, fault)
        return respond(request, problem if _at_home(request) else _abroad(problem))

    def on_http(request: Request, error: Exception) -> Response:
        refusal = cast("HTTPException", error)
        headers = dict(refusal.headers or {})
        if refusal.status_code == HTTPStatus.METHOD_NOT_ALLOWED:
            headers["Allow"] = _allowed(app, request)
        return respond(request, _of_refusal(request, refusal), headers)

    def on_invalid(request: Request, error: Exception) -> Response:
        flaws = cast("RequestValidationError", error).errors()
        fault = RequestError(
            "the request is not as the interface says",
            items=tuple(map(_flaw, flaws)),
            remedy="Correct what the list of errors names.",
        )
        return respond(request, _of_fault(fault, table))

    def on_defect(request: Request, _error: Exception) -> Response:
        status = HTTPStatus.INTERNAL_SERVER_ERROR
        problem = _unlocated(
            request,
            status,
            "internal",
            "a defect ended this request; the log of this server says more",
        )
        closing = {"Connection": "close"}  # as the server will do
        return respond(request, problem, closing)

    app.add_exception_handler(Fault, on_fault)
    app.add_exception_handler(HTTPException, on_http)
    app.add_exception_handler(RequestValidationError, on_invalid)
    app.add_exception_handler(Exception, on_defect)  # which is logged by the server


def _render(pages: Pages, request: Request, problem: Problem) -> Response:
    """Answer with a page where a person asks, else with the problem itself."""
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


def _allowed(app: FastAPI, request: Request) -> str:
    """List the methods of an address (RFC 9110, section 10.2.1).

    The router names those of one route only, and an address may have several.
    """
    routes = [route for route in app.routes if not isinstance(route, Mount)]
    found = [
        method
        for method in _METHODS
        if any(
            route.matches({**request.scope, "method": method})[0] is Match.FULL
            for route in routes
        )
    ]
    return ", ".join(found) or "GET, HEAD"  # static files are mounted


def _flaw(error: Mapping[str, Any]) -> tuple[str, str]:
    """Return the pointer and the sentence of one flaw that pydantic found.

    What was sent is not repeated: it may hold ids.
    """
    where, *path = error["loc"]
    if error["type"] == "json_invalid":
        (position,) = path
        return "", f"not JSON: {error['ctx']['error']}, at character {position}"
    if where != "body":
        return "", f"{where} parameter {'.'.join(map(str, path))}: {error['msg']}"
    parts = (str(part).replace("~", "~0").replace("/", "~1") for part in path)
    return "".join(f"/{part}" for part in parts), str(error["msg"])


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
        request=fault.request,
        errors=[ProblemItem(pointer=pointer, detail=what) for pointer, what in items],
    )


def _of_refusal(request: Request, refusal: HTTPException) -> Problem:
    status = HTTPStatus(refusal.status_code)
    code, sentence = _REFUSALS.get(status, _OTHER_REFUSAL)
    if refusal.detail != status.phrase:
        sentence = refusal.detail
    return _unlocated(request, status, code, sentence)


def _unlocated(
    request: Request, status: HTTPStatus, code: str, sentence: str
) -> Problem:
    """Return a problem that no fault stands behind.

    A page says it in its heading, in the reader's language.
    """
    detail = "" if _wants_page(request) else sentence
    return Problem(title=status.phrase, status=status, code=code, detail=detail)


def _abroad(problem: Problem) -> Problem:
    """Return what a stranger may know of a problem."""
    own_fault = problem.status < HTTPStatus.INTERNAL_SERVER_ERROR
    return Problem(
        title=problem.title,
        status=problem.status,
        code=problem.code,
        detail=problem.detail if own_fault else "",
        # How to sign in; other remedies may name local files.
        remedy=problem.remedy if problem.status == HTTPStatus.UNAUTHORIZED else "",
        errors=problem.errors,
    )
