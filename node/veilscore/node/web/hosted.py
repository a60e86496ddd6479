"""The REST interface for hosted scores: features in, scores out.

Features come in over this interface, are encrypted under this node's key and go nowhere
else: no log, problem or address holds one. Whoever has the token spends the bits that
the data holder's budget allows this institution.
"""

from collections.abc import Sequence
from typing import Annotated, Final

from fastapi import APIRouter, Depends
from pydantic import Field, Strict

from veilscore.models.errors import DataError
from veilscore.models.hosted import Applicant, Form
from veilscore.node.hosting.form_file import LONGEST, decode, digest
from veilscore.node.scoring.refusals import OF_JOINT
from veilscore.node.scoring.settings import Purpose
from veilscore.node.web.face import NodeFace
from veilscore.node.web.scores import (
    CODES_OF_SCORES,
    MAX_ENTITIES,
    REQUEST_ID,
    Message,
    holder_codes,
)
from veilscore.runtime.errors import RequestError
from veilscore.runtime.web.problems import (
    BAD_REQUEST,
    UNAUTHORIZED,
    problem_responses,
)
from veilscore.runtime.web.tokens import AccessToken, require_token

_CODES: Final = {
    **{code: text for code, text in CODES_OF_SCORES.items() if code != 404},  # noqa: PLR2004 - the status
    403: holder_codes(OF_JOINT, transient=False),
    422: f"{BAD_REQUEST}; form: ask the data holder for its form again; "
    "too-many-entities: split the request; scoring: nobody can be asked this",
    503: holder_codes(OF_JOINT, transient=True),
}
_Number = Annotated[float, Strict()]


class HostedScoreRequest(Message):
    """The applicants to score, and why one may."""

    form: str = Field(
        min_length=1,
        max_length=LONGEST,
        description="The text of the file that the data holder handed out",
    )
    applicants: list[dict[str, _Number | str | None]] = Field(
        min_length=1,
        max_length=MAX_ENTITIES,
        description="Up to 1,000; each has every feature of the form by its name. "
        "Null: the value is missing",
    )
    purpose: Purpose = Field(description="Why it is asked; logged by every party")
    consent: str = Field(
        min_length=1,
        max_length=200,
        description="Reference of the consent; only a commitment to it is logged",
    )


class HostedScoreResponse(Message):
    """Scores in the order of the request."""

    request: str = Field(description=REQUEST_ID)
    form: str = Field(description="Hash that names the form in the log")
    scores: list[int | float] = Field(
        description="One an applicant, in the units of the data holder's card"
    )


def hosted_routes(face: NodeFace, token: AccessToken) -> APIRouter:
    """Return the route for hosted scores."""
    router = APIRouter(
        prefix="/v1",
        dependencies=[Depends(require_token(token))],
        responses=problem_responses({401: UNAUTHORIZED}),
    )

    @router.post(
        "/hosted-scores",
        summary="Ask for hosted scores",
        responses=problem_responses(_CODES),
    )
    def ask(request: HostedScoreRequest) -> HostedScoreResponse:
        """Ask the data holder of a form for scores of encrypted features, and wait.

        The holder learns how many applicants there are and nothing of their features.
        The request, the holder's decision and its answer are logged.
        """
        form = decode(request.form, "/form")
        rows = _fill_in(form, request.applicants)
        answered = face.ask_hosted(form, rows, request.purpose, request.consent)
        return HostedScoreResponse(
            request=answered.request,
            form=digest(form).hex(),
            scores=list(answered.scores),
        )

    return router


def _fill_in(form: Form, applicants: Sequence[Applicant]) -> list[list[int]]:
    """Return the inputs; raises RequestError that lists every applicant with a flaw."""
    rows: list[list[int]] = []
    flaws: list[tuple[str, str]] = []
    for index, applicant in enumerate(applicants):
        try:
            rows.append(form.fill_in(applicant))
        except DataError as error:
            name = error.place.replace("~", "~0").replace("/", "~1")  # RFC 6901
            flaws.append((f"/applicants/{index}/{name}", error.what))
    if flaws:
        raise RequestError(
            f"{len(flaws)} of {len(applicants)} applicants cannot be scored",
            items=tuple(flaws),
            remedy="Correct or leave out these applicants; nothing was asked.",
        )
    return rows
