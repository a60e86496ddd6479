"""Deciding on waiting runs over REST: what ``veilscore node approve`` calls."""

from typing import Annotated, Final, Literal

from fastapi import APIRouter, Body, Depends

from veilscore.node.web.face import REFUSAL_REASONS, NodeFace
from veilscore.runtime.web.language import gettext_noop
from veilscore.runtime.web.problems import (
    BAD_REQUEST,
    UNAUTHORIZED,
    UNREADABLE,
    problem_responses,
)
from veilscore.runtime.web.tokens import AccessToken, require_token

_Reason = Literal["parties", "clauses", "source", "time"]
_SENTENCES: Final[dict[_Reason, str]] = dict(
    zip(("parties", "clauses", "source", "time"), REFUSAL_REASONS, strict=True)
)
_CODES: Final = {
    401: UNAUTHORIZED,
    404: gettext_noop("unknown-run: no such run waits for this node's decision"),
    409: gettext_noop("already-decided: this node's operator has decided about it"),
    422: BAD_REQUEST,
}


def decision_routes(face: NodeFace, token: AccessToken) -> APIRouter:
    """Return the routes under ``/v1/runs``."""
    router = APIRouter(
        prefix="/v1/runs",
        dependencies=[Depends(require_token(token))],
        responses=problem_responses(_CODES),
    )

    @router.post("/{run}/approve", status_code=204, summary="Approve a waiting run")
    def approve(run: str) -> None:
        """Let this node take part in the run."""
        face.approve(run)

    @router.post(
        "/{run}/refuse",
        status_code=204,
        summary="Refuse a waiting run",
        responses=problem_responses({400: UNREADABLE}),
    )
    def refuse(
        run: str,
        reason: Annotated[
            _Reason,
            Body(
                embed=True,
                description="parties or clauses: not those that were agreed; "
                "source: the data source is not ready; time: not at this time",
            ),
        ] = "time",
    ) -> None:
        """Keep this node out of the run; the reason becomes public."""
        face.refuse(run, _SENTENCES[reason])

    return router
