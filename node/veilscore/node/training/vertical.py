"""A node's part of a vertical run: its rows, its bins, its role, its card.

Learns what its role learns (``veilscore.models.vertical``).
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from veilscore.fault import concerning
from veilscore.models.scorecard import Card
from veilscore.models.script import Script
from veilscore.models.vertical.feature_holder import FeatureHolder
from veilscore.models.vertical.label_holder import LabelHolder, Labels
from veilscore.models.vertical.run import RunColumns, Terms
from veilscore.node.errors import RefusedError, TrainingError
from veilscore.node.training.alignment import Alignment, align
from veilscore.node.training.binned import BinnedColumns
from veilscore.node.training.ciphers import OwnPaillier, PeerPaillier, RunMasks
from veilscore.node.training.run_keys import RunKeys
from veilscore.node.training.surroundings import Drive, Surroundings
from veilscore.v1.training_pb2 import RunContract


@dataclass(slots=True)
class VerticalPart:
    """What this node does in the steps between joining and registering."""

    around: Surroundings
    contract: RunContract
    keys: RunKeys
    drive: Drive
    _binned: BinnedColumns | None = None
    _role: FeatureHolder | LabelHolder | None = None

    @property
    def rows(self) -> int:
        """Rows of the run; 0 before they are known."""
        return self._binned.columns.rows if self._binned else 0

    def perform(self, step: str) -> None:
        """Do this node's part of a step."""
        if step == "rows":
            self._align()
        else:
            self.drive(self._script(step))

    def card(self) -> Card:
        """Return what the run made."""
        if self._role is None or self._binned is None:
            raise TrainingError("there is nothing to make a card of")
        solution = self._role.solution()
        return self._binned.card(self.contract, self.around.party, solution)

    def bound(self, card: Card) -> int:
        """Return what others learn of the card's largest absolute score: all of it."""
        return card.max_abs_points

    def figures(self) -> Mapping[str, float | int | bool] | None:
        """Return how good the model is, which only the label holder knows."""
        found = self._role.evaluation if isinstance(self._role, LabelHolder) else None
        return found.figures() if found else None

    def _align(self) -> None:
        """Learn the rows of the run, bin the own columns on them, take a role."""
        self.keys.meet()
        source = self.around.source
        if self.around.party == self.contract.label_holder:
            labelled = source.labelled(held_out=False)
        else:
            labelled = np.zeros(len(source), dtype=bool)
        alignment = self.drive(
            align(
                self.around.party,
                tuple(entry.party for entry in self.contract.roster),
                self.around.coordinator,
                self.contract.run,
                source.ids,
                labelled,
            )
        )
        self.check_rows(alignment)
        with concerning(self.around.party):
            self._binned = BinnedColumns.of(source, alignment)
        self._role = self.take_role(alignment, self._binned.columns)

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

    def take_role(
        self, alignment: Alignment, columns: RunColumns
    ) -> FeatureHolder | LabelHolder:
        """Return this node's role on these rows, with the keys of everybody met."""
        around, terms = self.around, Terms(self.contract)
        own = OwnPaillier(around.private_key, around.workers)
        if around.party == terms.label_holder:
            labels = self._labels(alignment)
            return LabelHolder(around.party, terms, columns, labels, own)
        others = {terms.label_holder, *terms.feature_holders} - {around.party}
        peers = {
            name: PeerPaillier(self.keys.paillier(name), around.workers)
            for name in others
        }
        answers = sum(columns.bin_counts) + len(columns.names)
        around.workers.prefill(peers[terms.label_holder].public, answers)
        secrets = {
            name: self.keys.pair_secret(name)
            for name in terms.feature_holders
            if name != around.party
        }
        run_masks = RunMasks(around.party, secrets)
        return FeatureHolder(around.party, terms, columns, own, peers, run_masks)

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
