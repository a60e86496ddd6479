"""The audit of an opening file beside the evidence of the request that it is about.

It shows that the party committed in the log to just these terms and this entity, before
an answer left. Whether the requester asked the data holders about the same entity shows
a file of theirs: their decisions hold commitments of their own.
"""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Final, TypeVar

from google.protobuf.message import DecodeError

from veilscore.keys.errors import ProofError
from veilscore.keys.registry import Registry
from veilscore.keys.tlog.checkpoint import open_checkpoint
from veilscore.keys.tlog.events import open_event
from veilscore.keys.tlog.evidence.opening import OpeningFile
from veilscore.keys.tlog.evidence.steps import VerifiedEvents, one
from veilscore.v1.audit_pb2 import Event
from veilscore.v1.opening_pb2 import CommittedEntity, CommittedTerms
from veilscore.v1.score_pb2 import HostedQueryBody, ScoreQueryBody

OPENING: Final = "opening"
TERMS: Final = "opened terms"
ENTITY: Final = "opened entity"
CONSENT: Final = "opened consent"

_M = TypeVar("_M", CommittedTerms, CommittedEntity, ScoreQueryBody, HostedQueryBody)


def audit_opening(evidence: VerifiedEvents, registry: Registry, data: bytes) -> None:
    """Verify an opening file about the request of a bundle; raises AuditError."""
    with evidence.step(OPENING):
        file = _signed(evidence, registry, data)
    with evidence.step(TERMS):
        request = one(evidence.own("score_requested"), "request")
        root = _check_terms(evidence, file, request)
        terms = _decode(CommittedTerms, file.terms.data)
        body = _query(terms)
        _check_public(terms, body, request)
        evidence.fact("opened by", file.party)
        evidence.fact("consent", body.consent)
        evidence.fact("answer due", _time(body.deadline))
    linked = list(terms.consents)
    with evidence.step(ENTITY):
        for shown in file.entities:
            shown.check(terms.entities, root)
            entity = _decode(CommittedEntity, shown.opening.data)
            place = f"{shown.index + 1} of {terms.entities}"
            told = entity.entity or f"{len(entity.row)} bytes of ciphertexts"
            evidence.fact("entity", f"{told}, {place}")
            if entity.consent:
                linked.append(entity.consent)
    with evidence.step(CONSENT):
        _check_consents(evidence, registry, file, linked, request)


def _signed(evidence: VerifiedEvents, registry: Registry, data: bytes) -> OpeningFile:
    file, key = OpeningFile.read(data)
    if key.fingerprint != registry.party(file.party).key.fingerprint:
        raise ProofError("it is signed with another key", party=file.party)
    if file.request != evidence.bundle.correlation:
        raise ProofError("it is about another request", party=file.party)
    return file


def _check_terms(evidence: VerifiedEvents, file: OpeningFile, request: Event) -> bytes:
    """Check the terms against the party's event; return its root over entities."""
    if file.party == request.actor:
        file.terms.check(request.score_requested.terms)
        return request.score_requested.entities
    decided = one(
        [
            event
            for event in evidence.own("score_decided")
            if event.actor == file.party and event.score_decided.allowed
        ],
        f"decision of {file.party} to answer",
    )
    file.terms.check(decided.score_decided.terms)
    return decided.score_decided.entities


def _query(terms: CommittedTerms) -> ScoreQueryBody | HostedQueryBody:
    if terms.hosted:
        return _decode(HostedQueryBody, terms.query)
    return _decode(ScoreQueryBody, terms.query)


def _check_public(
    terms: CommittedTerms, body: ScoreQueryBody | HostedQueryBody, request: Event
) -> None:
    """Check that the terms say what the request's event says in public."""
    asked = request.score_requested
    if isinstance(body, HostedQueryBody):
        model, holders, entities = body.form, list(asked.holders), body.applicants
        whole = not (body.nonce or body.ciphertexts)
    else:
        model, holders, entities = body.model, list(body.holders), terms.entities
        whole = not (body.nonce or body.entities)
    if not (
        whole
        and entities
        and body.requester == request.actor
        and body.purpose == asked.purpose
        and model == asked.model
        and holders == list(asked.holders)
        and 1 << (entities - 1).bit_length() == asked.entities_bucket
    ):
        raise ProofError("the terms differ from what the request says in public")


def _check_consents(
    evidence: VerifiedEvents,
    registry: Registry,
    file: OpeningFile,
    linked: Sequence[int],
    request: Event,
) -> None:
    """Check the events that the terms or the entity name as their consent's."""
    shown: dict[int, Event] = {}
    for each in file.consents:
        head = open_checkpoint(each.proof.checkpoint, evidence.bundle.log)
        each.proof.verify_in(head, each.opened.leaf)
        event = open_event(each.opened.leaf, registry).event
        shown[event.seq] = event
    if shown.keys() != {*linked}:
        raise ProofError("it shows other consents than the request names")
    for number in linked:
        event = shown[number]
        consent, asked_s = event.consent_registered, request.time_ms // 1000
        if event.actor != request.actor or not event.HasField("consent_registered"):
            raise ProofError(f"event {number} registers no consent of the requester")
        if request.score_requested.purpose not in consent.purposes:
            raise ProofError(f"the consent of event {number} is for another purpose")
        if consent.until < asked_s or event.time_ms > request.time_ms:
            raise ProofError(f"the consent of event {number} was not valid then")
        told = f"event {number} of {event.actor}, valid until {_time(consent.until)}"
        evidence.fact("consent registered", told)
    if file.party == request.actor and not linked:
        evidence.fact("consent registered", "no, or the entity is not shown")


def _time(seconds: int) -> str:
    try:
        return datetime.fromtimestamp(seconds, UTC).isoformat()
    except (ValueError, OverflowError, OSError) as error:
        raise ProofError(f"there is no time {seconds}") from error


def _decode(kind: type[_M], data: bytes) -> _M:
    try:
        return kind.FromString(data)
    except DecodeError as error:
        raise ProofError("what was opened is not decodable") from error
