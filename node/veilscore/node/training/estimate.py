"""What a run asks of this node, told before it begins: seconds and bytes to send.

Work is counted from the contract, the own table and the key. How much the others hold
is not known yet: they are taken to hold as many rows and columns as this node.

Learns nothing. The operator sees the estimate beside the contract; the coordinator gets
the seconds, rounded up as the sizes of blinded sets are.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from veilscore.keys import linkage
from veilscore.keys.paillier.public import PublicKey
from veilscore.keys.ristretto import POINT
from veilscore.models.steps import steps
from veilscore.models.vertical.layout import CrossLayout, RowLayout, ScoreLayout
from veilscore.models.vertical.marks import CANARIES
from veilscore.models.vertical.row_stream import PART_ROWS
from veilscore.node.training.host_speed import HostSpeed
from veilscore.v1.training_pb2 import RunContract

BINS: Final = 11  # of a column: deciles, and one for what is missing
_PREDICTOR_BYTES: Final = 8  # of a row, in a polish step
STEP_S: Final = 0.6  # of a step that computes next to nothing
_PEER_ENCRYPTION: Final = 100  # multiplications: 83 at 2048 bits, 118 at 3072

# How many multiplications it takes to sum ciphertexts of so many rows per bin of
# columns so wide; of ``PaillierWorkers``.
Multiplications = Callable[[int, Sequence[int]], int]


@dataclass(frozen=True, slots=True)
class Estimate:
    """How long a run takes at this node, and how much it sends."""

    seconds: float
    sent_bytes: int

    @property
    def told_s(self) -> int:
        """The seconds as the coordinator learns them: whole, a tenth too many."""
        return linkage.size_bucket(max(1, round(self.seconds)))


@dataclass(frozen=True, slots=True)
class Work:
    """How many operations a run asks of a node."""

    points: int  # raised, and added up for the proof
    encryptions: int  # under the own key
    peer_encryptions: int
    decryptions: int
    multiplications: int
    steps: int
    sent_bytes: int

    def at(self, speed: HostSpeed) -> Estimate:
        """Return what that is on a host of this speed."""
        factors = self.multiplications + _PEER_ENCRYPTION * self.peer_encryptions
        seconds = (
            speed.point_s * self.points
            + speed.encryption_s * self.encryptions
            + speed.decryption_s * self.decryptions
            + speed.multiplication_s * factors
            + STEP_S * self.steps
        )
        return Estimate(seconds, self.sent_bytes)


@dataclass(frozen=True, slots=True)
class Holding:
    """A party as it comes into a run: its table's size and its key."""

    party: str
    rows: int
    columns: int
    key: PublicKey

    def work(self, contract: RunContract, multiplications: Multiplications) -> Work:
        """Count what the run asks of this party.

        Raises BoundError if so many rows do not fit a key as long as its own.
        """
        rows, n = min(self.rows, contract.max_rows), self.key.n
        layout = RowLayout.plan(rows, self.columns, contract.max_columns, n)
        # Ciphertexts of a row under the label holder's key, over all steps.
        of_row = len(layout.groups) + contract.polish_steps - contract.exact
        packed_scores = 2 * ScoreLayout.plan(n).plaintexts(rows)
        others = len(contract.roster) - 1
        points = linkage.size_bucket(self.rows + CANARIES) * (others + 1)
        for_peer, decrypted, factors, predictors = 0, 0, 0, 0
        if self.party == contract.label_holder:
            encrypted, decrypted = of_row * rows, packed_scores
            sent = encrypted * others
        else:
            for_peer = packed_scores
            # Of each pair of feature holders one encrypts its rows, the other adds
            # them up; the run decides who, here each does half.
            plan = CrossLayout.plan(rows, self.columns, contract.max_columns, n)
            paired = len(plan.groups) * rows
            pairs = (others - 1) / 2
            encrypted = round(paired * (others - 1) / others)
            widths, (parts, rest) = [BINS] * self.columns, divmod(rows, PART_ROWS)
            histogram = parts * multiplications(PART_ROWS, widths)
            histogram += multiplications(rest, widths)
            factors = round((of_row + len(plan.groups) * pairs) * histogram)
            sent = round(paired * pairs) + packed_scores
            predictors = _PREDICTOR_BYTES * rows * contract.polish_steps
        return Work(
            points=points,
            encryptions=encrypted,
            peer_encryptions=for_peer,
            decryptions=decrypted,
            multiplications=factors,
            steps=sum(1 for _ in steps(contract)),
            sent_bytes=points * POINT + sent * self.key.ciphertext_bytes + predictors,
        )
