"""The REST interface to what the node keeps: openings, consents, their erasure.

Ids come in as bodies, never in addresses, which proxies and browsers note down. What
goes out names people: it is for this institution, and for whom it shows it to.
"""

from collections.abc import Sequence
from datetime import UTC, date, datetime, time
from typing import Annotated, Final, Self

from fastapi import APIRouter, Depends
from pydantic import Field, model_validator

from veilscore.keys.entity_ids import normalise
from veilscore.node.scoring.settings import Purpose
from veilscore.node.web.face import NodeFace
from veilscore.node.web.scores import Entity, Message
from veilscore.runtime.web.problems import (
    BAD_REQUEST,
    UNAUTHORIZED,
    UNREADABLE,
    problem_responses,
)
from veilscore.runtime.web.tokens import AccessToken, require_token

LONGEST_DOCUMENT: Final = 8 << 20  # bytes
_CODES: Final = {
    400: UNREADABLE,
    401: UNAUTHORIZED,
    404: "no-opening: nothing of it is kept here, or it was erased; unknown-consent: "
    "no such consent is registered, or it was withdrawn",
    422: BAD_REQUEST,
    500: "any other code: this node must be put in order; internal: a defect",
    503: "log-store: this node cannot store events",
}
_Request = Annotated[str, Field(pattern="^[0-9a-f]{64}$", description="As in the log")]


class Disclosure(Message):
    """Which request to open, and what of it."""

    request: _Request
    entity: Entity | None = Field(default=None, description="The one to show")
    row: int = Field(
        default=0, ge=0, description="The row of ciphertexts to show; 0: none"
    )


class Asked(Message):
    """One request that an entity is in."""

    request: str = Field(description="What names it in the log")
    time: int = Field(description="Seconds since 1970")
    requester: str = Field(description="Who asked")
    purpose: str = Field(description="Why")
    consent: str = Field(description="Reference of the consent")
    decision: str = Field(
        description="answered, the code of a refusal or fault, or empty: not known"
    )


class Erasure(Message):
    """What to erase: one of the three."""

    entity: Entity | None = Field(default=None, description="All about an entity")
    request: _Request | None = Field(default=None, description="All of a request")
    before: date | None = Field(
        default=None,
        strict=False,
        description="All of before a day in UTC",
    )

    @model_validator(mode="after")
    def _one(self) -> Self:
        named = (self.entity, self.request, self.before)
        if sum(each is not None for each in named) != 1:
            raise ValueError("name one of entity, request and before")
        return self


class Erasing(Message):
    """What was erased."""

    openings: int = Field(description="How many")


class ConsentKey(Message):
    """What names a consent."""

    reference: str = Field(min_length=1, max_length=200, description="Of the consent")
    entity: Entity = Field(description="Who gave it")


class NewConsent(ConsentKey):
    """A consent to register."""

    purposes: list[Purpose] = Field(min_length=1, description="What it is for")
    until: int = Field(ge=0, lt=1 << 40, description="Seconds since 1970")
    document: str = Field(
        pattern="^([0-9a-f]{2})*$",
        max_length=2 * LONGEST_DOCUMENT,
        description="The document, in hexadecimal; only a salted hash of it is kept",
    )


class KeptConsent(Message):
    """A consent that is registered here."""

    reference: str = Field(description="Of the consent")
    entity: str = Field(description="Typed id of who gave it")
    purposes: list[str] = Field(description="What it is for")
    until: int = Field(description="Seconds since 1970")
    withdrawn: int = Field(description="Seconds since 1970; 0: it is not")
    event: int = Field(description="Number of the event that registered it")


class Counted(Message):
    """What became of a consent."""

    event: int = Field(default=0, description="Number of the event that registered it")
    withdrawn: int = Field(default=0, description="How many were withdrawn")


def record_routes(face: NodeFace, token: AccessToken) -> APIRouter:
    """Return the routes under ``/v1``."""
    router = APIRouter(
        prefix="/v1",
        dependencies=[Depends(require_token(token))],
        responses=problem_responses(_CODES),
    )

    @router.post("/openings", summary="Open what the log shows of a request")
    def disclose(wanted: Disclosure) -> dict[str, str]:
        """Return a file for an auditor: the terms, and one entity if it is named."""
        file = face.records.disclose(wanted.request, _typed(wanted.entity), wanted.row)
        return {"file": file.decode()}

    @router.post("/asked-about", summary="List who asked about an entity")
    def asked_about(entity: Entity) -> list[Asked]:
        """Return the requests that this node made or answered and still has."""
        return [
            Asked(
                request=each.request,
                time=each.time,
                requester=each.requester,
                purpose=each.purpose,
                consent=each.consent,
                decision=each.decision,
            )
            for each in face.records.asked_about(_typed(entity))
        ]

    @router.post("/erasures", summary="Destroy the keys of openings")
    def erase(wanted: Erasure) -> Erasing:
        """Make sure that nobody can open them any more; the log says so."""
        midnight = (
            datetime.combine(wanted.before, time(), UTC).timestamp()
            if wanted.before
            else 0.0
        )
        return Erasing(
            openings=face.records.erase(
                entity=_typed(wanted.entity),
                request=wanted.request or "",
                before=midnight,
            )
        )

    @router.post("/consents", summary="Register a consent")
    def register(consent: NewConsent) -> Counted:
        """Keep it, sealed; the log says that there is one and until when."""
        return Counted(
            event=face.records.register(
                consent.reference,
                _typed(consent.entity),
                consent.purposes,
                consent.until,
                bytes.fromhex(consent.document),
            )
        )

    @router.post("/consents/withdraw", summary="Withdraw a consent")
    def withdraw(consent: ConsentKey) -> Counted:
        """Let it no longer count, also for requests that are under way."""
        entity = _typed(consent.entity)
        return Counted(withdrawn=face.records.withdraw(consent.reference, entity))

    @router.get("/consents", summary="List the registered consents")
    def registered() -> Sequence[KeptConsent]:
        """Return those that were not erased, the oldest first."""
        return [
            KeptConsent(
                reference=each.reference,
                entity=each.entity,
                purposes=list(each.purposes),
                until=each.until,
                withdrawn=each.withdrawn,
                event=each.event,
            )
            for each in face.records.registered()
        ]

    return router


def _typed(entity: Entity | None) -> str:
    """Return an id in its one spelling, or nothing; raises EntityIdError."""
    return normalise(entity.type, entity.id) if entity else ""
