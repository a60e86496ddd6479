"""One run at this node: its keys, its rows, its role, step by step.

Learns what its role learns (``veilscore.models.vertical``). Keys and everything
computed live in memory for the length of the run; what stays is the card.
"""

import hashlib
import logging
import time
from collections.abc import Callable, Generator, Iterator, Mapping
from dataclasses import dataclass, field
from typing import TypeVar

import numpy as np
from google.protobuf.message import DecodeError

from veilscore.fault import concerning
from veilscore.keys import masks
from veilscore.keys.identity import Signer
from veilscore.keys.paillier.private import PrivateKey
from veilscore.keys.paillier.workers import PaillierWorkers
from veilscore.keys.receiving import (
    PeerKeys,
    ReceivingKeys,
    named_party,
    run_purpose,
    verify_signed_key,
)
from veilscore.keys.registry import Registry
from veilscore.keys.sealing import Opener, Sealer
from veilscore.models import card_file
from veilscore.models.vertical.feature_holder import FeatureHolder
from veilscore.models.vertical.label_holder import LabelHolder, Labels
from veilscore.models.vertical.run import RunColumns, Terms, steps
from veilscore.models.vertical.script import (
    Action,
    Arrived,
    Await,
    Progress,
    Script,
    Send,
    drive,
)
from veilscore.node.columns import Columns
from veilscore.node.errors import RefusedError, TrainingError
from veilscore.node.training.alignment import Alignment, align
from veilscore.node.training.binned import BinnedColumns
from veilscore.node.training.ciphers import OwnPaillier, PeerPaillier, RunMasks
from veilscore.node.training.mailbox import Mailbox
from veilscore.runtime.chunks import MAX_ENVELOPE_BYTES
from veilscore.v1.hub_pb2 import SignedKey
from veilscore.v1.score_pb2 import ModelManifest
from veilscore.v1.training_pb2 import RunContract, StepReport, TrainingMessage

LOG = logging.getLogger(__name__)
Result = TypeVar("Result")

# A run's receiving keys are valid this long; the clocks of two hosts may differ.
_VALID_S = 24 * 3600
_SKEW_S = 300


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What a run uses of the node it runs on."""

    party: str
    coordinator: str
    signer: Signer
    registry: Registry
    private_key: PrivateKey
    workers: PaillierWorkers
    source: Columns
    send: Callable[[str, bytes], None]  # to a party, through the hub
    publish: Callable[[SignedKey], None]
    directory: Callable[[str], list[SignedKey]]
    clock: Callable[[], float]
    step_timeout_s: float
    min_rows: int


@dataclass(frozen=True, slots=True)
class FinishedModel:
    """What a node keeps of a run."""

    manifest: bytes
    card: bytes
    evaluation: Mapping[str, float | int | bool] | None


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
    _keys: ReceivingKeys = field(default_factory=ReceivingKeys.generate)
    _peers: dict[str, PeerKeys] = field(default_factory=dict[str, PeerKeys])
    _sealer: Sealer = field(init=False)
    _opener: Opener | None = None
    _sent: list[bytes] = field(default_factory=list[bytes])
    _sent_bytes: int = 0
    _binned: BinnedColumns | None = None
    _role: FeatureHolder | LabelHolder | None = None
    _card: bytes = b""

    def __post_init__(self) -> None:
        """Keep the contract's steps: each is done once and in its order."""
        self._due = steps(self.contract)

    @property
    def rows(self) -> int:
        """Rows of the run; 0 before they are known."""
        return self._binned.columns.rows if self._binned else 0

    @property
    def parties(self) -> set[str]:
        """Everybody this node waits for in the run."""
        return {entry.party for entry in self.contract.roster} | {
            self.around.coordinator
        }

    # -- joining ---------------------------------------------------------------

    def join(self) -> SignedKey:
        """Make and publish this run's keys; the first step."""
        self._take("join")
        purpose = run_purpose(self.contract.run)
        now = int(self.around.clock())
        signed = self._keys.signed(
            self.around.signer,
            self.around.party,
            purpose,
            paillier=self.around.private_key.public,
            not_before=now - _SKEW_S,
            not_after=now + _VALID_S,
        )
        key_id = hashlib.sha256(signed.body).digest()[:8]
        self._sealer = Sealer(self.around.signer, self.around.party, {})
        self._opener = Opener(
            self.around.party, purpose, {key_id: self._keys}, {}, MAX_ENVELOPE_BYTES
        )
        self.around.publish(signed)
        return signed

    def receive(self, envelope: bytes) -> None:
        """Open an envelope of this run; raises a Fault that names its sender."""
        if self._opener is None:
            raise TrainingError("the run is over")
        header, plaintext = self._opener.open(envelope, self.around.registry)
        if header.sender not in self.parties:
            raise TrainingError("is no party of the run", party=header.sender)
        try:
            message = TrainingMessage.FromString(plaintext)
        except DecodeError as error:
            raise TrainingError(
                "sent what cannot be read", party=header.sender
            ) from error
        self.mailbox.put(header.sender, message)

    def perform(self, step: str, manifest: bytes) -> StepReport:
        """Do this node's part of a step and report what left the building.

        Raises RefusedError for any but the contract's next step: repeated, it would
        use its masks twice or give another draw of the noise away.
        """
        self._take(step)
        self.step, self.progress = step, (0, 0)
        self._sent, self._sent_bytes = [], 0
        started = time.monotonic()
        if step == "rows":
            self._align()
        elif step == "register":
            self._register(manifest)
        else:
            self._drive(self._script(step))
        # The next step begins when all have ended this one, so nothing is early.
        self.mailbox.check_empty()
        if step == "evaluate":
            self._make_card()
        LOG.info("step %s took %.1f s", step, time.monotonic() - started)
        report = StepReport(
            sent=hashlib.sha256(b"".join(self._sent)).digest(),
            bytes_bucket=1 << self._sent_bytes.bit_length(),
        )
        if self._card:
            report.card = card_file.digest(self._card)
            report.max_abs_points = card_file.decode(self._card).max_abs_points
        return report

    def forget(self) -> None:
        """Drop keys, rows, role and messages: a run that is over needs none."""
        self._opener = self._binned = self._role = None
        self._peers, self._keys = {}, ReceivingKeys.generate()
        self._due = iter(())
        self.mailbox.discard()

    def _take(self, step: str) -> None:
        if step != next(self._due, ""):
            self._due = iter(())
            raise RefusedError("this is not the contract's next step")

    # -- the steps -------------------------------------------------------------

    def _align(self) -> None:
        """Learn the rows of the run, bin the own columns on them, take a role."""
        self._meet()
        holders = tuple(entry.party for entry in self.contract.roster)
        source = self.around.source
        if self.around.party == self.contract.label_holder:
            labelled = (source.labels >= 0) & ~source.holdout
        else:
            labelled = np.zeros(len(source), dtype=bool)
        alignment = self._drive(
            align(
                self.around.party,
                holders,
                self.around.coordinator,
                self.contract.run,
                source.ids,
                labelled,
            )
        )
        self.check_rows(alignment)
        with concerning(self.around.party):
            self._binned = BinnedColumns.of(source, alignment)
        self._role = self._take_role(alignment, self._binned.columns)

    def check_rows(self, alignment: Alignment) -> None:
        """Refuse the coordinator's choice if rows are too many or too few."""
        most, least = self.contract.max_rows, self.around.min_rows
        if alignment.rows > most:
            raise RefusedError(
                "the run has more rows than its contract allows",
                party=self.around.coordinator,
                place=f"{alignment.rows} rows, max_rows = {most}",
                remedy="ask its operator why it chose rows outside the contract",
            )
        own = int((alignment.positions >= 0).sum())
        if min(alignment.rows, own) < least:
            raise RefusedError(
                "the run has fewer rows than this node allows",
                party=self.around.coordinator,
                place=f"{alignment.rows} rows, {own} of them known here",
                remedy="start a run over more entities that this node knows, or lower "
                f"min_rows in [training] of node.toml from {least}",
            )

    def _meet(self) -> None:
        """Fetch and verify the run keys of everybody on the roster."""
        purpose, now = run_purpose(self.contract.run), self.around.clock()
        wanted = {entry.party for entry in self.contract.roster}
        wanted.add(self.around.coordinator)
        for signed in self.around.directory(purpose):
            # A key of a party outside the roster must not be able to stop the run.
            if named_party(signed) in wanted:
                peer = verify_signed_key(signed, self.around.registry, purpose, now)
                self._peers[peer.party] = peer
        missing = sorted(
            name
            for name in wanted
            if name not in self._peers
            or (name != self.around.coordinator and self._peers[name].paillier is None)
        )
        if missing:
            raise TrainingError(
                "published no key for this run",
                party=", ".join(missing),
                remedy="look at that node's status page and start the run again",
            )

    def _take_role(
        self, alignment: Alignment, columns: RunColumns
    ) -> FeatureHolder | LabelHolder:
        around, terms = self.around, Terms(self.contract)
        own = OwnPaillier(around.private_key, around.workers)
        if around.party == self.contract.label_holder:
            labels = self._labels(alignment)
            return LabelHolder(around.party, terms, columns, labels, own)
        peers = {
            name: PeerPaillier(
                peer.paillier_key(self.contract.key_bits), around.workers
            )
            for name, peer in self._peers.items()
            if peer.paillier is not None and name != around.party
        }
        answers = sum(columns.bin_counts) + len(columns.names)
        around.workers.prefill(peers[self.contract.label_holder].public, answers)
        context = self._mask_context()
        secrets = {
            name: masks.pair_secret(self._keys.mask, self._peers[name].mask, context)
            for name in terms.feature_holders
            if name != around.party
        }
        run_masks = RunMasks(around.party, secrets)
        return FeatureHolder(around.party, terms, columns, own, peers, run_masks)

    def _mask_context(self) -> bytes:
        """Bind masks to contract, roster and every party's fresh nonce and key."""
        bound = hashlib.sha256(self.contract_bytes)
        for entry in self.contract.roster:
            bound.update(entry.party.encode() + b"\0" + entry.fingerprint)
            bound.update(self._peers[entry.party].digest)
        return bound.digest()

    def _labels(self, alignment: Alignment) -> Labels:
        source = self.around.source
        known = np.nonzero(alignment.positions >= 0)[0]
        places, labels = alignment.positions[known], source.labels[known]
        holdout = source.holdout[known]
        train = np.full(alignment.rows, -1, dtype=np.int8)
        judged = train.copy()
        train[places] = np.where(holdout, np.int8(-1), labels)
        judged[places] = np.where(holdout, labels, np.int8(-1))
        return Labels(train, judged)

    def _script(self, step: str) -> Script:
        role = self._role
        if role is None:
            raise TrainingError(f"step {step} came before the rows of the run")
        scripts: dict[str, Callable[[], Script]] = {
            "counts": role.counts,
            "moments": role.moments,
            "cross": role.cross,
            "solve": role.solve,
            "calibrate": role.calibrate,
            "evaluate": role.evaluate,
        }
        return role.polish(step) if step not in scripts else scripts[step]()

    def _make_card(self) -> None:
        if self._role is None or self._binned is None:
            raise TrainingError("there is nothing to make a card of")
        solution = self._role.solution()
        card = self._binned.card(self.contract, self.around.party, solution)
        self._card = card_file.encode(card)

    def _register(self, manifest: bytes) -> None:
        try:
            found = ModelManifest.FromString(manifest)
        except DecodeError as error:
            raise RefusedError("a manifest that cannot be read") from error
        digest = card_file.digest(self._card)
        own = [entry for entry in found.cards if entry.party == self.around.party]
        roster = [entry.party for entry in self.contract.roster]
        if (
            not self._card
            or found.contract != hashlib.sha256(self.contract_bytes).digest()
            or [entry.party for entry in found.cards] != roster
            or [entry.card for entry in own] != [digest]
        ):
            raise RefusedError("the manifest does not describe this run's model")
        evaluation = (
            self._role.evaluation if isinstance(self._role, LabelHolder) else None
        )
        self.finished = FinishedModel(
            manifest, self._card, evaluation.figures() if evaluation else None
        )

    # -- carrying a script -----------------------------------------------------

    def _drive(self, script: Generator[Action, Arrived, Result]) -> Result:
        """Run a script: seal and send what it sends, wait for what it awaits."""
        return drive(script, send=self._send, wait=self._wait, show=self._show)

    def _wait(self, action: Await) -> Arrived:
        limit_s = self.around.step_timeout_s * (1 + action.parts)
        return self.mailbox.take(action.kind, action.senders, limit_s)

    def _send(self, action: Send) -> None:
        peer = self._peers[action.to]
        plaintext = action.message.SerializeToString()
        envelope = self._sealer.seal(self.step, peer, plaintext)
        self._sent.append(hashlib.sha256(envelope).digest())
        self._sent_bytes += len(envelope)
        self.around.send(action.to, envelope)

    def _show(self, action: Progress) -> None:
        self.progress = (action.done, action.total)
