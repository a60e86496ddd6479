"""The REST interface for models that others trained: their manifests come in.

A manifest is public: it names holders, hashes of their cards and a scale.
"""

from typing import Final

from fastapi import APIRouter, Depends
from pydantic import Field

from veilscore.node.web.face import NodeFace
from veilscore.node.web.scores import Message
from veilscore.runtime.web.problems import (
    BAD_REQUEST,
    UNAUTHORIZED,
    UNREADABLE,
    problem_responses,
)
from veilscore.runtime.web.tokens import AccessToken, require_token

LONGEST_MANIFEST: Final = 1 << 18  # bytes
_CODES: Final = {
    400: UNREADABLE,
    401: UNAUTHORIZED,
    422: f"{BAD_REQUEST}; manifest: ask a party of the run for its manifest again",
    500: "any other code: this node must be put in order; internal: a defect",
}


class NewModel(Message):
    """A model to ask for scores of."""

    manifest: str = Field(
        pattern="^([0-9a-f]{2})*$",
        max_length=2 * LONGEST_MANIFEST,
        description="The file that a party of its run exported, in hexadecimal",
    )


class AddedModel(Message):
    """A model that can be asked for now."""

    model: str = Field(description="Hash of its manifest")
    run: str = Field(description="The run that made it")
    holders: list[str] = Field(description="Parties that have a card of it")
    whole: bool = Field(
        description="True: each card is the whole model, and one holder is asked. "
        "False: a score is the sum over all holders"
    )


def model_routes(face: NodeFace, token: AccessToken) -> APIRouter:
    """Return the route under ``/v1``."""
    router = APIRouter(
        prefix="/v1",
        dependencies=[Depends(require_token(token))],
        responses=problem_responses(_CODES),
    )

    @router.post("/models", summary="Take in a model that others trained")
    def add(new: NewModel) -> AddedModel:
        """Keep its manifest. It is the newest model then, unless it was here before."""
        added = face.add_model(bytes.fromhex(new.manifest))
        return AddedModel(
            model=added.hash.hex(),
            run=added.run,
            holders=list(added.holders),
            whole=added.whole,
        )

    return router
