"""The node's pages: its state, and the decision about proposed runs.

Only who signed in with the node's token sees anything. A decision is signed and logged
by the node; the page says what will be logged before it is.
"""

import hashlib
import json
from collections.abc import Mapping
from http import HTTPStatus
from pathlib import Path
from typing import Annotated, Final

from fastapi import APIRouter, Depends, Request
from fastapi.responses import RedirectResponse, Response
from starlette.exceptions import HTTPException

from veilscore.node.web.contract_terms import clauses, fewest_added, stages
from veilscore.node.web.face import REFUSAL_REASONS, NodeFace, PendingRun
from veilscore.node.web.scores import describe
from veilscore.runtime.errors import RequestError, UnauthorizedError
from veilscore.runtime.web.language import gettext_noop
from veilscore.runtime.web.pages import Pages, Site
from veilscore.runtime.web.sessions import Doorman, check_csrf, read_form

SITE: Final = Site(
    name=gettext_noop("Node"),
    folder=Path(__file__).parent,
    navigation=(
        ("/", gettext_noop("State")),
        ("/api", gettext_noop("REST interface")),
    ),
    sign_in="/login",
)
_Form = Annotated[Mapping[str, str], Depends(read_form)]


def session_routes(pages: Pages, doorman: Doorman) -> APIRouter:
    """Return the routes that begin and end a session."""
    router = APIRouter(include_in_schema=False)

    @router.get("/login")
    def entrance(request: Request) -> Response:
        return pages.render(request, "sign_in.html", wrong=False)

    @router.post("/login")
    def sign_in(request: Request, form: _Form) -> Response:
        response = _to_first_page()
        try:
            doorman.sign_in(request, response, form.get("token", "").strip())
        except UnauthorizedError:
            return pages.render(request, "sign_in.html", http=401, wrong=True)
        return response

    @router.post("/logout")
    def sign_out(request: Request, form: _Form) -> Response:
        check_csrf(doorman.session(request), form)
        response = _to_first_page()
        doorman.sign_out(request, response)
        return response

    return router


def page_routes(face: NodeFace, pages: Pages, doorman: Doorman) -> APIRouter:
    """Return the routes of the pages."""
    router = APIRouter(include_in_schema=False)

    @router.get("/")
    def state(request: Request) -> Response:
        session = doorman.session(request)
        status, reasons = face.status(), face.ready()
        return pages.render(
            request,
            "state.html",
            session=session,
            status=status,
            reasons=reasons,
            page=_page_digest(describe(status, reasons)),
            stages=stages(status.run.steps, status.run.step) if status.run else (),
        )

    @router.get("/live")
    def live(request: Request) -> dict[str, object]:
        doorman.session(request, active=False)
        status, reasons = face.status(), face.ready()
        fraction = status.run.fraction if status.run else 0.0
        percent = pages.language(request).percent(fraction)
        return {
            "page": _page_digest(describe(status, reasons)),
            "show": {"fraction": fraction, "percent": percent},
        }

    @router.get("/runs/{run}")
    def review(request: Request, run: str) -> Response:
        session = doorman.session(request)
        pending = _pending(face, run)
        return pages.render(
            request,
            "review.html",
            session=session,
            pending=pending,
            party=face.status().party,
            privacy=face.status().privacy,
            clauses=clauses(pending.contract),
            least=fewest_added(pending.contract),
            reasons=REFUSAL_REASONS,
        )

    @router.post("/runs/{run}")
    def decide(request: Request, run: str, form: _Form) -> Response:
        check_csrf(doorman.session(request), form)
        _pending(face, run)
        match form:
            case {"decision": "approve", "compared": "yes"}:
                face.approve(run)
            case {"decision": "refuse", "reason": reason} if reason in REFUSAL_REASONS:
                face.refuse(run, reason)
            case _:
                raise RequestError(
                    "the decision is not complete",
                    remedy="Confirm the parties to approve, or choose a reason.",
                )
        return _to_first_page()

    return router


def _to_first_page() -> Response:
    return RedirectResponse("/", HTTPStatus.SEE_OTHER)


def _pending(face: NodeFace, run: str) -> PendingRun:
    for pending in face.status().pending:
        if pending.contract.run == run:
            return pending
    raise HTTPException(HTTPStatus.NOT_FOUND)  # decided meanwhile, for instance


def _page_digest(state: dict[str, object]) -> str:
    """Name everything on the state page but what the script replaces in place."""
    run = state["run"]
    if isinstance(run, dict):
        state = {**state, "run": {**run, "fraction": None}}
    return hashlib.sha256(json.dumps(state).encode()).hexdigest()[:16]
