"""Deciding on waiting runs over REST: what ``veilscore node approve`` calls."""

from typing import Annotated, Literal

from fastapi import APIRouter, Body, Depends

from veilscore.node.web.face import REFUSAL_REASONS, NodeFace
from veilscore.runtime.web.problems import problem_responses
from veilscore.runtime.web.tokens import AccessToken, require_token


def decision_routes(face: NodeFace, token: AccessToken) -> APIRouter:
    """Return the routes under ``/v1/runs``."""
    router = APIRouter(
        prefix="/v1/runs",
        dependencies=[Depends(require_token(token))],
        responses=problem_responses(401, 403),
    )

    @router.post("/{run}/approve", status_code=204, summary="Approve a waiting run")
    def approve(run: str) -> None:
        """Let this node take part in the run."""
        face.approve(run)

    @router.post("/{run}/refuse", status_code=204, summary="Refuse a waiting run")
    def refuse(
        run: str,
        reason: Annotated[
            Literal[0, 1, 2, 3], Body(embed=True, description="Which fixed sentence")
        ] = 3,
    ) -> None:
        """Keep this node out of the run; the reason becomes public."""
        face.refuse(run, REFUSAL_REASONS[reason])

    return router
