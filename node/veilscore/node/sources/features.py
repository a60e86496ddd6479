"""Turn the cells of a declared feature into numbers or category codes.

A builder takes its column chunk by chunk and then drops the rows that were rejected
for their id. A cell that breaks the declaration raises ``SourceError`` with its row.
"""

from collections.abc import Sequence
from math import nan

import numpy as np
from numpy.typing import NDArray

from veilscore.models.binning import LARGEST
from veilscore.node.columns import CategoryColumn, NumericColumn
from veilscore.node.sources.cells import number_of, text_of
from veilscore.node.sources.origin import Chunk, Origin
from veilscore.node.sources.settings import FeatureSettings


class Numbers:
    """A numeric feature."""

    def __init__(self, settings: FeatureSettings, origin: Origin) -> None:
        self._name = settings.column
        self._origin = origin
        self._texts = frozenset(code.strip() for code in settings.missing)
        self._codes = np.array(_numeric_codes(settings.missing))
        self._parts: list[NDArray[np.float64]] = []

    def add(self, chunk: Chunk, first: int) -> None:
        """Parse a chunk that starts at row ``first``."""
        cells = chunk[self._name]
        values = np.empty(len(cells))
        for at, cell in enumerate(cells):
            try:
                values[at] = number_of(cell)
            except ValueError:
                if isinstance(cell, str) and cell.strip() in self._texts:
                    values[at] = nan
                    continue
                raise self._origin.error(
                    "the cell is not a finite number",
                    "Correct it, add its text to `missing`, or declare the column "
                    "categorical",
                    column=self._name,
                    row=first + at,
                ) from None
        if (np.abs(values) > LARGEST).any():
            raise self._origin.error(
                f"a number is beyond {LARGEST:g}",
                "Correct it, or add its text to `missing`",
                column=self._name,
                row=first + int(np.argmax(np.abs(values) > LARGEST)),
            )
        # Compared as numbers, so that -1, "-1" and "-1.0" are one code.
        values[np.isin(values, self._codes)] = nan
        self._parts.append(values)

    def finish(self, kept: NDArray[np.bool_]) -> NumericColumn:
        """Return the column; raise ``SourceError`` if it says nothing."""
        values = np.concatenate(self._parts)[kept]
        self._parts.clear()  # half of the memory, if all columns kept them
        present = ~np.isnan(values)
        _refuse_empty(values[present], present, self._name, self._origin)
        return NumericColumn(self._name, values)


def _numeric_codes(missing: Sequence[str]) -> list[float]:
    codes: list[float] = []
    for text in missing:
        try:
            codes.append(number_of(text))
        except ValueError:
            continue  # a word, compared as text
    return codes


class Categories:
    """A categorical feature."""

    def __init__(self, settings: FeatureSettings, origin: Origin) -> None:
        self._name = settings.column
        self._origin = origin
        self._codes = dict.fromkeys((code.strip() for code in settings.missing), -1)
        self._codes[""] = -1
        self._levels: list[str] = []
        self._parts: list[NDArray[np.int32]] = []

    def add(self, chunk: Chunk, first: int) -> None:  # noqa: ARG002 - as its siblings
        """Code a chunk; any text is a level."""
        texts = [text_of(cell) for cell in chunk[self._name]]
        for text in dict.fromkeys(texts):
            if text not in self._codes:
                self._codes[text] = len(self._levels)
                self._levels.append(text)
        self._parts.append(np.array([self._codes[text] for text in texts], np.int32))

    def finish(self, kept: NDArray[np.bool_]) -> CategoryColumn:
        """Return the column with its levels sorted; raise if it says nothing."""
        codes = np.concatenate(self._parts)[kept]
        self._parts.clear()
        present = codes >= 0
        _refuse_empty(codes[present], present, self._name, self._origin)
        used = map(int, np.unique(codes[present]))
        levels = sorted(self._levels[code] for code in used)
        rank = {level: at for at, level in enumerate(levels)}
        ranks = [rank.get(level, -1) for level in self._levels]
        # Code -1, missing, reads the last place.
        recoded = np.array([*ranks, -1], np.int32)[codes]
        return CategoryColumn(self._name, recoded, tuple(levels))


def _refuse_empty(
    values: NDArray[np.generic],
    present: NDArray[np.bool_],
    column: str,
    origin: Origin,
) -> None:
    if not values.size:
        raise origin.error(
            "every cell of the column is missing",
            "Export its values, or remove it from the declared features",
            column=column,
        )
    if present.all() and (values == values[0]).all():
        raise origin.error(
            "every row has the same value, which tells entities apart in nothing",
            "Remove it from the declared features",
            column=column,
        )
