"""A holder's table in memory: checked, frozen, one row an entity.

Everything here stays with the holder. Ids are normalised and unique, missing
cells are marked and never filled in, and rows whose id failed its check are
listed with a reason that repeats no value, so that the list may be shown.

Nothing here reads a file: ``veilscore.node.sources`` does.
"""

from dataclasses import dataclass, field, replace
from typing import TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray

from veilscore.models.binning import (
    CategoricalBins,
    Codes,
    NumericBins,
    fit_counted,
    fit_numeric,
)
from veilscore.node.entities import Entities, EntityIndex


@dataclass(frozen=True, slots=True)
class NumericColumn:
    """A measured feature; ``values`` is float64 and missing is NaN."""

    name: str
    values: NDArray[np.float64] = field(repr=False)

    def __post_init__(self) -> None:
        """Freeze the array: every part of the node reads the same one."""
        self.values.setflags(write=False)

    def cut(self) -> tuple[NumericBins, Codes]:
        """Return bins fitted to these rows and the bin of each; raises DataError."""
        bins = fit_numeric(self.values, column=self.name)
        return bins, bins.apply(self.values)

    def take(self, rows: NDArray[np.intp]) -> "NumericColumn":
        """Return the column at these rows."""
        return replace(self, values=self.values[rows])


@dataclass(frozen=True, slots=True)
class CategoryColumn:
    """A coded feature; ``codes`` is int32 into sorted ``levels``, missing is -1."""

    name: str
    codes: NDArray[np.int32] = field(repr=False)
    levels: tuple[str, ...] = field(repr=False)

    def __post_init__(self) -> None:
        """Freeze the array."""
        self.codes.setflags(write=False)

    def cut(self) -> tuple[CategoricalBins, Codes]:
        """Return bins fitted to these rows and the bin of each; raises DataError."""
        words = (*self.levels, None)
        # Code -1, missing, counts in the last place.
        counts = np.bincount(self.codes % len(words), minlength=len(words))
        found = {
            word: count
            for word, count in zip(words, counts.tolist(), strict=True)
            if count
        }
        bins = fit_counted(found, column=self.name)
        return bins, bins.apply(words)[self.codes]

    def texts(self) -> list[str | None]:
        """Return the level of every row, None where it is missing."""
        words = np.array([*self.levels, None], dtype=object)
        return list(words[self.codes])

    def take(self, rows: NDArray[np.intp]) -> "CategoryColumn":
        """Return the column at these rows, with all of its levels."""
        return replace(self, codes=self.codes[rows])


Feature: TypeAlias = NumericColumn | CategoryColumn


@dataclass(frozen=True, slots=True)
class RejectedRow:
    """A source row that was left out; rows count from 1, headers apart."""

    row: int
    column: str
    reason: str


@dataclass(frozen=True, slots=True)
class Columns:
    """One row an entity, in the order of the source.

    ``labels`` is int8: 1 bad, 0 good, -1 no label (not a borrower yet, or this
    holder has none). ``holdout`` marks rows that are never trained on.
    """

    ids: Entities
    features: tuple[Feature, ...]
    labels: NDArray[np.int8]
    holdout: NDArray[np.bool_]
    rejected: tuple[RejectedRow, ...] = ()

    def __post_init__(self) -> None:
        """Freeze the arrays."""
        self.labels.setflags(write=False)
        self.holdout.setflags(write=False)

    def __len__(self) -> int:
        """Return the number of entities."""
        return len(self.ids)

    def __repr__(self) -> str:
        """Say how much there is, and nothing of what it is."""
        return f"Columns({len(self)} entities, {len(self.features)} features)"

    def labelled(self, *, held_out: bool) -> NDArray[np.bool_]:
        """Return which rows with a label judge a model or, not held out, teach it."""
        found: NDArray[np.bool_] = (self.labels >= 0) & (self.holdout == held_out)
        return found

    def index(self) -> EntityIndex:
        """Return what finds rows by normalised id; build it once and keep it."""
        return EntityIndex(self.ids)

    def take(self, rows: ArrayLike) -> "Columns":
        """Return the entities at these rows, in this order."""
        at = np.asarray(rows, dtype=np.intp)
        if at.size and at.min() < 0:
            raise IndexError("a row is negative; look unknown entities up first")
        return Columns(
            ids=self.ids.take(at),
            features=tuple(feature.take(at) for feature in self.features),
            labels=self.labels[at],
            holdout=self.holdout[at],
        )
