"""The REST interface for the bank's own systems: scores and status.

Ids come in over this interface and nothing of them goes out but the answer: no log,
problem or address holds one. Whoever has the token spends this node's score budget.
"""

from collections.abc import Collection, Sequence
from dataclasses import asdict
from typing import Final

from fastapi import APIRouter, Depends, Response
from pydantic import BaseModel, ConfigDict, Field

from veilscore.keys.entity_ids import EntityKind, normalise
from veilscore.keys.errors import EntityIdError
from veilscore.models.evaluation import Evaluation
from veilscore.node.scoring.refusals import OF_HOSTED, TRANSIENT, Reason
from veilscore.node.scoring.settings import Purpose
from veilscore.node.web.face import NodeFace, NodeStatus, PrivacyState, Unready
from veilscore.runtime.errors import RequestError
from veilscore.runtime.web.problems import (
    BAD_REQUEST,
    UNAUTHORIZED,
    UNREADABLE,
    problem_responses,
)
from veilscore.runtime.web.tokens import AccessToken, require_token

MAX_ENTITIES: Final = 1000
REQUEST_ID: Final = (
    "Id of the request: the correlation under which the audit log holds it, each "
    "decision and each answer, and by which its evidence is found"
)


def holder_codes(apart: Collection[Reason], *, transient: bool) -> str:
    """Return the text for refusals of data holders, but for reasons ``apart``."""
    reasons = [
        f"holder-{reason}"
        for reason in Reason
        if (reason in TRANSIENT) is transient and reason not in apart
    ]
    if not transient:
        named = ", ".join([*reasons, "holder-unknown"])
        return (
            "consent: the consent that is registered here does not allow it; "
            f"the data holder that party names refused: {named}"
        )
    return (
        "ask again later; the data holder that party names could not answer: "
        f"{', '.join(reasons)}, no-receiving-key, peer-lost; unreachable: the "
        "coordinator or its log does not answer; log-store: this node cannot store "
        "events; stopping: this node stops"
    )


CODES_OF_SCORES: Final = {
    400: UNREADABLE,
    403: holder_codes(OF_HOSTED, transient=False),
    404: "no-model: this node has no model yet; unknown-model: not the one asked for",
    413: "request-entity-too-large: split the request",
    422: f"{BAD_REQUEST}; too-many-entities: split the request; "
    "which-holder: name one of the holders listed, or none; "
    "scoring: nobody can be asked this",
    500: "any other code: this node must be put in order; internal: a defect",
    502: "bad-answer: the answers do not fit together; "
    "coordinator-refused: the coordinator does not accept this node",
    503: holder_codes(OF_HOSTED, transient=True),
    504: "no-answer: the data holders that party names did not answer in time",
}


class Message(BaseModel):
    """Base of what goes in and out; other members are refused."""

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)


class Entity(Message):
    """A firm or a person."""

    type: EntityKind = Field(
        description="uscc: unified social credit code; resident: resident id; "
        "opaque: any other agreed id"
    )
    id: str = Field(min_length=1, max_length=200, description="The id itself")


class ScoreRequest(Message):
    """Which entities to score, and why one may."""

    entities: list[Entity] = Field(
        min_length=1, max_length=MAX_ENTITIES, description="Up to 1,000, each once"
    )
    purpose: Purpose = Field(description="Why it is asked; logged by every party")
    consent: str = Field(
        min_length=1,
        max_length=200,
        description="Reference of the consent; only a commitment to it is logged",
    )
    model: str | None = Field(
        default=None,
        pattern="^[0-9a-f]{64}$",
        description="Hash of the model's manifest; without it the newest model",
    )
    holder: str | None = Field(
        default=None,
        min_length=1,
        max_length=200,
        description="Of a whole model, which comes from a horizontal run: the data "
        "holder whose score is asked for. Without it this node scores by its own card, "
        "or asks the only holder. Other models' scores are sums over all holders, and "
        "none is named",
    )


class Score(Message):
    """The score of one entity, joint or of a whole model."""

    type: EntityKind = Field(description="As in the request")
    id: str = Field(description="As in the request")
    score: int | None = Field(
        description="Points; more is better. Null: a data holder does not know the "
        "entity, and the model scores only those that all know"
    )
    probability_of_default: float | None = Field(description="Between 0 and 1, or null")
    known: bool = Field(description="Whether this node's own data has the entity")


class ScoreResponse(Message):
    """Scores in the order of the request."""

    request: str = Field(description=REQUEST_ID)
    model: str = Field(description="Hash of the manifest of the model they are of")
    at_home: bool = Field(
        description="True: this node scored by its own card of a whole model; nobody "
        "was asked, nothing left this node or was logged, and request is empty"
    )
    scores: list[Score] = Field(description="One an entity")


def score_routes(face: NodeFace, token: AccessToken) -> APIRouter:
    """Return the routes under ``/v1``."""
    router = APIRouter(
        prefix="/v1",
        dependencies=[Depends(require_token(token))],
        responses=problem_responses({401: UNAUTHORIZED}),
    )

    @router.post(
        "/scores",
        summary="Ask for scores",
        responses=problem_responses(CODES_OF_SCORES),
    )
    def ask(request: ScoreRequest) -> ScoreResponse:
        """Ask every data holder of the model, under encryption, and wait.

        The request, each holder's decision and each answer are logged. If any holder
        refuses or does not answer there is no score. Of a whole model one holder is
        asked, or nobody if this node has a card of it and no holder is named.
        """
        _check_ids(request.entities)
        reply = face.ask(
            [(entity.type, entity.id) for entity in request.entities],
            bytes.fromhex(request.model) if request.model else None,
            request.holder,
            request.purpose,
            request.consent,
        )
        answered = reply.answered
        return ScoreResponse(
            request=answered.request,
            model=reply.model.hex(),
            at_home=answered.at_home,
            scores=[
                Score(
                    type=entity.type,
                    id=entity.id,
                    score=found.score,
                    probability_of_default=found.probability_of_default,
                    known=found.known,
                )
                for entity, found in zip(request.entities, answered.scores, strict=True)
            ],
        )

    @router.get("/status", summary="Read the state of the node")
    def status() -> dict[str, object]:
        """Return what the status page shows."""
        return describe(face.status(), face.ready())

    return router


def readiness_route(face: NodeFace) -> APIRouter:
    """Return the route that load balancers and monitors ask."""
    router = APIRouter()

    @router.get("/readyz", include_in_schema=False)
    def ready(response: Response) -> dict[str, object]:
        reasons = list(face.ready())
        response.status_code = 503 if reasons else 200
        return {"ready": not reasons, "reasons": reasons}

    return router


def _check_ids(entities: Sequence[Entity]) -> None:
    """Raise RequestError that lists every id that is wrong or comes twice."""
    found: dict[str, int] = {}
    flaws: list[tuple[str, str]] = []
    for index, entity in enumerate(entities):
        pointer = f"/entities/{index}/id"
        try:
            first = found.setdefault(normalise(entity.type, entity.id), index)
        except EntityIdError as error:
            flaws.append((pointer, error.what))
        else:
            if first != index:
                flaws.append((pointer, f"this is the entity of index {first} again"))
    if flaws:
        raise RequestError(
            f"{len(flaws)} of {len(entities)} ids cannot be used",
            items=tuple(flaws),
            remedy="Correct or leave out these entities; nothing was asked.",
        )


def _figures(found: Evaluation | None) -> dict[str, object] | None:
    if found is None:
        return None
    return {**asdict(found), "gini": found.gini, "alone_gini": found.alone_gini}


def _privacy(found: PrivacyState | None) -> dict[str, object] | None:
    return {**asdict(found), "left": found.left} if found else None


def describe(status: NodeStatus, reasons: Sequence[Unready]) -> dict[str, object]:
    """Return the status as JSON."""
    return {
        "party": status.party,
        "version": status.version,
        "ready": not reasons,
        "reasons": list(reasons),
        "link": asdict(status.link),
        "supernode_online": status.supernode_online,
        "certificate_days": status.certificate_days,
        "source": asdict(status.source) if status.source else None,
        "models": [
            {
                "hash": model.hash.hex(),
                "run": model.run,
                "added_ms": model.added_ms,
                "evaluation": _figures(model.evaluation),
                "holders": model.holders,
                "whole": model.whole,
            }
            for model in status.models
        ],
        "run": asdict(status.run) if status.run else None,
        "failure": asdict(status.failure) if status.failure else None,
        "hosted": [asdict(budget) for budget in status.hosted],
        "pending": [
            {
                "run": pending.contract.run,
                "work_ms": pending.work_ms,
                "sent_bytes": pending.sent_bytes,
                "privacy": asdict(pending.privacy) if pending.privacy else None,
                "rows": pending.rows,
                "labelled": pending.labelled,
            }
            for pending in status.pending
        ],
        "events": [asdict(event) for event in status.events],
        "unwitnessed": status.unwitnessed,
        "reconciled": asdict(status.reconciled),
        "privacy": _privacy(status.privacy),
        "misconducts": status.misconducts,
    }
