"""The offline audit of an evidence bundle: step by step, one party's word at a time.

It trusts a fingerprint of the log's key, or a policy. It shows that the log held these
events when witnesses saw it, that their actors signed them with registered keys, and
that they make one request with its decisions and answers, or one run with its
approvals. What it cannot show: events that are not in the bundle, before or after; that
what was asked or answered is true; or the scores, which are in no log.
"""

from dataclasses import dataclass
from typing import Final

from veilscore.keys.errors import AuditError, KeysError, ProofError
from veilscore.keys.registry import Registry
from veilscore.keys.tlog.audit import Watch
from veilscore.keys.tlog.checkpoint import Checkpoint, open_checkpoint
from veilscore.keys.tlog.events import open_event
from veilscore.keys.tlog.evidence.bundle import EvidenceBundle
from veilscore.keys.tlog.evidence.opened import audit_opening
from veilscore.keys.tlog.evidence.run import audit_run
from veilscore.keys.tlog.evidence.score import audit_score
from veilscore.keys.tlog.evidence.steps import VerifiedEvents
from veilscore.keys.tlog.log_policy import LogPolicy

# The steps that all bundles have, in the order in which they end.
FILE: Final = "file"
HEAD: Final = "checkpoint"
WITNESSES: Final = "witnesses"
INCLUSION: Final = "proofs of the events"
PARTIES: Final = "registry"
SIGNATURES: Final = "event signatures"
JOINED: Final = "registered keys"


@dataclass(frozen=True, slots=True)
class EvidenceReport:
    """What a passed audit of a bundle has seen."""

    about: str  # "score request" or "training run"
    correlation: str
    origin: str
    size: int
    witnesses: tuple[str, ...]
    facts: tuple[tuple[str, str], ...]  # what it is, and its value
    remarks: tuple[str, ...] = ()


def audit_evidence(
    data: bytes,
    *,
    fingerprint: bytes | None = None,
    policy: LogPolicy | None = None,
    opening: bytes | None = None,
    watch: Watch = lambda _step, _done, _total: None,
) -> EvidenceReport:
    """Verify a bundle; ``watch`` hears of every step that passed.

    ``opening`` is the file that a party shows beside it (``evidence.opening``).

    Raises:
        AuditError: names the step that failed.

    """
    try:
        bundle = EvidenceBundle.parse(data)
    except KeysError as error:
        raise AuditError(FILE, error.what, place=f"{FILE}, {error.place}") from error
    evidence = VerifiedEvents(bundle, watch)
    head = _checkpoint(evidence, fingerprint)
    witnesses = _witnesses(evidence, policy)
    _inclusion(evidence, head)
    registry = _registry(evidence)
    _signatures(evidence, registry)
    _joined(evidence, registry)
    is_run = bool(evidence.own("run_opened"))
    (audit_run if is_run else audit_score)(evidence)
    if opening is not None:
        audit_opening(evidence, registry, opening)
    unpinned = fingerprint is None and policy is None
    return EvidenceReport(
        about="training run" if is_run else "score request",
        correlation=bundle.correlation,
        origin=head.origin,
        size=head.size,
        witnesses=witnesses,
        facts=tuple(evidence.facts),
        remarks=("neither fingerprint nor policy: the log's key is the bundle's word",)
        if unpinned
        else (),
    )


def _checkpoint(evidence: VerifiedEvents, fingerprint: bytes | None) -> Checkpoint:
    bundle = evidence.bundle
    with evidence.step(HEAD):
        found = bundle.log.key.fingerprint
        if fingerprint not in {None, found}:
            raise ProofError(f"the log is of key {found.hex()}, not the pinned one")
        return open_checkpoint(bundle.checkpoint, bundle.log)


def _witnesses(evidence: VerifiedEvents, policy: LogPolicy | None) -> tuple[str, ...]:
    if policy is None:
        return ()
    with evidence.step(WITNESSES):
        return policy.open_by(evidence.bundle.log, evidence.bundle.checkpoint)


def _inclusion(evidence: VerifiedEvents, head: Checkpoint) -> None:
    with evidence.step(INCLUSION):
        last = -1
        for event in evidence.bundle.events:
            event.proof.verify_in(head, event.opened.leaf)
            if event.proof.index <= last:
                raise ProofError("the events are not in the order of the log")
            last = event.proof.index


def _registry(evidence: VerifiedEvents) -> Registry:
    with evidence.step(PARTIES):
        bundle = evidence.bundle
        registry = Registry.load(bundle.registry, bundle.log.key.fingerprint)
        evidence.coordinator = registry.coordinator.name
        return registry


def _signatures(evidence: VerifiedEvents, registry: Registry) -> None:
    with evidence.step(SIGNATURES):
        for event in evidence.bundle.events:
            evidence.opened.append(open_event(event.opened.leaf, registry))


def _joined(evidence: VerifiedEvents, registry: Registry) -> None:
    """Check that the log has said of every actor under which key it joined."""
    with evidence.step(JOINED):
        keys = {
            event.party_joined.party: event.party_joined.fingerprint
            for event in evidence.of("party_joined")
            if event.actor == evidence.coordinator
        }
        for actor in {event.actor for event in evidence.events}:
            if keys.get(actor) != registry.party(actor).key.fingerprint:
                raise ProofError(
                    "the log does not say that it joined with this key", party=actor
                )
