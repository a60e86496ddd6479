"""The audit of a score request's evidence: who asked, who decided, by which model."""

from collections.abc import Sequence
from typing import Final

from veilscore.keys.errors import ProofError
from veilscore.keys.paillier.public import MINIMUM_BITS
from veilscore.keys.receiving import SCORE
from veilscore.keys.tlog.evidence.steps import (
    ENCRYPTION,
    MODEL,
    VerifiedEvents,
    check_registered_by_all,
    contract_of,
    manifest_of,
    one,
)
from veilscore.v1.audit_pb2 import Event

REQUEST: Final = "request"
DECISIONS: Final = "decisions and answers"


def audit_score(evidence: VerifiedEvents) -> None:
    """Verify one request with its decisions and answers; raises AuditError."""
    with evidence.step(REQUEST):
        request = one(evidence.own("score_requested"), "request")
        asked = request.score_requested
        evidence.fact("requester", request.actor)
        evidence.fact("purpose", asked.purpose)
        evidence.fact("asked about", f"at most {asked.entities_bucket} entities")
        evidence.fact("terms", f"commitment {asked.terms.hex()}")
        evidence.fact("entities", f"root {asked.entities.hex()}")
    with evidence.step(DECISIONS):
        answered = _decisions(evidence, list(asked.holders), asked.model)
    with evidence.step(ENCRYPTION):
        _encryption(evidence, request.actor, answered)
    with evidence.step(MODEL):
        _model_of_score(evidence, asked.model, list(asked.holders))


def _decisions(
    evidence: VerifiedEvents, holders: Sequence[str], model: bytes
) -> list[Event]:
    """Check that each holder decided once; return the answers that left."""
    kinds = {"score_decided", "score_answered"}
    told: dict[str, list[Event]] = {holder: [] for holder in holders}
    for event in evidence.events:
        own = event.correlation == evidence.bundle.correlation
        if own and event.WhichOneof("detail") in kinds:
            if event.actor not in told:
                raise ProofError("it was not asked", party=event.actor)
            told[event.actor].append(event)
    answers: list[Event] = []
    for holder, events in told.items():
        match [_word(event) for event in events]:
            case ["allowed", "answered"]:
                answers.append(events[1])
                found = (
                    f"answered, commitment {events[1].score_answered.commitment.hex()}"
                )
            case ["refused"] | ["allowed", "answered", "refused"]:
                found = f"refused: {events[-1].score_decided.code}"
            case []:
                found = "no decision in this bundle"
            case words:
                raise ProofError(f"it decided oddly: {', '.join(words)}", party=holder)
        for event in events:
            decided = event.score_decided
            if decided.allowed and decided.model != model:
                raise ProofError("it decided about another model", party=holder)
        evidence.fact(holder, found)
    return answers


def _word(event: Event) -> str:
    if event.WhichOneof("detail") == "score_answered":
        return "answered"
    return "allowed" if event.score_decided.allowed else "refused"


def _encryption(
    evidence: VerifiedEvents, requester: str, answered: Sequence[Event]
) -> None:
    """Check that every answer was encrypted under a key as long as the requester's."""
    keys: list[int] = []
    for event in evidence.events:  # in the order of the log
        if event.actor != requester:
            continue
        if event.WhichOneof("detail") == "score_requested":
            break
        if event.key_published.purpose == SCORE:
            keys.append(event.key_published.paillier_bits)
    if not keys:
        raise ProofError("it published no key to answer under before", party=requester)
    for event in answered:
        bits = event.score_answered.paillier_bits
        if bits < MINIMUM_BITS or bits != keys[-1]:
            raise ProofError(
                f"it answered under a key of {bits} bits, the requester's has "
                f"{keys[-1]}",
                party=event.actor,
            )
    evidence.fact("Paillier key", f"{keys[-1]} bits, of {requester}")


def _model_of_score(
    evidence: VerifiedEvents, model: bytes, holders: Sequence[str]
) -> None:
    evidence.fact("model", model.hex())
    registered = evidence.of("model_registered")
    if not registered:
        if len(holders) != 1:
            raise ProofError("no party has registered the model")
        told = f"no run in this bundle made it; {holders[0]} may host it as a card"
        evidence.fact("kind", told)
        return
    manifest = manifest_of(registered, model)
    opened = one(
        [
            each
            for each in evidence.of("run_opened")
            if each.correlation == manifest.run
        ],
        "run of the model",
    )
    contract = contract_of(evidence, opened, manifest.run)
    check_registered_by_all(registered, contract, manifest)
    if opened.run_opened.contract != manifest.contract:
        raise ProofError("the model was made under another contract")
    cards = {card.party for card in manifest.cards}
    if not {*holders} <= cards:
        raise ProofError("a holder was asked that has no part of the model")
    if manifest.whole and len(holders) != 1:
        raise ProofError("a whole model is asked of one holder")
    evidence.fact("made by run", manifest.run)
    evidence.fact("under contract", manifest.contract.hex())
