"""The label holder's part of every training step.

Learns: [count, bad] of anonymous bins; second moments of the other holders' columns
after their secret rotations, and how far their rows differ from the labelled ones;
final joint scores of the run's rows at the contract's granularity, and provisional ones
with noise; in polish and exact steps, if the contract says so, noisy or exact joint
predictors of those rows. Never: another holder's value, bin edge, weight or single
partial score.

Gives away: one ciphertext a row under its own key; good and bad counts of bins that
hold enough of both; whose rows differ more from the labelled ones; each holder's block
of the solution.
"""

from collections.abc import Generator, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from veilscore.models import noise
from veilscore.models.errors import DataError, ProtocolError
from veilscore.models.evaluation import Evaluation
from veilscore.models.script import Action, Arrived, Script, Send, receive
from veilscore.models.vertical import solve
from veilscore.models.vertical.answers import (
    pool_below,
    read_counts,
    read_gradient,
    read_moments,
)
from veilscore.models.vertical.cross_shares import match_halves, read_cross
from veilscore.models.vertical.evaluation import evaluate
from veilscore.models.vertical.layout import ResidualLayout, RowLayout
from veilscore.models.vertical.moments import MomentMatrix, PeerMoments, assemble
from veilscore.models.vertical.ports import Floats, Integers, OwnKey
from veilscore.models.vertical.row_stream import (
    PART_ROWS,
    PackedRows,
    RowStream,
    Tally,
)
from veilscore.models.vertical.run import (
    PENALTY,
    PREDICTOR_SCALE,
    RESIDUAL_SCALE,
    RunColumns,
    Terms,
)
from veilscore.models.vertical.score_shares import collect_scores
from veilscore.models.vertical.solution import Solution, lookup
from veilscore.models.woe import WOE_SCALE, woe_table
from veilscore.v1.training_pb2 import (
    BinCounts,
    Block,
    CountAnswer,
    Counts,
    CrossOrder,
    Slope,
    TrainingMessage,
)


@dataclass(frozen=True, slots=True)
class Labels:
    """The label holder's knowledge of the run's rows, -1 where it has none."""

    train: NDArray[np.int8]  # (rows,): 1 bad, 0 good, learned from
    holdout: NDArray[np.int8]  # (rows,): 1 bad, 0 good, only judged on


@dataclass(slots=True)
class LabelHolder:
    """The label holder in one run. Call its scripts in the order of the steps.

    Stacked vectors hold its own columns first, then every feature holder's in
    that holder's rotation.
    """

    name: str
    terms: Terms
    columns: RunColumns
    labels: Labels
    own: OwnKey
    part_rows: int = PART_ROWS  # of every party of the run
    evaluation: Evaluation | None = None
    _labelled: NDArray[np.int64] = field(init=False)  # (n,) rows of the run
    _bad: Floats = field(init=False)  # (n,) 0 or 1
    _layout: RowLayout = field(init=False)
    _woe: tuple[Floats, ...] = ()
    _peer_moments: dict[str, PeerMoments] = field(
        default_factory=dict[str, PeerMoments]
    )
    _cross: dict[tuple[str, str], Floats] = field(
        default_factory=dict[tuple[str, str], Floats]
    )
    _moments: MomentMatrix = field(init=False)
    _weights: Floats = field(init=False)  # stacked, of the log odds of bad
    _predictor: Floats | None = None  # (n,) exact steps: at the accepted weights
    _accepted: Floats = field(init=False)
    _optimiser: solve.Newton | solve.QuasiNewton = field(init=False)
    _intercept: float = 0.0  # of the log odds good:bad
    _intercept_points: int = 0
    _slope: float = 1.0

    def __post_init__(self) -> None:
        """Refuse columns the contract does not cover, and labels of one class."""
        self.terms.check_columns(self.name, self.columns)
        self._labelled = np.nonzero(self.labels.train >= 0)[0]
        self._bad = self.labels.train[self._labelled].astype(np.float64)
        if not 0 < self._bad.sum() < len(self._bad):
            raise DataError(
                "labels of one class only on the rows of this run",
                party=self.name,
                remedy="check the label column and which rows the other holders know",
            )
        self._layout = RowLayout.plan(
            self.columns.rows,
            len(self.columns.names),
            self.terms.contract.max_columns,
            self.own.modulus,
        )

    @property
    def _peers(self) -> tuple[str, ...]:
        return self.terms.feature_holders

    @property
    def _own_rows(self) -> Floats:
        """WoE of the own columns on labelled rows, (n, own columns)."""
        return lookup(self.columns.codes[self._labelled], self._woe)

    def counts(self) -> Script:
        """Encrypt every row once; return checked counts to every holder."""
        minimum = self.terms.contract.min_count
        codes: list[NDArray[np.int64]] = []
        for column, size in enumerate(self.columns.bin_counts):
            bins = self.columns.codes[self._labelled, column]
            bad = np.bincount(bins[self._bad == 1], minlength=size)
            good = np.bincount(bins, minlength=size) - bad
            codes.append(woe_table(*pool_below(good, bad, minimum)).codes)
        self._woe = tuple(table / WOE_SCALE for table in codes)
        rows = PackedRows(
            len(codes), self._layout, lambda part: self._slots(codes, part)
        )
        yield from self._send_rows(rows)
        answers = yield from receive("count_answer", self._peers)
        for peer, message in answers.items():
            counts = self._release_counts(peer, message.count_answer)
            yield Send(peer, TrainingMessage(counts=counts))

    def _slots(self, tables: Sequence[Integers], part: slice) -> Integers:
        """Return what is packed of some rows; nothing of those without a label."""
        train = self.labels.train[part]
        codes = lookup(self.columns.codes[part], tables)
        labelled = (train >= 0).astype(np.int64)
        return np.column_stack([labelled, train == 1, codes]) * labelled[:, np.newaxis]

    def _send_rows(self, rows: PackedRows) -> Script:
        stream = RowStream(self.columns, self.part_rows)
        tally = Tally(self.columns.rows)
        yield from stream.send(self._peers, self.own, rows, tally)

    def _release_counts(self, peer: str, answer: CountAnswer) -> Counts:
        contract = self.terms.contract
        if not 1 <= len(answer.columns) <= contract.max_columns:
            raise ProtocolError("counts of too many columns", party=peer)
        total = [len(self._bad), int(self._bad.sum())]
        counts, left = Counts(), contract.max_bins
        for column in answer.columns:
            good, bad = read_counts(peer, column, self.own, self._layout, total, left)
            left -= len(good)
            if contract.count_epsilon > 0:
                drawn = noise.discrete_laplace(contract.count_epsilon, 2 * len(good))
                good = np.maximum(good + drawn[: len(good)], 0)
                bad = np.maximum(bad + drawn[len(good) :], 0)
            good, bad, pool = pool_below(good, bad, contract.min_count)
            counts.columns.append(BinCounts(good=good, bad=bad, pool=pool))
        return counts

    def moments(self) -> Script:
        """Collect second moments of every holder's rotated columns."""
        answers = yield from receive("moments", self._peers)
        self._peer_moments = {
            peer: read_moments(
                peer,
                message.moments,
                self.own,
                self._layout,
                self.columns.rows,
                self.terms.contract.max_columns,
            )
            for peer, message in answers.items()
        }

    def cross(self) -> Script:
        """Add both halves of every pair's masked cross moments.

        Whose rows are less like the labelled ones comes first, and weights the pair's.
        """
        order = sorted(
            self._peers, key=lambda peer: self._peer_moments[peer].effective_rows
        )
        for peer in self._peers:
            told = CrossOrder(parties=order)
            yield Send(peer, TrainingMessage(cross_order=told))
        # Holders take turns at sending all of their rows to those after them.
        parts = len(RowStream(self.columns, self.part_rows).parts())
        answers = yield from receive(
            "cross_shares", self._peers, parts=parts * (len(self._peers) - 1)
        )
        for halves in match_halves(answers, order):
            owner, other = halves[0].key_owner, halves[0].other
            sender = self._peer_moments[owner]
            columns = len(sender.labelled), len(self._peer_moments[other].labelled)
            sums = read_cross(
                halves,
                columns,
                self.columns.rows,
                self.terms.contract.max_columns,
            )
            self._cross[owner, other] = sums / sender.weight

    def solve(self) -> Script:
        """Solve the ridge regression; give every holder its block."""
        self._moments = assemble(
            self.name,
            self._own_rows,
            self._bad,
            {peer: self._peer_moments[peer] for peer in self._peers},
            self._cross,
        )
        p = float(self._bad.mean())
        weights = solve.ridge(
            self._moments.covariance,
            self._moments.with_label,
            len(self._bad),
            self.terms.contract.ridge / (p * (1 - p)),
        )
        # The slope of a linear probability model is the log odds' times p(1-p).
        self._weights = weights / (p * (1 - p))
        self._accepted = self._weights
        kind = solve.QuasiNewton if self.terms.contract.exact else solve.Newton
        self._optimiser = kind(self._moments.covariance, PENALTY)
        yield from self._send_blocks()

    def _send_blocks(self) -> Script:
        for peer in self._peers:
            block = Block(weights=self._weights[self._moments.places[peer]])
            yield Send(peer, TrainingMessage(block=block))

    def polish(self, step: str) -> Script:
        """Take one Newton step on (noisy) joint predictors of the labelled rows.

        The last exact step only judges the weights tried before it.
        """
        answers = yield from receive("predictor", self._peers)
        z = self._joint_predictor(answers)
        if self.terms.contract.exact:
            z = self._accept(z)
            offset = solve.intercept(z, self._bad)
            self._intercept = -offset
        else:
            offset, slope = solve.calibrate(z, self._bad)
            self._accepted, z = self._weights * slope, z * slope
        if self.terms.contract.exact and step == self.terms.last_polish:
            self._weights = self._accepted
        else:
            yield from self._newton_step(solve.sigmoid(offset + z))
        yield from self._send_blocks()

    def _newton_step(self, q: Floats) -> Script:
        """Get the gradient at probabilities q of default, move the weights."""
        residual = np.rint((self._bad - q) * RESIDUAL_SCALE).astype(np.int64)
        plaintexts = np.zeros(self.columns.rows, dtype=np.int64)
        plaintexts[self._labelled] = residual
        answers = yield from self._ask_gradients(plaintexts)
        gradient = self._gradient(residual / RESIDUAL_SCALE, answers)
        self._weights = self._optimiser.step(
            self._accepted, gradient, float((q * (1 - q)).mean()), len(self._bad)
        )

    @property
    def _residual_layout(self) -> ResidualLayout:
        return ResidualLayout.plan(
            self.columns.rows, self.terms.contract.max_columns, self.own.modulus
        )

    def _ask_gradients(
        self, residuals: Integers
    ) -> Generator[Action, Arrived, Arrived]:
        """Send the encrypted residuals of all rows, (rows,); return the gradients."""
        yield from self._send_rows(
            PackedRows(
                0, self._residual_layout, lambda part: residuals[part, np.newaxis]
            )
        )
        return (yield from receive("gradient", self._peers))

    def _joint_predictor(self, answers: Arrived) -> Floats:
        total = np.zeros(self.columns.rows, dtype=np.uint64)
        for peer, message in answers.items():
            masked = message.predictor.masked
            if len(masked) != 8 * self.columns.rows:
                raise ProtocolError("a predictor of the wrong length", party=peer)
            total = total + np.frombuffer(masked, dtype="<u8")
        peers = total.view(np.int64)[self._labelled] / PREDICTOR_SCALE
        return self._own_rows @ self._weights[self._moments.places[self.name]] + peers

    def _accept(self, z: Floats) -> Floats:
        """Go from the accepted weights towards the tried ones as far as it pays."""
        if self._predictor is not None:
            t = solve.line_search(
                self._predictor, z, self._accepted, self._weights, self._bad, PENALTY
            )
            self._accepted = self._accepted + t * (self._weights - self._accepted)
            z = self._predictor + t * (z - self._predictor)
        self._predictor = z
        return z

    def _gradient(self, residual: Floats, answers: Arrived) -> Floats:
        gradient = np.zeros(len(self._weights))
        gradient[self._moments.places[self.name]] = self._own_rows.T @ residual
        for peer, message in answers.items():
            place = self._moments.places[peer]
            gradient[place] = read_gradient(
                peer,
                message.gradient.ciphertexts,
                self.own,
                self._residual_layout,
                place.stop - place.start,
            )
        return gradient

    def solution(self) -> Solution:
        """Return the own part of the card, with the intercept once it is known."""
        own = self._weights[self._moments.places[self.name]]
        return Solution(
            self.terms.scale,
            self.terms.contract.granularity,
            self._woe,
            -own * self._slope,
            self._intercept,
            self._intercept_points,
        )

    def calibrate(self) -> Script:
        """Fit the slope to the noisy joint scores of the labelled rows."""
        scores = (yield from self._joint_scores()) + self._own_scores()
        if not self.terms.contract.exact:
            spread = self.terms.calibration_noise / self.terms.scale.factor
            variance = len(self._peers) * spread**2
            _, self._slope = solve.calibrate(
                self._log_odds(scores), self._bad, variance
            )
        if self._slope <= 0:
            raise DataError(
                "the joint columns do not predict the label",
                party=self.name,
                remedy="check that the holders' rows and labels belong together",
            )
        for peer in self._peers:
            slope = Slope(factor=self._slope)
            yield Send(peer, TrainingMessage(slope=slope))

    def evaluate(self) -> Script:
        """Fit the intercept to the final scores, judge the card on the holdout rows."""
        peers = yield from self._joint_scores()
        offset = solve.intercept(self._log_odds(peers + self._own_scores()), self._bad)
        if not self.terms.contract.exact:
            self._intercept = -offset
        # On integer scores: makes up for the mean rounding error of all points.
        self._intercept_points = self.terms.scale.intercept_points(-offset)
        self.evaluation = evaluate(
            self.terms.scale,
            lookup(self.columns.codes, self._woe),
            peers + self._own_scores(),
            self.labels.train,
            self.labels.holdout,
        )

    def _own_scores(self) -> NDArray[np.int64]:
        return self.solution().partial_scores(self.columns.codes)

    def _log_odds(self, scores: Floats) -> Floats:
        """Return the log odds of bad of the labelled rows, short of the intercept."""
        return -scores[self._labelled] / self.terms.scale.factor

    def _joint_scores(self) -> Generator[Action, Arrived, Floats]:
        """Return the others' joint score of every row, as their cards stand."""
        return collect_scores(self._peers, self.own, self.columns.rows)
