"""A small training run on plain integers that can be played again with one lie in it.

Played to its end: a lie may be believed in its own step and do harm in a later one.
"""

import copy
from collections import defaultdict, deque
from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Final
from unittest.mock import patch

import numpy as np

from tests.protocol.conduct import Talk, conduct
from tests.protocol.plain_ring import PlainRing, RingMasks
from tests.sample_contract import sample_contract
from veilscore.keys.errors import InvalidCiphertextError
from veilscore.models import card_file, noise
from veilscore.models.binning import CategoricalBins
from veilscore.models.script import Script
from veilscore.models.vertical.feature_holder import FeatureHolder
from veilscore.models.vertical.label_holder import LabelHolder, Labels
from veilscore.models.vertical.ports import Codes
from veilscore.models.vertical.run import RunColumns, Terms, steps
from veilscore.node.training.binned import BinnedColumns
from veilscore.v1.training_pb2 import RunContract, TrainingMessage

PARTIES: Final = ("agriculture", "bank", "regulator")
ROWS: Final = 60
PART_ROWS: Final = 25  # of encrypted rows: two whole parts and a rest
_BINS: Final = CategoricalBins(("A", "B", "C", "D"), pooled=False)

Role = FeatureHolder | LabelHolder


class CheckedRing(PlainRing):
    """The ring, refusing what ``veilscore.keys.paillier`` refuses of ciphertexts."""

    def decode(self, blob: bytes) -> list[int]:
        values = super().decode(blob)
        if len(blob) % self.ciphertext_bytes or any(
            value >= self.modulus for value in values
        ):
            raise InvalidCiphertextError("not whole residues")
        return values

    def decrypt_sum(self, shares: Sequence[bytes]) -> list[int]:
        if len({len(share) for share in shares}) > 1:
            raise InvalidCiphertextError("shares of different lengths")
        return super().decrypt_sum(shares)

    def histogram(
        self, rows: bytes, codes: Codes, bin_counts: Sequence[int]
    ) -> list[list[int]]:
        if len(rows) != len(codes) * self.ciphertext_bytes:
            raise InvalidCiphertextError("not one ciphertext a row")
        return super().histogram(rows, codes, bin_counts)


def rehearsed_contract(*, polish: int = 0, exact: bool = False) -> RunContract:
    return sample_contract(
        PARTIES,
        min_count=3,
        polish_steps=polish,
        polish_noise=0.25,
        exact=exact,
        max_columns=4,
        max_rows=1000,
    )


def _columns(seed: int, columns: int) -> RunColumns:
    codes = np.random.default_rng(seed).integers(0, 5, (ROWS, columns))
    names = tuple(f"column {index}" for index in range(columns))
    return RunColumns(names, codes.astype(np.uint16), (5,) * columns)


def make_roles(contract: RunContract) -> dict[str, Role]:
    """Return the three parties of a run at its beginning."""
    terms, ring = Terms(contract), CheckedRing()
    columns = {name: _columns(at, 2) for at, name in enumerate(PARTIES)}
    risk = sum(held.codes[:, 0].astype(np.int64) for held in columns.values())
    bad = (risk > np.median(risk)).astype(np.int8)
    rows = np.arange(ROWS) % 4
    labels = Labels(
        np.where(rows < 2, bad, -1).astype(np.int8),
        np.where(rows == 2, bad, -1).astype(np.int8),
    )
    masks = {name: RingMasks(name, terms.feature_holders) for name in PARTIES}
    peers: dict[str, PlainRing] = dict.fromkeys(PARTIES, ring)
    return {
        name: LabelHolder(name, terms, columns[name], labels, ring, PART_ROWS)
        if name == contract.label_holder
        else FeatureHolder(
            name, terms, columns[name], ring, peers, masks[name], PART_ROWS
        )
        for name in PARTIES
    }


def script(role: Role, step: str) -> Script:
    if step.startswith("polish"):
        return role.polish(step)
    found: Script = getattr(role, step)()
    return found


def trained_steps(contract: RunContract) -> list[str]:
    outside = {"join", "rows", "register"}
    return [step for step in steps(contract) if step not in outside]


def make_card(role: Role) -> bytes:
    """Return the card file, as a node makes it after the last step."""
    bins = (_BINS,) * len(role.columns.names)
    binned = BinnedColumns(role.columns, bins)
    card = binned.card(role.terms.contract, role.name, role.solution())
    return card_file.encode(card)


@dataclass(frozen=True)
class Cue:
    """A message that a party waits for, and what an honest sender says.

    ``number`` counts those of its kind that the sender sends it in the step, from 0.
    """

    step: str
    sender: str
    recipient: str
    kind: str
    number: int
    message: bytes


@dataclass
class Rehearsal:
    """A run that went well: every role before every step, every message."""

    contract: RunContract
    _before: dict[str, dict[str, Role]] = field(
        default_factory=dict[str, dict[str, Role]]
    )
    # By step, sender, recipient and kind, in their order.
    _said: dict[tuple[str, str, str, str], list[TrainingMessage]] = field(
        default_factory=lambda: defaultdict[
            tuple[str, str, str, str], list[TrainingMessage]
        ](list)
    )

    def __post_init__(self) -> None:
        """Run it."""
        roles = make_roles(self.contract)
        for step in trained_steps(self.contract):
            self._before[step] = copy.deepcopy(roles)
            scripts = {name: script(role, step) for name, role in roles.items()}
            with _in_order():
                transcript = conduct(scripts)
            for sender, recipient, message in transcript:
                kind = message.WhichOneof("body") or ""
                self._said[step, sender, recipient, kind].append(message)
        for role in roles.values():
            make_card(role)

    def cue(self, step: str, kind: str, number: int = 0) -> Cue:
        """Return a message of a kind in a step; -1 is the last of its sender's."""
        for (when, sender, recipient, said), messages in self._said.items():
            if (when, said) == (step, kind):
                place = range(len(messages))[number]
                whole = messages[place].SerializeToString()
                return Cue(step, sender, recipient, kind, place, whole)
        raise LookupError(f"nobody says {kind} in {step}")

    def play(self, cue: Cue, lie: TrainingMessage) -> None:
        """Let the recipient go on to its end with ``lie`` in the place of a message."""
        party = cue.recipient
        role = copy.deepcopy(self._before[cue.step][party])
        due = trained_steps(self.contract)
        for step in due[due.index(cue.step) :]:
            told = {
                (sender, kind): deque(messages)
                for (when, sender, recipient, kind), messages in self._said.items()
                if (when, recipient) == (step, party)
            }
            if step == cue.step:
                told[cue.sender, cue.kind][cue.number] = lie
            with _in_order():
                talk = Talk(script(role, step))
                talk.begin()
                while talk.waits:
                    kind = talk.waits.kind
                    senders = talk.waits.senders
                    talk.tell({name: told[name, kind].popleft() for name in senders})
        make_card(role)


def _in_order() -> AbstractContextManager[object]:
    """Leave bins unshuffled: what was said once is of the same bins when replayed."""
    return patch.object(noise, "ordering", np.arange)
