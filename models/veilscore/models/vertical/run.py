"""What both roles of a run know: its contract, its rows, its steps.

The order of steps is decided here and nowhere else.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from veilscore.models.errors import DataError
from veilscore.models.scorecard import Scale
from veilscore.models.vertical.ports import Codes
from veilscore.v1.training_pb2 import RunContract

# Residuals and predictors travel as fixed-point integers.
RESIDUAL_SCALE = 1 << 20
PREDICTOR_SCALE = 1 << 30
# Of rows in a bin, noise included: far above any run's, and sums of all bins still fit.
COUNT_LIMIT = 1 << 40
# No honest solution comes near: a weight of 1 says the WoE is right as it is, a slope
# of 1 that the scores are. They keep predictors and scores within their slots.
WEIGHT_LIMIT = 1000.0
SLOPE_LIMIT = 1000.0
# A row may weigh as much in moments as one of this many times the contract's least
# count: by true counts none comes near, and by made-up ones it would be singled out.
ROWS_A_COUNT = 10
# How often one holder's part of a score may double the odds, up or down: twice what was
# seen of honest ones. It is what a score can tell of a row, whatever the weights.
DOUBLINGS_LIMIT = 20
# Noise on provisional scores, of each feature holder: a quarter of the points that
# double the odds, and far above what rounding to points, or to the contract's multiple
# of them, moves a score by.
CALIBRATION_NOISE = 0.25
GRANULES_OF_NOISE = 4
# Penalties of the moment solution, in units of 1/(p(1-p)): outside of these floating
# point has nothing left of the penalty, or of the moments.
LEAST_RIDGE, MOST_RIDGE = 1e-6, 1e6
# The fewest points that double the odds: so few tell next to nothing, and fewer would
# overflow what is divided by them.
LEAST_DOUBLING = 0.01
# Penalty of the logistic likelihood in polish and exact steps: scikit-learn's C=1.
PENALTY = 1.0


def steps(contract: RunContract) -> Iterator[str]:
    """Yield the names of a run's steps in order; each is one Flower round."""
    yield from ("join", "rows", "counts", "moments")
    if len(contract.roster) > 2:  # noqa: PLR2004 - a pair of feature holders
        yield "cross"
    yield "solve"
    for number in range(1, contract.polish_steps + 1):
        yield f"polish-{number}"
    yield from ("calibrate", "evaluate", "register")


@dataclass(frozen=True, slots=True)
class RunColumns:
    """One holder's binned columns on the rows of the run.

    codes: (rows, columns), bin 0 where the holder does not know the row.
    """

    names: tuple[str, ...]
    codes: Codes
    bin_counts: tuple[int, ...]

    @property
    def rows(self) -> int:
        """Rows of the run."""
        return len(self.codes)


@dataclass(frozen=True, slots=True)
class Terms:
    """A contract as the roles use it."""

    contract: RunContract

    @property
    def label_holder(self) -> str:
        """Name of the party that holds the labels."""
        return self.contract.label_holder

    @property
    def feature_holders(self) -> tuple[str, ...]:
        """Names of the others, sorted."""
        return tuple(
            sorted(
                entry.party
                for entry in self.contract.roster
                if entry.party != self.contract.label_holder
            )
        )

    @property
    def last_polish(self) -> str:
        """Name of the last polish step."""
        return f"polish-{self.contract.polish_steps}"

    @property
    def scale(self) -> Scale:
        """Scale of the points."""
        return Scale(
            self.contract.base_points,
            self.contract.base_odds,
            self.contract.points_to_double_odds,
        )

    @property
    def calibration_noise(self) -> float:
        """Standard deviation, in points, of a feature holder's noise at ``calibrate``.

        Provisional and final points differ by the slope and by what was rounded away:
        without noise the two scores of a row would be two equations about its bins.
        """
        if self.contract.exact:  # discloses them anyway
            return 0.0
        return max(
            CALIBRATION_NOISE * self.contract.points_to_double_odds,
            GRANULES_OF_NOISE * float(self.contract.granularity),
        )

    def check_columns(self, party: str, columns: RunColumns) -> None:
        """Refuse columns or, of a feature holder, bins that the contract excludes."""
        if not 1 <= len(columns.names) <= self.contract.max_columns:
            raise DataError(
                f"{len(columns.names)} columns, the contract allows 1 to "
                f"{self.contract.max_columns}",
                party=party,
                remedy="declare fewer features or raise max_columns in the contract",
            )
        bins = sum(columns.bin_counts)
        if party != self.label_holder and bins > self.contract.max_bins:
            raise DataError(
                f"{bins} bins in {len(columns.names)} columns, the contract allows "
                f"{self.contract.max_bins}",
                party=party,
                remedy="declare fewer features or raise max_bins in the contract",
            )
