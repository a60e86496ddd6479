"""The node's own columns, binned on the rows of one run.

Nothing leaves: bins are label-free and chosen from this holder's rows alone.
"""

from dataclasses import dataclass

import numpy as np

from veilscore.models.binning import MISSING, Bins
from veilscore.models.scorecard import KNOWN_TO_ALL, Card, Feature
from veilscore.models.vertical.run import RunColumns
from veilscore.models.vertical.solution import Solution
from veilscore.node.columns import Columns
from veilscore.node.training.alignment import Alignment
from veilscore.v1.training_pb2 import RunContract


@dataclass(frozen=True, slots=True)
class BinnedColumns:
    """Columns of a run with the bins they were cut by."""

    columns: RunColumns
    bins: tuple[Bins, ...]

    @classmethod
    def of(cls, source: Columns, alignment: Alignment) -> "BinnedColumns":
        """Fit bins to the rows of the run that this holder knows.

        Raises DataError naming a column without variation or value.
        """
        known = np.nonzero(alignment.positions >= 0)[0]
        places = alignment.positions[known]
        shape = (alignment.rows, len(source.features))
        codes = np.full(shape, MISSING, dtype=np.uint16)
        bins: list[Bins] = []
        for index, feature in enumerate(source.features):
            fitted, codes[places, index] = feature.take(known).cut()
            bins.append(fitted)
        names = tuple(feature.name for feature in source.features)
        counts = tuple(fitted.count for fitted in bins)
        return cls(RunColumns(names, codes, counts), tuple(bins))

    def card(self, contract: RunContract, holder: str, solution: Solution) -> Card:
        """Return the card that a solution makes of these bins."""
        features = tuple(
            Feature(name, bins, tuple(points.tolist()), tuple(exact.tolist()))
            for name, bins, points, exact in zip(
                self.columns.names,
                self.bins,
                solution.points(self.columns.codes),
                solution.contributions(),
                strict=True,
            )
        )
        return Card(
            run=contract.run,
            holder=holder,
            scale=solution.scale,
            granularity=contract.granularity,
            features=features,
            parameters={
                "ridge": contract.ridge,
                "min_count": contract.min_count,
                "polish_steps": contract.polish_steps,
                "polish_noise": contract.polish_noise,
                "exact": contract.exact,
                KNOWN_TO_ALL: contract.known_to_all,
            },
            intercept_points=solution.intercept_points,
            intercept=solution.intercept,
        )
