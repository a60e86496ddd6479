"""What a node's operator does with the openings and consents that the node keeps.

An auditor is shown what was asked in one request, and one entity of it. A person is
told who asked about it. What is kept of a person, of a request or of before a day is
erased.
Only the operator of this node can ask for any of this; what it gets names people.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Self

from veilscore.keys.errors import ProofError
from veilscore.keys.identity import Signer
from veilscore.keys.tlog.chain import ActorChain, OwnEvent
from veilscore.keys.tlog.commitments import Shown
from veilscore.keys.tlog.events import read_event
from veilscore.keys.tlog.evidence.bundle import ProvenEvent
from veilscore.keys.tlog.evidence.opening import OpeningFile
from veilscore.node.errors import NoOpeningError
from veilscore.node.log.receipts import Receipts
from veilscore.node.records.consents import Consent, Consents
from veilscore.node.records.erasing import Eraser
from veilscore.node.records.openings import Kept, Openings
from veilscore.v1.opening_pb2 import CommittedEntity, CommittedTerms
from veilscore.v1.score_pb2 import HostedQueryBody, ScoreQueryBody


@dataclass(frozen=True, slots=True)
class AskedAbout:
    """One request that an entity is in."""

    request: str  # correlation of its events
    time: int  # seconds since 1970
    requester: str
    purpose: str
    consent: str = field(repr=False)
    decision: str  # "answered", the code of a refusal or fault, empty: not known


@dataclass(frozen=True, slots=True)
class Records:
    """The records of one node; safe to use from any thread.

    ``receipt`` returns an event of this node by its number, if the log has proved it.
    Ids are typed and in their one spelling, requests named as the log does.
    """

    party: str
    signer: Signer
    openings: Openings
    consents: Consents
    eraser: Eraser
    receipt: Callable[[int], OwnEvent | None]
    clock: Callable[[], float]

    @classmethod
    def of(
        cls,
        party: str,
        signer: Signer,
        openings: Openings,
        chain: ActorChain,
        receipts: Receipts,
        *,
        registered_only: bool,
        keep_days: int,
        clock: Callable[[], float],
    ) -> Self:
        """Return the records beside a party's openings and events."""
        consents = Consents(openings, receipts, registered_only=registered_only)
        eraser = Eraser(openings, consents, receipts, keep_days)
        return cls(party, signer, openings, consents, eraser, chain.receipt, clock)

    def disclose(self, request: str, entity: str = "", row: int = 0) -> bytes:
        """Return an opening file of the terms, and of one entity or row from 1.

        Raises NoOpeningError for what was never here or was erased, and ProofError if
        the log has not proved yet that a consent was registered.
        """
        kept = self.openings.of(_digest(request))
        terms = self.openings.terms(kept)
        shown = list(self._shown(kept, entity, row))
        linked = list(CommittedTerms.FromString(terms.data).consents)
        linked += [
            consent
            for each in shown
            if (consent := CommittedEntity.FromString(each.opening.data).consent)
        ]
        file = OpeningFile(
            self.party,
            request,
            terms,
            tuple(shown),
            tuple(self._proven(number) for number in linked),
        )
        return file.sign(self.signer)

    def asked_about(self, entity: str) -> list[AskedAbout]:
        """Return the requests that an entity is in, the oldest first."""
        return [self._asked(kept) for kept, _ in self.openings.about(entity)]

    def erase(self, *, entity: str = "", request: str = "", before: float = 0) -> int:
        """Erase by one of the three; return how many openings were destroyed."""
        if entity:
            return self.eraser.erase_entity(entity)
        if request:
            return self.eraser.erase_request(_digest(request))
        return self.eraser.erase_before(before)

    def register(
        self,
        reference: str,
        entity: str,
        purposes: Sequence[str],
        until: int,
        document: bytes,
    ) -> int:
        """Register a consent; return the number of the event."""
        return self.consents.register(
            reference, entity, purposes, until, document, self.clock()
        )

    def withdraw(self, reference: str, entity: str) -> int:
        """Withdraw a consent; return how many registrations it had."""
        return self.consents.withdraw(reference, entity, self.clock())

    def registered(self) -> Sequence[Consent]:
        """Return every consent that was not erased, the oldest first."""
        return self.consents.all()

    def _shown(self, kept: Kept, entity: str, row: int) -> Iterator[Shown]:
        if row:
            yield self.openings.entity(kept, row - 1)
        if entity:
            found = [
                place
                for each, place in self.openings.about(entity)
                if each.query == kept.query
            ]
            if not found:
                raise NoOpeningError(
                    "the request is not about this entity, or it was erased",
                    remedy="Look for its requests with: veilscore node asked-about",
                )
            yield self.openings.entity(kept, found[0])

    def _proven(self, number: int) -> ProvenEvent:
        own = self.receipt(number)
        if own is None or own.proof is None:
            raise ProofError(
                f"the log has not proved event {number} yet, which registered the "
                "consent",
                party=self.party,
                remedy="Try again when the node's status shows no event that waits.",
            )
        return ProvenEvent(read_event(own.leaf), own.proof)

    def _asked(self, kept: Kept) -> AskedAbout:
        terms = CommittedTerms.FromString(self.openings.terms(kept).data)
        body = (
            HostedQueryBody.FromString(terms.query)
            if terms.hosted
            else ScoreQueryBody.FromString(terms.query)
        )
        return AskedAbout(
            kept.query.hex(),
            kept.time,
            body.requester,
            body.purpose,
            body.consent,
            kept.outcome,
        )


def _digest(request: str) -> bytes:
    try:
        return bytes.fromhex(request)
    except ValueError as error:
        raise NoOpeningError(
            "a request is named by 64 hex digits",
            remedy="Take them from `veilscore node asked-about` or `audit search`.",
        ) from error
