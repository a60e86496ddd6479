"""One run at this node: its keys, its envelopes, its steps in their order.

What the steps of training do is in the part (``vertical`` or ``horizontal``). Keys and
everything computed live in memory for the length of the run; what stays is the card.
"""

import hashlib
import logging
import time
from collections.abc import Generator, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Protocol, TypeVar

from google.protobuf.message import DecodeError

from veilscore.keys.aggregation.terms import fewest_of
from veilscore.models import card_file
from veilscore.models.scorecard import Card
from veilscore.models.script import (
    Action,
    Arrived,
    Await,
    Progress,
    Send,
    drive,
)
from veilscore.models.steps import steps
from veilscore.node.errors import RefusedError
from veilscore.node.training.horizontal import HorizontalPart
from veilscore.node.training.mailbox import Mailbox
from veilscore.node.training.run_keys import RunKeys
from veilscore.node.training.summing import Sums
from veilscore.node.training.surroundings import Surroundings
from veilscore.node.training.vertical import VerticalPart
from veilscore.v1.hub_pb2 import SignedKey
from veilscore.v1.score_pb2 import ModelManifest
from veilscore.v1.training_pb2 import RunContract, StepReport

LOG = logging.getLogger(__name__)
Result = TypeVar("Result")


@dataclass(frozen=True, slots=True)
class FinishedModel:
    """What a node keeps of a run."""

    manifest: bytes
    card: bytes
    evaluation: Mapping[str, float | int | bool] | None


class Part(Protocol):
    """What this node does in the steps between joining and registering."""

    @property
    def rows(self) -> int:
        """Rows of the run as others may learn it; 0 before they are known."""
        ...

    def perform(self, step: str) -> None:
        """Do this node's part of a step."""
        ...

    def card(self) -> Card:
        """Return what the run made; raises TrainingError before it did."""
        ...

    def bound(self, card: Card) -> int:
        """Return what others learn of the card's largest absolute score."""
        ...

    def figures(self) -> Mapping[str, float | int | bool] | None:
        """Return how good the model is, if it is this node that knows."""
        ...


@dataclass(slots=True)
class RunSession:
    """One run as this node takes part in it."""

    around: Surroundings
    contract: RunContract
    contract_bytes: bytes
    mailbox: Mailbox = field(default_factory=Mailbox)
    step: str = "join"
    started: float = field(default_factory=time.time)
    progress: tuple[int, int] = (0, 0)  # rows of the step, done and in all
    finished: FinishedModel | None = None
    _due: Iterator[str] = field(init=False)  # steps of the contract to come
    _keys: RunKeys = field(init=False)
    _part: Part | None = field(init=False)  # None: the run is over
    _sums: Sums = field(init=False)
    _made: int = 0  # sums before this step
    _sent: list[bytes] = field(default_factory=list[bytes])
    _sent_bytes: int = 0
    _card: bytes = b""
    _bound: int = 0  # of its absolute scores, as others learn it

    def __post_init__(self) -> None:
        """Keep the contract's steps: each is done once and in its order."""
        self._due = steps(self.contract)
        self._keys = RunKeys(self.around, self.contract, self.contract_bytes)
        self._sums = Sums(self.around, self.contract, self.contract_bytes)
        common = (self.around, self.contract, self._keys, self._drive)
        if self.contract.HasField("horizontal"):
            self._part = HorizontalPart(*common, self._sums)
        else:
            self._part = VerticalPart(*common)

    @property
    def rows(self) -> int:
        """Rows of the run; 0 before they are known."""
        return self._part.rows if self._part else 0

    @property
    def sums(self) -> bytes:
        """SHA-256 over those of the sums that the step made; empty if it made none."""
        made = self._sums.made[self._made :]
        return hashlib.sha256(b"".join(made)).digest() if made else b""

    @property
    def parties(self) -> set[str]:
        """Everybody this node waits for in the run."""
        return self._keys.parties

    def join(self) -> SignedKey:
        """Make and publish this run's keys; the first step."""
        self._take("join")
        return self._keys.publish()

    def receive(self, envelope: bytes) -> None:
        """Open an envelope of this run; raises a Fault that names its sender."""
        self.mailbox.put(*self._keys.open(envelope))

    def perform(self, step: str, manifest: bytes) -> StepReport:
        """Do this node's part of a step and report what left the building.

        Raises RefusedError for any but the contract's next step: repeated, it would
        use its masks twice or give another draw of the noise away.
        """
        part = self._take(step)
        self.step, self.progress = step, (0, 0)
        self._sent, self._sent_bytes, self._made = [], 0, len(self._sums.made)
        started = time.monotonic()
        if step == "register":
            self._register(manifest, part)
        else:
            part.perform(step)
        # The next step begins when all have ended this one, so nothing is early.
        self.mailbox.check_empty()
        if step == "evaluate":
            card = part.card()
            self._card, self._bound = card_file.encode(card), part.bound(card)
        LOG.info("step %s took %.1f s", step, time.monotonic() - started)
        report = StepReport(
            sent=hashlib.sha256(b"".join(self._sent)).digest(),
            bytes_bucket=1 << self._sent_bytes.bit_length(),
        )
        if self._card:
            report.card = card_file.digest(self._card)
            report.max_abs_points = self._bound
        return report

    def forget(self) -> None:
        """Drop keys, rows, role and messages: a run that is over needs none."""
        self._keys.forget()
        self._part = None
        self._due = iter(())
        self.mailbox.discard()

    def _take(self, step: str) -> Part:
        part = self._part
        if step != next(self._due, "") or part is None:
            self._due = iter(())
            raise RefusedError("this is not the contract's next step")
        return part

    def _register(self, manifest: bytes, part: Part) -> None:
        try:
            found = ModelManifest.FromString(manifest)
        except DecodeError as error:
            raise RefusedError("a manifest that cannot be read") from error
        digest = card_file.digest(self._card)
        own = [entry for entry in found.cards if entry.party == self.around.party]
        if (
            not self._card
            or found.contract != hashlib.sha256(self.contract_bytes).digest()
            or found.whole != self.contract.HasField("horizontal")
            or not self._have_cards([entry.party for entry in found.cards])
            or [entry.card for entry in own] != [digest]
        ):
            raise RefusedError("the manifest does not describe this run's model")
        self.finished = FinishedModel(manifest, self._card, part.figures())

    def _have_cards(self, names: list[str]) -> bool:
        """Say whether a model of these parties' cards is one of this contract.

        In a horizontal run members may have been lost, down to the fewest of a sum.
        """
        roster = [entry.party for entry in self.contract.roster]
        if not self.contract.HasField("horizontal"):
            return names == roster
        least = fewest_of(self.contract)
        return names == [name for name in roster if name in names] and (
            len(names) >= least
        )

    # -- carrying a script -----------------------------------------------------

    def _drive(self, script: Generator[Action, Arrived, Result]) -> Result:
        """Run a script: seal and send what it sends, wait for what it awaits."""
        return drive(script, send=self._send, wait=self._wait, show=self._show)

    def _wait(self, action: Await) -> Arrived:
        limit_s = self.around.step_timeout_s * (1 + action.parts)
        return self.mailbox.take(action.kind, action.senders, limit_s)

    def _send(self, action: Send) -> None:
        envelope = self._keys.seal(self.step, action.to, action.message)
        self._sent.append(hashlib.sha256(envelope).digest())
        self._sent_bytes += len(envelope)
        self.around.send(action.to, envelope)

    def _show(self, action: Progress) -> None:
        self.progress = (action.done, action.total)
