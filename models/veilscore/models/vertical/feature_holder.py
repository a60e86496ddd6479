"""A feature holder's part of every training step.

Learns: good and bad counts of its own bins (pooled below the contract's minimum), its
own weights, which feature holders' rows differ more from labelled ones. Never: a row's
label, another holder's columns, which of its rows the label holder knows.

Gives away: per-bin counts without names or order; second moments of its columns after a
secret rotation, and how far its rows differ from the labelled ones; its share of the
rows' joint scores, once with noise and once without; in polish and exact steps, and
only if the contract says so, its noisy or exact share of the predictors.
"""

import math
import secrets
from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice

import numpy as np
from numpy.typing import NDArray

from veilscore.models import noise
from veilscore.models.errors import ProtocolError
from veilscore.models.script import (
    Action,
    Arrived,
    Script,
    Send,
    receive,
    receive_one,
)
from veilscore.models.vertical.cross_shares import cross_share
from veilscore.models.vertical.layout import (
    ROTATED_UNIT,
    ROTATION_SCALE,
    CrossLayout,
    ResidualLayout,
    RowLayout,
)
from veilscore.models.vertical.ports import (
    Floats,
    Integers,
    OwnKey,
    PeerKey,
    ZeroSumMasks,
)
from veilscore.models.vertical.raking import HEAVIEST, Margin, RowWeights
from veilscore.models.vertical.row_stream import (
    PART_ROWS,
    PackedRows,
    RowStream,
    Tally,
)
from veilscore.models.vertical.run import (
    COUNT_LIMIT,
    DOUBLINGS_LIMIT,
    PREDICTOR_SCALE,
    ROWS_A_COUNT,
    SLOPE_LIMIT,
    WEIGHT_LIMIT,
    RunColumns,
    Terms,
)
from veilscore.models.vertical.score_shares import send_scores
from veilscore.models.vertical.solution import Solution, lookup, row_sums
from veilscore.models.woe import WOE_SCALE, woe_table
from veilscore.v1.training_pb2 import (
    BinCiphertexts,
    Block,
    CountAnswer,
    Counts,
    CrossAnswer,
    CrossShare,
    CrossShares,
    Gradient,
    Moments,
    Predictor,
    TrainingMessage,
)


@dataclass(slots=True)
class FeatureHolder:
    """One feature holder in one run. Call its scripts in the order of the steps."""

    name: str
    terms: Terms
    columns: RunColumns
    own: OwnKey
    peers: Mapping[str, PeerKey]
    masks: ZeroSumMasks
    part_rows: int = PART_ROWS  # of every party of the run
    _rotation: NDArray[np.int64] = field(init=False)  # (columns, columns)
    _raked: RowWeights = field(init=False)
    _centre: NDArray[np.int64] = field(init=False)  # (columns,), mean rotated code
    _woe: list[list[int]] = field(
        default_factory=list[list[int]]
    )  # codes per column and bin
    _weights: Floats = field(init=False)  # (columns,), of the log odds of bad
    _slope: float = 1.0
    _sums: list[list[int]] = field(
        default_factory=list[list[int]]
    )  # encrypted, per group and bin

    def __post_init__(self) -> None:
        """Refuse columns the contract does not cover."""
        self.terms.check_columns(self.name, self.columns)
        size = len(self.columns.names)
        self._rotation = np.rint(noise.rotation(size) * ROTATION_SCALE).astype(np.int64)
        self._weights = np.zeros(size)

    @property
    def _label_key(self) -> PeerKey:
        return self.peers[self.terms.label_holder]

    @property
    def _stream(self) -> RowStream:
        return RowStream(self.columns, self.part_rows)

    def counts(self) -> Script:
        """Answer encrypted bin sums; learn the counts of the own bins."""
        rows, contract = self.columns.rows, self.terms.contract
        label_holder, key = self.terms.label_holder, self._label_key
        layout, self._sums = yield from self._stream.take(
            label_holder,
            key,
            range(contract.max_columns + 1),
            lambda columns: RowLayout.plan(
                rows, columns, contract.max_columns, key.modulus
            ),
            Tally(rows),
        )
        orders: list[list[int]] = [
            noise.ordering(count).tolist() for count in self.columns.bin_counts
        ]
        answer, sums = CountAnswer(), iter(self._sums[0])
        for order in orders:
            column = list(islice(sums, len(order)))
            masks = [
                layout.count_mask(secrets.randbits(layout.mask_bits)) for _ in order
            ]
            masked = key.answer([column[index] for index in order], masks)
            answer.columns.append(BinCiphertexts(ciphertexts=masked))
        yield Send(label_holder, TrainingMessage(count_answer=answer))
        reply = yield from receive_one("counts", label_holder)
        self._read_counts(reply.counts, orders)

    def _read_counts(self, counts: Counts, orders: list[list[int]]) -> None:
        """Learn the WoE of the own bins, and what rows weigh in second moments."""
        if len(counts.columns) != len(orders):
            raise ProtocolError(
                "counts of the wrong number of columns", party=self.terms.label_holder
            )
        woe: list[list[int]] = []
        margins: list[Margin] = []
        for column, order in zip(counts.columns, orders, strict=True):
            sizes = {len(column.good), len(column.bad), len(column.pool)}
            if sizes != {len(order)}:
                raise ProtocolError(
                    "counts of the wrong number of bins", party=self.terms.label_holder
                )
            if any(abs(count) > COUNT_LIMIT for count in (*column.good, *column.bad)):
                raise ProtocolError(
                    "counts out of all proportion", party=self.terms.label_holder
                )
            good, bad, pool = np.zeros((3, len(order)), dtype=np.int64)
            good[order], bad[order], pool[order] = column.good, column.bad, column.pool
            woe.append(woe_table(good, bad, pool).codes.tolist())
            margins.append(Margin.of(good, bad, pool))
        self._woe = woe
        self._raked = self._rake(margins)

    def _rake(self, margins: Sequence[Margin]) -> RowWeights:
        """Weight the rows; raises ProtocolError if a single one weighs too much."""
        raked = RowWeights.raked(self.columns.codes, margins)
        least = ROWS_A_COUNT * self.terms.contract.min_count
        if raked.total < least * HEAVIEST:
            raise ProtocolError(
                "by these counts a row of this party would be one in "
                f"{raked.total / HEAVIEST:.0f} of its moments; one in {least} may be",
                party=self.terms.label_holder,
                remedy="ask it for a run with more labelled rows that are like the "
                "rows of this party",
            )
        return raked

    def _rotated_rows(self, rows: slice) -> Integers:
        """Return the rotated integer codes of some rows, (rows, columns)."""
        tables = [np.asarray(table, dtype=np.int64) for table in self._woe]
        return lookup(self.columns.codes[rows], tables) @ self._rotation.T

    def _bin_weights(self) -> list[list[int]]:
        """Return, for every rotated column, its integer weight of every bin."""
        return [
            [
                int(turn) * value
                for turn, table in zip(row, self._woe, strict=True)
                for value in table
            ]
            for row in self._rotation
        ]

    def moments(self) -> Script:
        """Send the second moments of the rotated columns."""
        weights = self._bin_weights()
        sums = [self._label_key.combine(group, weights) for group in self._sums]
        self._sums = []
        size = len(self.columns.names)
        gram, totals = np.zeros((size, size)), np.zeros(size)
        for part in self._stream.parts():
            rotated = self._rotated_rows(part).astype(np.float64) / ROTATED_UNIT
            weighted = rotated * self._raked.of_row[part, np.newaxis]
            gram += rotated.T @ weighted
            totals += weighted.sum(axis=0)
        mean = totals / self._raked.total
        self._centre = np.rint(mean * ROTATED_UNIT).astype(np.int64)
        answer = Moments(
            ciphertexts=self._label_key.answer(
                [value for group in sums for value in group], None
            ),
            gram=gram.ravel(),
            sums=totals,
            weight=self._raked.total,
            squared_weight=self._raked.squared,
        )
        yield Send(self.terms.label_holder, TrainingMessage(moments=answer))

    def cross(self) -> Script:
        """Compute the cross moments with every other feature holder.

        Of a pair, the holder that the label holder named first encrypts its rotated
        rows, and weights them. Less their mean, their sums with the other's rows are
        covariances.

        If all were told one order, no wait is circular: a holder takes all earlier
        ones' rows, in that order, before it sends its own. The first waits for nobody
        and every other begins with its rows, so they arrive; and once the rows of the
        first k have arrived, holder k + 1 sends, and all after it wait for nothing
        else. Answers are sent at once and waited for only when the own rows have
        arrived.
        """
        earlier, later = yield from self._take_order()
        tally = Tally(self.columns.rows * (len(earlier) + bool(later)))
        shares: list[CrossShare] = []
        for name in earlier:
            answer, share = yield from self._answer_cross(name, tally)
            yield Send(name, TrainingMessage(cross_answer=answer))
            shares.append(share)
        if later:
            yield from self._stream.send(later, self.own, self._packed_rows(), tally)
        answers = yield from receive("cross_answer", later)
        for name in later:
            residues = self.own.decrypt(answers[name].cross_answer.ciphertexts)
            shares.append(cross_share(self.name, name, self.own.modulus, residues))
        yield Send(
            self.terms.label_holder,
            TrainingMessage(cross_shares=CrossShares(shares=shares)),
        )

    def _take_order(
        self,
    ) -> Generator[Action, Arrived, tuple[tuple[str, ...], tuple[str, ...]]]:
        """Learn which feature holders come before this one and which after it."""
        reply = yield from receive_one("cross_order", self.terms.label_holder)
        order = tuple(reply.cross_order.parties)
        if tuple(sorted(order)) != self.terms.feature_holders:
            raise ProtocolError(
                "an order of other parties than the feature holders",
                party=self.terms.label_holder,
            )
        place = order.index(self.name)
        return order[:place], order[place + 1 :]

    def _packed_rows(self) -> PackedRows:
        own = len(self.columns.names)
        layout = CrossLayout.plan(
            self.columns.rows, own, self.terms.contract.max_columns, self.own.modulus
        )
        return PackedRows(own, layout, self._weighted_rows)

    def _weighted_rows(self, rows: slice) -> Integers:
        """Return the rotated codes less their mean, times the weight of their row."""
        weights = self._raked.of_row[rows, np.newaxis].astype(np.int64)
        return weights * (self._rotated_rows(rows) - self._centre)

    def _answer_cross(
        self, owner: str, tally: Tally
    ) -> Generator[Action, Arrived, tuple[CrossAnswer, CrossShare]]:
        key, weights = self.peers[owner], self._bin_weights()
        rows, most = self.columns.rows, self.terms.contract.max_columns
        _, groups = yield from self._stream.take(
            owner,
            key,
            range(1, most + 1),
            lambda columns: CrossLayout.plan(rows, columns, most, key.modulus),
            tally,
        )
        sums = [total for bins in groups for total in key.combine(bins, weights)]
        # Uniform modulo n: the key owner decrypts noise.
        masks = [secrets.randbelow(key.modulus) for _ in sums]
        negated = [(-mask) % key.modulus for mask in masks]
        answer = CrossAnswer(ciphertexts=key.answer(sums, masks))
        return answer, cross_share(owner, self.name, key.modulus, negated)

    def solve(self) -> Script:
        """Learn the own block of the solution."""
        reply = yield from receive_one("block", self.terms.label_holder)
        self._accept(reply.block)

    def _accept(self, block: Block) -> None:
        rotated = np.asarray(block.weights, dtype=np.float64)
        if rotated.shape != self._weights.shape:
            raise ProtocolError(
                "a solution of the wrong shape", party=self.terms.label_holder
            )
        # A rotation keeps lengths. What is not a number is not within any bounds.
        weights = np.full(len(rotated), math.inf)
        if np.abs(rotated).max() <= WEIGHT_LIMIT * len(rotated):
            weights = self._rotation.T @ rotated / ROTATION_SCALE
        if np.abs(weights).max() > WEIGHT_LIMIT:
            raise ProtocolError(
                "a solution out of all proportion", party=self.terms.label_holder
            )
        self._weights = weights

    def polish(self, step: str) -> Script:
        """Send a masked (noisy) predictor, then the gradient of the own columns."""
        contract, label_holder = self.terms.contract, self.terms.label_holder
        weighted = [
            weight * woe
            for weight, woe in zip(self._weights, self._woe_tables(), strict=True)
        ]
        predictor = row_sums(self.columns.codes, weighted)
        if not contract.exact:
            spread = contract.polish_noise * predictor.std()
            predictor = predictor + spread * noise.gaussian(len(predictor))
        fixed = np.rint(predictor * PREDICTOR_SCALE).astype(np.int64).view(np.uint64)
        masked = fixed + self.masks.words(step, len(fixed))
        sent = Predictor(masked=masked.astype("<u8").tobytes())
        yield Send(label_holder, TrainingMessage(predictor=sent))
        if not (contract.exact and step == self.terms.last_polish):
            yield from self._answer_residuals()
        reply = yield from receive_one("block", label_holder)
        self._accept(reply.block)

    def _answer_residuals(self) -> Script:
        rows, most = self.columns.rows, self.terms.contract.max_columns
        label_holder, key = self.terms.label_holder, self._label_key
        _, (bins,) = yield from self._stream.take(
            label_holder,
            key,
            range(1),
            lambda _: ResidualLayout.plan(rows, most, key.modulus),
            Tally(rows),
        )
        sums = key.combine(bins, self._bin_weights())
        gradient = Gradient(ciphertexts=key.answer(sums, None))
        yield Send(label_holder, TrainingMessage(gradient=gradient))

    def _woe_tables(self) -> tuple[Floats, ...]:
        return tuple(
            np.asarray(table, dtype=np.float64) / WOE_SCALE for table in self._woe
        )

    def solution(self) -> Solution:
        """Return the own part of the card at the present weights and slope."""
        return Solution(
            self.terms.scale,
            self.terms.contract.granularity,
            self._woe_tables(),
            -self._weights * self._slope,
        )

    def calibrate(self) -> Script:
        """Send masked provisional scores with noise, learn the slope of the final."""
        yield from self._send_scores("calibrate", self.terms.calibration_noise)
        reply = yield from receive_one("slope", self.terms.label_holder)
        if not 0.0 < reply.slope.factor <= SLOPE_LIMIT:
            raise ProtocolError("a slope out of range", party=self.terms.label_holder)
        self._slope = reply.slope.factor

    def evaluate(self) -> Script:
        """Send masked final scores."""
        yield from self._send_scores("evaluate")

    def _send_scores(self, label: str, spread: float = 0.0) -> Script:
        scores = self.solution().partial_scores(self.columns.codes)
        most = DOUBLINGS_LIMIT * self.terms.contract.points_to_double_odds
        if np.abs(scores).max() > most:
            raise ProtocolError(
                f"a solution by which scores reach more than {most:g} points",
                party=self.terms.label_holder,
                remedy="ask it for another run, with a larger ridge in the contract",
            )
        if spread:
            blur = np.rint(spread * noise.gaussian(len(scores)))
            scores = scores + blur.astype(np.int64)
        yield from send_scores(
            self.terms.label_holder, self._label_key, self.masks, label, scores
        )
