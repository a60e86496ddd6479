"""Two parties that have committed to one query in a log, and what they show of it."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from tests.unit.tlog.evidence_story import HOLDERS, MODEL, QUERY, Evidence, Said
from tests.unit.tlog.sample_log import NOW_MS, Parties
from veilscore.keys.tlog.commitments import Opening, Shown, commitments_root, path_to
from veilscore.keys.tlog.evidence.audit import EvidenceReport, audit_evidence
from veilscore.keys.tlog.evidence.bundle import ProvenEvent
from veilscore.keys.tlog.evidence.opening import OpeningFile
from veilscore.v1.audit_pb2 import ConsentRegistered, ScoreDecided, ScoreRequested
from veilscore.v1.opening_pb2 import CommittedEntity, CommittedTerms
from veilscore.v1.score_pb2 import ScoreQueryBody

FIRMS = ("X:firm one", "X:firm two", "X:firm three")
NOW_S = NOW_MS // 1000
CONSENT = ConsentRegistered(purposes=["pre_loan"], until=NOW_S + 9)


def salted(seed: int, data: bytes) -> Opening:
    return Opening(hashlib.sha256(b"salt %d" % seed).digest(), data)


@dataclass
class Committed:
    """What one party commits to in its event, and can open."""

    terms: Opening
    entities: list[Opening]

    @classmethod
    def by(cls, seed: int, event: int = 0, **changes: object) -> "Committed":
        body = ScoreQueryBody(
            requester="bank",
            model=MODEL,
            holders=HOLDERS,
            purpose="pre_loan",
            consent="FORM-17",
            deadline=NOW_S + 30,
        )
        for name, value in changes.items():
            setattr(body, name, value)
        terms = CommittedTerms(
            query=body.SerializeToString(deterministic=True), entities=len(FIRMS)
        )
        return cls(
            salted(seed, terms.SerializeToString(deterministic=True)),
            [
                salted(
                    seed + at,
                    CommittedEntity(entity=firm, consent=event).SerializeToString(),
                )
                for at, firm in enumerate(FIRMS, start=1)
            ],
        )

    @property
    def commitments(self) -> list[bytes]:
        return [each.commitment for each in self.entities]

    def shown(self, at: int) -> Shown:
        return Shown(self.entities[at], at, path_to(self.commitments, at))

    def file(
        self, party: str, *at: int, consents: Sequence[ProvenEvent] = ()
    ) -> OpeningFile:
        shown = tuple(map(self.shown, at))
        return OpeningFile(party, QUERY, self.terms, shown, tuple(consents))


class Shower:
    """A log in which bank and bureau have committed to a query, and what they show."""

    def __init__(
        self, folder: Path, parties: Parties, consent: ConsentRegistered = CONSENT
    ) -> None:
        self.parties = parties
        self.bureau = Committed.by(200)

        def change(told: list[Said]) -> list[Said]:
            first = next(at for at, said in enumerate(told) if said.actor == "bank")
            told = [*told[:first], Said("bank", consent), *told[first:]]
            return [self._commit(said) for said in told]

        self.bank = Committed.by(100, event=1)
        self.evidence = Evidence(folder, parties, change)
        self.bundle = self.evidence.of(QUERY)
        store = self.evidence.log.store
        index = next(
            at
            for at in range(store.size)
            if store.entry(at).opened.kind == "consent_registered"
        )
        self.consent = ProvenEvent(store.entry(index).opened, store.inclusion(index))

    def _commit(self, said: Said) -> Said:
        for kind, actor, made in (
            (ScoreRequested, "bank", self.bank),
            (ScoreDecided, "bureau", self.bureau),
        ):
            if isinstance(said.detail, kind) and said.actor == actor:
                detail = type(said.detail)()
                detail.CopyFrom(said.detail)  # type: ignore[arg-type] # its own kind
                detail.terms = made.terms.commitment
                detail.entities = commitments_root(made.commitments)
                return replace(said, detail=detail)
        return said

    def audit(self, file: OpeningFile, signer: str = "") -> EvidenceReport:
        return self.audit_bytes(file.sign(self.parties.signers[signer or file.party]))

    def audit_bytes(self, data: bytes) -> EvidenceReport:
        policy = self.evidence.log.policy
        return audit_evidence(self.bundle, policy=policy, opening=data)
