"""A node's part of a horizontal run: its rows, its summands, its card.

Learns sums over the rows of all members, and from them the joint model, of which it
makes a card of its own. Others get its vectors under masks (``summing``), and the
digest of its card, which is salted: they have the joint model, and would find an
intercept of few rows by trying.
"""

import logging
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Literal, cast

import numpy as np

from veilscore.fault import concerning
from veilscore.keys.aggregation.terms import fewest_of
from veilscore.models.evaluation import Evaluation, measure
from veilscore.models.horizontal.bins import ColumnTerms, JointBins, agree_bins
from veilscore.models.horizontal.joint_card import joint_card
from veilscore.models.horizontal.ports import Booleans, Codes, Floats, Words
from veilscore.models.horizontal.rounds import JointModel, train
from veilscore.models.horizontal.run import columns_of, scale_of, terms_of
from veilscore.models.horizontal.script import Contribution, Script, drive
from veilscore.models.horizontal.terms import Terms
from veilscore.models.scorecard import Card, Column, Parameter
from veilscore.models.vertical.run import DOUBLINGS_LIMIT
from veilscore.node.columns import Columns, NumericColumn
from veilscore.node.errors import TrainingError
from veilscore.node.training.horizontal_policy import labelled_rows, learning_rows
from veilscore.node.training.run_keys import RunKeys
from veilscore.node.training.summing import Sums
from veilscore.node.training.surroundings import Drive, Surroundings
from veilscore.v1.training_pb2 import RunContract

_LOG = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class _Rows:
    """The member's rows that teach or judge a model, and their outcomes."""

    columns: Columns

    @property
    def bad(self) -> Booleans:
        found: Booleans = self.columns.labels == 1
        return found

    @property
    def has_both(self) -> bool:
        return 0 < int(self.bad.sum()) < len(self.columns)

    def values(self) -> dict[str, Column]:
        return {
            feature.name: feature.values
            if isinstance(feature, NumericColumn)
            else feature.texts()
            for feature in self.columns.features
        }

    def codes(self, columns: tuple[ColumnTerms, ...], bins: JointBins) -> Codes:
        """Return the bin of every row and column, (rows, columns)."""
        values = self.values()
        found = [
            each.apply(values[column.name])  # type: ignore[arg-type]  # of its kind
            for column, each in zip(columns, bins.bins, strict=True)
        ]
        return np.column_stack(found)


@dataclass(slots=True)
class HorizontalPart:
    """What this node does in the steps between joining and registering."""

    around: Surroundings
    contract: RunContract
    keys: RunKeys
    drive: Drive
    sums: Sums
    _terms: Terms = field(init=False)
    _columns: tuple[ColumnTerms, ...] = field(init=False)
    _rows: _Rows = field(init=False)
    _bins: JointBins | None = None
    _codes: Codes | None = None  # of the rows that teach
    _training: Script[JointModel] | None = None
    _sum: Words | None = None  # of the last step, which the training has not seen yet
    _model: Floats | None = None
    _evaluation: Evaluation | None = None

    def __post_init__(self) -> None:
        """Take the rows that teach; nothing is computed yet."""
        contract = self.contract
        least = fewest_of(contract)
        self._terms = terms_of(contract, least)
        self._columns = columns_of(contract)
        source = self.around.source
        rows = learning_rows(contract, source)
        if rows.size < (labelled := labelled_rows(source)):
            what = "the contract allows no more rows of a member"
            _LOG.warning("learns from %d of %d rows: %s", rows.size, labelled, what)
        self._rows = _Rows(source.take(rows))

    @property
    def rows(self) -> int:
        """Nothing: how many rows a member has is for nobody else."""
        return 0

    def perform(self, step: str) -> None:
        """Do this node's part of a step."""
        with concerning(self.around.party):
            if step == "bins":
                self._agree()
            elif step == "evaluate":
                self._train()
                self._finish()
            else:
                self._train()

    def card(self) -> Card:
        """Return what the run made: the joint model, as this member uses it."""
        model, bins, contract = self._model, self._bins, self.contract
        if model is None or bins is None:
            raise TrainingError("there is nothing to make a card of")
        return joint_card(
            model,
            [column.name for column in self._columns],
            bins.bins,
            run=contract.run,
            holder=self.around.party,
            scale=scale_of(contract),
            granularity=contract.granularity,
            parameters=self._parameters(),
            # Noise that hides a row would be in vain if the points showed it.
            codes=None if self._terms.privacy else self._codes,
        )

    def bound(self, card: Card) -> int:
        """Return what others learn of the largest score: the same for all usual cards.

        They have the model, and a bound of its own would show a card's intercept.
        """
        scale = card.scale
        usual = scale.base_points + round(2 * DOUBLINGS_LIMIT * scale.pdo)
        return 1 << max(usual, card.max_abs_points).bit_length()

    def figures(self) -> Mapping[str, float | int | bool] | None:
        """Return how good the model is on this member's rows."""
        return self._evaluation.figures() if self._evaluation else None

    # -- steps -------------------------------------------------------------------

    def _agree(self) -> None:
        """Choose bins with the others, and prepare to learn."""
        # torch is for horizontal runs only, and takes a second and 150 MB to load.
        from veilscore.models.horizontal.local_training import (  # noqa: PLC0415
            LocalLearner,
        )

        self.keys.meet()
        rows, terms = self._rows, self._terms
        script = agree_bins(
            self._columns, rows.values(), terms, least=self.contract.min_count
        )
        # Counts of the same rows with and without a member would show its own.
        bins = self._bins = drive(script, partial(self._add, whole=True))
        counts = [each.count for each in bins.bins]
        self._codes = rows.codes(self._columns, bins)
        learner = LocalLearner(self._codes, rows.bad, counts, terms)
        self._training = train(learner, sum(counts) + 1, bins.rows, terms)

    def _train(self) -> None:
        """Learn from the last sum and the own rows; hand in the next summand."""
        try:
            found = self._go_on()
        except StopIteration as over:
            raise TrainingError("the training ended before its last step") from over
        self._sum = self._add(found.label, found.words)

    def _finish(self) -> None:
        """Take the joint model, fit what the contract says to the own rows."""
        try:
            self._go_on()
        except StopIteration as over:
            joint = cast("JointModel", over.value)
        else:
            raise TrainingError("the training goes on after its last step")
        self._model = self._fitted(joint.vector)
        self._evaluation = self._judge(self._model)

    def _go_on(self) -> Contribution:
        if self._training is None:
            raise TrainingError("there are no bins to train on")
        if self._sum is None:
            return next(self._training)
        return self._training.send(self._sum)

    def _add(self, label: str, words: Words, *, whole: bool = False) -> Words:
        return self.drive(self.sums.add(label, words, whole=whole))

    # -- at home -----------------------------------------------------------------

    @property
    def _own(self) -> str:
        """What is fitted to the own rows; with one class there is nothing to fit."""
        return self.contract.horizontal.own if self._rows.has_both else "nothing"

    def _fitted(self, joint: Floats) -> Floats:
        from veilscore.models.horizontal.own_model import fit_own  # noqa: PLC0415

        if self._own == "nothing" or self._bins is None or self._codes is None:
            return joint
        return fit_own(
            joint,
            self._codes,
            self._rows.bad,
            [each.count for each in self._bins.bins],
            what=cast("Literal['intercept', 'tables']", self._own),
            pull=self.contract.horizontal.pull,
        )

    def _judge(self, model: Floats) -> Evaluation | None:
        """Judge by the held-out rows, or the own ones; None where these do not suffice.

        Alone is what the member's rows give under the same penalty.
        """
        from veilscore.models.horizontal.own_model import (  # noqa: PLC0415
            default_probability,
            fit_own,
        )

        bins, rows = self._bins, self._rows
        if bins is None or self._codes is None or not rows.has_both:
            return None
        counts = [each.count for each in bins.bins]
        alone = fit_own(
            np.zeros_like(model),
            self._codes,
            rows.bad,
            counts,
            what="tables",
            pull=self._terms.ridge,
        )
        source = self.around.source
        judging = np.flatnonzero(source.labelled(held_out=True))
        held_out = _Rows(source.take(judging))
        judged = held_out if held_out.has_both else rows
        codes = judged.codes(self._columns, bins)
        return measure(
            judged.bad,
            default_probability(model, codes, counts),
            default_probability(alone, codes, counts),
            aligned=bins.rows,
            learned=len(rows.columns),
            on_holdout=held_out.has_both,
        )

    def _parameters(self) -> dict[str, Parameter]:
        asked, terms = self.contract.horizontal, self._terms
        noise = terms.privacy.noise if terms.privacy else 0.0
        return {
            "members": len(self.contract.roster),
            "min_count": self.contract.min_count,
            "optimizer": asked.optimizer,
            "rounds": asked.rounds,
            "ridge": asked.ridge,
            "noise": noise,
            "own": self._own,
            # Others know all of a card but what is its member's own, and its digest.
            "salt": secrets.token_hex(16),
        }
