"""A member of horizontal training that sends what it likes, on real data.

It claims the most rows that the contract allows, and in every round a change of any
length in one direction: against the pooled model, so that bad is called good, or all of
it in one entry of a table. The code of all members is the real one, bounds and all.
"""

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from tests.protocol.plain_sums import together
from tests.protocol.region_data import Regions, Trained, central
from veilscore.models.horizontal.local_training import LocalLearner
from veilscore.models.horizontal.own_model import judge
from veilscore.models.horizontal.ports import Floats
from veilscore.models.horizontal.rounds import train
from veilscore.models.horizontal.terms import Terms
from veilscore.models.scorecard import Scale

# Who has about a third of all rows to learn from.
ATTACKERS = {"sba22k": "R5_west", "uci_default": "R3", "polish_bankruptcy_5y": "R2_mid"}
_SEEN = 100  # rows of the others in the bin whose entry is attacked


class Poisoner(LocalLearner):
    """Claims rows, and a change of any length in a direction."""

    change: Floats
    claimed: int

    @property
    def rows(self) -> int:
        return self.claimed

    def learn(self, model: Floats, number: int, all_rows: float) -> Floats:
        del model, number, all_rows
        return self.change


@dataclass(frozen=True, eq=False)
class Poisoning:
    """A data set, one of whose members attacks."""

    data: Regions
    attacker: str

    @cached_property
    def pooled(self) -> Trained:
        return central(self.data, ~self.data.test)

    @property
    def rows(self) -> int:
        """How many rows the attacker has."""
        return int(self.data.training(self.attacker).sum())

    @property
    def others(self) -> int:
        """How many rows the other members have."""
        return int((~self.data.test).sum()) - self.rows

    @property
    def most_rows(self) -> int:
        """How many rows the largest member has, which the contract has to allow."""
        return max(int(self.data.training(name).sum()) for name in self.data.names)

    def against(self) -> Floats:
        """Return the direction that calls bad what the pooled model calls good."""
        return -self.pooled.model / np.linalg.norm(self.pooled.model)

    def entry(self) -> int:
        """Return the rarest bin that the other members see, which hold it least."""
        own = ~self.data.test & (self.data.region != self.attacker)
        counts = self.pooled.bin_counts
        placed = self.pooled.codes[own] + np.cumsum([0, *counts[:-1]])
        seen = np.bincount(placed.ravel(), minlength=sum(counts))
        return int(np.argmin(np.where(seen >= _SEEN, seen, seen.max() + 1)))

    def one_entry(self) -> Floats:
        """Return the direction of that bin's entry alone."""
        direction = np.zeros(self.pooled.model.size)
        direction[self.entry()] = -1.0
        return direction

    def trained(
        self, terms: Terms, direction: Floats | None = None, length: float = 1e9
    ) -> Floats:
        """Train with an attacker who claims the most rows; None: with none."""
        counts, codes = self.pooled.bin_counts, self.pooled.codes
        learners: dict[str, LocalLearner] = {}
        for name in self.data.names:
            own = self.data.training(name)
            given = codes[own], self.data.bad[own], counts, terms
            if direction is not None and name == self.attacker:
                learners[name] = poisoner = Poisoner(*given)
                poisoner.change = direction * length
                poisoner.claimed = terms.members.most_rows
            else:
                learners[name] = LocalLearner(*given)
        rows = self.others + learners[self.attacker].rows  # also in counts of bins
        found = together(
            {
                name: train(learner, sum(counts) + 1, rows, terms)
                for name, learner in learners.items()
            }
        )
        return next(iter(found.values())).vector

    def auc(self, model: Floats) -> float:
        """Return the AUC on all test rows."""
        test = self.data.test
        bad, codes = self.data.bad[test], self.pooled.codes[test]
        return judge(model, codes, bad, self.pooled.bin_counts).auc


def points(one: Floats, other: Floats) -> float:
    """Return the largest difference of a bin's points, 40 to double the odds."""
    return float(np.abs(one - other)[:-1].max()) * Scale().factor


def bounded(terms: Terms, most_rows: int) -> Terms:
    """Return the terms of a contract that allows so many rows a member."""
    return replace(terms, members=replace(terms.members, most_rows=most_rows))
