"""What the audits of a score request's and of a run's evidence have in common.

Nobody learns more here than the bundle says; nothing of it is believed unverified.
"""

import hashlib
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

from google.protobuf.message import DecodeError, Message

from veilscore.keys.aggregation.terms import fewest_of
from veilscore.keys.errors import AuditError, KeysError, ProofError
from veilscore.keys.tlog.audit import Watch
from veilscore.keys.tlog.events import OpenedEvent
from veilscore.keys.tlog.evidence.bundle import EvidenceBundle
from veilscore.v1.audit_pb2 import Event
from veilscore.v1.score_pb2 import ModelManifest
from veilscore.v1.training_pb2 import RunContract

ENCRYPTION = "encryption"
MODEL = "model"


@dataclass(slots=True)
class VerifiedEvents:
    """The bundle as far as it was verified."""

    bundle: EvidenceBundle
    watch: Watch
    opened: list[OpenedEvent] = field(default_factory=list[OpenedEvent])
    coordinator: str = ""
    facts: list[tuple[str, str]] = field(default_factory=list[tuple[str, str]])

    @contextmanager
    def step(self, step: str) -> Generator[None, None, None]:
        """Name the step when something in it does not verify; count it when it does."""
        try:
            yield
        except KeysError as error:
            place = f"{step}, {error.place}" if error.place else step
            raise AuditError(
                step, error.what, party=error.party, place=place
            ) from error
        self.watch(step, 1, 1)

    @property
    def events(self) -> list[Event]:
        """All events whose signatures were verified, in the order of the log."""
        return [opened.event for opened in self.opened]

    def own(self, kind: str) -> list[Event]:
        """Return the events of the request or run itself, of one kind."""
        return [
            event
            for event in self.of(kind)
            if event.correlation == self.bundle.correlation
        ]

    def of(self, kind: str) -> list[Event]:
        """Return all events of one kind, in the order of the log."""
        return [event for event in self.events if event.WhichOneof("detail") == kind]

    def fact(self, what: str, value: object) -> None:
        """Tell something that was found to be so."""
        self.facts.append((what, str(value)))


def one(events: Sequence[Event], what: str) -> Event:
    """Return the one event of a list; raises ProofError if there are others or none."""
    if len(events) != 1:
        raise ProofError(f"there are {len(events)} events of the {what} instead of one")
    return events[0]


def contract_of(evidence: VerifiedEvents, opened: Event, run: str) -> RunContract:
    """Return the contract that the coordinator opened a run with."""
    body, contract = opened.run_opened.contract_body, RunContract()
    if opened.actor != evidence.coordinator:
        raise ProofError("a run is opened by the coordinator", party=opened.actor)
    if hashlib.sha256(body).digest() != opened.run_opened.contract:
        raise ProofError("the contract is not the one whose hash was logged")
    _parse(body, contract)
    if contract.run != run:
        raise ProofError("the contract is of another run")
    return contract


def manifest_of(registered: Sequence[Event], model: bytes) -> ModelManifest:
    """Return the manifest that all who registered the model agree on."""
    manifest = ModelManifest()
    for event in registered:
        told = event.model_registered
        if told.model != model or hashlib.sha256(told.manifest).digest() != model:
            raise ProofError("it registered another model", party=event.actor)
    _parse(registered[0].model_registered.manifest, manifest)
    return manifest


def check_registered_by_all(
    registered: Sequence[Event], contract: RunContract, manifest: ModelManifest
) -> None:
    """Check that every party has registered the model that has, or should have, a card.

    In a horizontal run members may be lost before its end, and have none then.
    """
    roster = [entry.party for entry in contract.roster]
    holders = [card.party for card in manifest.cards]
    if manifest.whole != contract.HasField("horizontal"):
        raise ProofError("the model is of another kind than the contract")
    if manifest.whole:
        least = fewest_of(contract)
        if not {*holders} <= {*roster} or len({*holders}) < least:
            raise ProofError(f"the model is of fewer than {least} members of the run")
    actors = {event.actor for event in registered}
    for party in holders if manifest.whole else roster:
        if party not in actors:
            raise ProofError("it has not registered the model", party=party)


def _parse(data: bytes, message: Message) -> None:
    try:
        message.ParseFromString(data)
    except DecodeError as error:
        raise ProofError("a document in an event is not decodable") from error
