"""The additive scorecard: one holder's part of it, and the scale of the whole.

A score is the intercept plus, for every feature, the points of the bin it falls
into. Each holder keeps the card of its own features; nobody has all cards. This
module sums one holder's points; who may see such a sum, and masked by what, is
decided elsewhere.

Direction: odds are good:bad. More points, higher odds, lower probability of
default (PD).
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from veilscore.models.binning import MISSING, Bins, Codes, NumericBins
from veilscore.models.errors import BoundError, DataError

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]
Points = npt.NDArray[np.int32]
Column = FloatArray | Sequence[str | None]
Parameter = str | int | float | bool

_POINTS_LIMIT = 1 << 31


@dataclass(frozen=True, slots=True)
class Scale:
    """Maps log odds (good:bad) to points: ``offset + factor * log_odds``."""

    base_points: int = 600
    base_odds: float = 20.0
    pdo: float = 40.0  # points that double the odds

    def __post_init__(self) -> None:
        """Refuse a scale on which points would mean nothing."""
        if not (0 < self.base_odds < math.inf and 0 < self.pdo < math.inf):
            raise DataError(
                "a scale needs positive odds and positive points to double them",
                remedy="Use 600 points at 20:1 with 40 points to double the odds",
            )

    @property
    def factor(self) -> float:
        """Points for one unit of log odds."""
        return self.pdo / math.log(2)

    @property
    def offset(self) -> float:
        """Points at even odds."""
        return self.base_points - self.factor * math.log(self.base_odds)

    def score(self, log_odds: FloatArray) -> FloatArray:
        """Return the unrounded score."""
        return self.offset + self.factor * log_odds

    def log_odds(self, score: FloatArray) -> FloatArray:
        """Return ln(good:bad)."""
        return (score - self.offset) / self.factor

    def default_probability(self, score: FloatArray) -> FloatArray:
        """Return PD = 1 / (1 + good:bad odds)."""
        # exp(-ln(1 + e^x)) is exact for tiny PDs and never overflows.
        return np.exp(-np.logaddexp(0.0, self.log_odds(score)))

    def score_of_probability(self, probability: FloatArray) -> FloatArray:
        """Return the score of a PD strictly between 0 and 1."""
        return self.score(np.log1p(-probability) - np.log(probability))

    def points(self, log_odds: FloatArray) -> IntArray:
        """Return the integer points of contributions to the log odds, halves to even.

        Raises ``BoundError`` for contributions that are not finite or absurd.
        """
        if not np.all(np.abs(log_odds) < _POINTS_LIMIT / self.factor):
            raise BoundError(
                "a contribution to the score is not finite or does not fit 32 bits",
                remedy="Train again with a larger ridge penalty",
            )
        return np.rint(self.factor * log_odds).astype(np.int64)

    def intercept_points(self, log_odds: float) -> int:
        """Return the points every score starts from: offset plus intercept."""
        return round(self.offset + self.factor * log_odds)


@dataclass(frozen=True, slots=True)
class Feature:
    """Points of one feature by bin; ``log_odds`` are the same before rounding."""

    name: str
    bins: Bins
    points: tuple[int, ...]
    log_odds: tuple[float, ...]

    def __post_init__(self) -> None:
        """Refuse tables that do not fit the bins."""
        if not len(self.points) == len(self.log_odds) == self.bins.count:
            raise DataError(
                f"feature {self.name!r} does not have one entry a bin",
                remedy="Train the model again",
            )

    @classmethod
    def scaled(
        cls, name: str, bins: Bins, log_odds: FloatArray, scale: Scale
    ) -> "Feature":
        """Make a feature from its contributions to ln(good:bad), shape (bins,)."""
        points = tuple(scale.points(log_odds).tolist())
        return cls(name, bins, points, tuple(log_odds.tolist()))


KNOWN_TO_ALL: Final = "known_to_all"
"""The parameter that says that a query scores only what all who answer it know."""


@dataclass(frozen=True, slots=True)
class Card:
    """One holder's features and points in the model of one run.

    Partial scores are multiples of ``granularity``. ``parameters`` say how the
    card was made. ``intercept_points`` are the points every score starts from; they
    and the unrounded ``intercept`` (log odds) are the label holder's, 0 elsewhere.
    """

    run: str
    holder: str
    scale: Scale
    granularity: int
    features: tuple[Feature, ...]
    parameters: Mapping[str, Parameter]
    intercept_points: int = 0
    intercept: float = 0.0

    def __post_init__(self) -> None:
        """Refuse a card that could answer ambiguously or overflow."""
        names = {feature.name for feature in self.features}
        if not self.features or len(names) < len(self.features):
            raise DataError(
                "a card needs at least one feature, and no feature twice",
                party=self.holder,
                remedy="Correct the list of columns and train the model again",
            )
        if not 1 <= self.granularity < _POINTS_LIMIT:
            raise DataError(
                f"a granularity of {self.granularity} points is none",
                party=self.holder,
                remedy="Set a granularity of at least 1 in the contract",
            )
        largest = sum(max(map(abs, feature.points)) for feature in self.features)
        if largest >= _POINTS_LIMIT:
            raise BoundError(
                "the card's points do not fit 32 bits",
                party=self.holder,
                remedy="Use a scale with fewer points to double the odds",
            )

    @property
    def max_abs_points(self) -> int:
        """Largest absolute partial score any entity can have."""
        start = self.intercept_points
        highest = start + sum(max(feature.points) for feature in self.features)
        lowest = start + sum(min(feature.points) for feature in self.features)
        extreme, step = max(abs(highest), abs(lowest)), self.granularity
        return (2 * extreme + step) // (2 * step) * step  # as round_half_away

    @property
    def missing_points(self) -> int:
        """Partial score of an entity this holder does not know."""
        codes = np.full((1, len(self.features)), MISSING, np.uint16)
        return int(self.partial_codes(codes)[0])

    def codes(self, columns: Mapping[str, Column]) -> Codes:
        """Return bin codes, shape (rows, features); other columns are ignored.

        Raises ``DataError`` if a column is absent or of the wrong kind.
        """
        return np.column_stack(
            [_apply(feature, columns, self.holder) for feature in self.features]
        )

    def partial(self, columns: Mapping[str, Column]) -> Points:
        """Return the partial scores, shape (rows,); raises as ``codes``."""
        return self.partial_codes(self.codes(columns))

    def partial_codes(self, codes: Codes) -> Points:
        """Return the partial scores of codes of shape (rows, features)."""
        total = np.full(codes.shape[0], self.intercept_points, np.int64)
        for feature, column in zip(self.features, codes.T, strict=True):
            total += np.array(feature.points)[column]
        return round_half_away(total, self.granularity).astype(np.int32)

    def reasons(self, codes: Codes, top: int) -> tuple[IntArray, IntArray]:
        """Return for each row the features that cost it most, worst first.

        The first array holds indices into ``features``, the second the points lost
        against that feature's best bin (0: nothing lost); both have shape
        (rows, top). Equal losses keep the card's order.
        """
        lost = np.column_stack(
            [
                (max(feature.points) - np.array(feature.points))[column]
                for feature, column in zip(self.features, codes.T, strict=True)
            ]
        )
        order = np.argsort(-lost, axis=1, kind="stable")[:, :top]
        return order, np.take_along_axis(lost, order, axis=1)


def round_half_away(points: IntArray, step: int) -> IntArray:
    """Round to multiples of ``step``; halves go away from zero, exactly."""
    magnitude: IntArray = (2 * np.abs(points) + step) // (2 * step) * step
    return np.sign(points) * magnitude


def _apply(feature: Feature, columns: Mapping[str, Column], holder: str) -> Codes:
    name, bins = feature.name, feature.bins
    values = columns.get(name)
    if isinstance(values, np.ndarray):
        if isinstance(bins, NumericBins):
            return bins.apply(values)
    elif values is not None and not isinstance(bins, NumericBins):
        return bins.apply(values)
    expected = "numbers" if isinstance(bins, NumericBins) else "texts"
    raise DataError(
        f"column {name!r} is absent or does not hold {expected}",
        party=holder,
        remedy=f"Let the data source give column {name!r} as {expected}",
    )
