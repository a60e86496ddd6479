"""Read the outcome column, and which of its rows judge a model and train none."""

from collections.abc import Sequence
from hashlib import blake2b
from math import isnan

import numpy as np
from numpy.typing import NDArray

from veilscore.node.sources.cells import number_of
from veilscore.node.sources.origin import Chunk, Origin
from veilscore.node.sources.settings import LabelSettings


class Labels:
    """The outcome column and the rows that judge a model."""

    def __init__(self, settings: LabelSettings, origin: Origin) -> None:
        self._settings = settings
        self._origin = origin
        self._labels: list[NDArray[np.int8]] = []
        self._marks: list[NDArray[np.int8]] = []

    def add(self, chunk: Chunk, first: int) -> None:
        """Parse a chunk that starts at row ``first``."""
        self._labels.append(self._binary(chunk, self._settings.column, first))
        if self._settings.holdout_column is not None:
            marks = self._binary(chunk, self._settings.holdout_column, first)
            self._marks.append(marks)

    def _binary(self, chunk: Chunk, column: str, first: int) -> NDArray[np.int8]:
        """Return 0 and 1, and -1 where the cell is empty."""
        values = np.empty(len(chunk[column]), dtype=np.int8)
        for at, cell in enumerate(chunk[column]):
            try:
                value = number_of(cell)
                if value not in (0, 1) and not isnan(value):
                    raise ValueError  # noqa: TRY301 - refused in one place
            except ValueError:
                raise self._origin.error(
                    "the cell is neither 0 nor 1 nor empty",
                    "Write 1, 0, or nothing where it is not known",
                    column=column,
                    row=first + at,
                ) from None
            values[at] = -1 if isnan(value) else value
        return values

    def finish(
        self, ids: Sequence[str], kept: NDArray[np.bool_]
    ) -> tuple[NDArray[np.int8], NDArray[np.bool_]]:
        """Return labels and holdout; raise ``SourceError`` on a one-class part."""
        labels = np.concatenate(self._labels)[kept]
        self._labels.clear()
        share = self._settings.holdout_share
        if self._marks:
            holdout = np.concatenate(self._marks)[kept] == 1
        elif share is not None:
            judged = (_position(entity) < share for entity in ids)
            holdout = np.fromiter(judged, np.bool_, len(ids))
        else:
            holdout = np.zeros(len(labels), dtype=np.bool_)
        self._refuse_one_class(labels[~holdout], "trained on")
        if holdout.any():
            self._refuse_one_class(labels[holdout], "held out")
        return labels, holdout

    def _refuse_one_class(self, labels: NDArray[np.int8], part: str) -> None:
        good, bad = int((labels == 0).sum()), int((labels == 1).sum())
        if not (good and bad):
            raise self._origin.error(
                f"the rows {part} have {good} good and {bad} bad labels, and a model "
                "needs both",
                "Export more rows, or change the holdout",
                column=self._settings.column,
            )


def _position(entity: str) -> float:
    """Place an id in [0, 1) by its hash: the same on every export, order or not."""
    digest = blake2b(entity.encode(), digest_size=8, person=b"holdout").digest()
    return int.from_bytes(digest) / 2**64
