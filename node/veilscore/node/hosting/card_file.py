"""The file of a hosted card: TOML that the institution writes and keeps to itself.

The features are described as in the form; on top of that each bin has its points, and
each number its weight. Slots are made as narrow as the weights allow.
"""

from pathlib import Path
from typing import Self

from pydantic import Field, model_validator

from veilscore.fault import concerning
from veilscore.keys import files
from veilscore.models.errors import ModelsError
from veilscore.models.hosted import WIDEST_SLOT, Form, HostedCard
from veilscore.node.hosting.form_file import FormFeature, Name
from veilscore.runtime.errors import ConfigError
from veilscore.runtime.settings import Settings, loads


class CardFeature(FormFeature):
    """A feature with ``points``, one a bin, missing first, or with a ``weight``."""

    points: tuple[int, ...] | None = None
    weight: int | None = None

    @model_validator(mode="after")
    def _weights_of_its_kind(self) -> Self:
        if (self.points is None) != (self.scale is not None):
            raise ValueError("needs `points` with bins, and only then")
        if (self.weight is None) != (self.scale is None):
            raise ValueError("needs `weight` with `scale`, and only then")
        return self

    @property
    def weights(self) -> tuple[int, ...]:
        """One weight an input."""
        return self.points if self.points is not None else (self.weight or 0,)


class CardFile(Settings):
    """A hosted card; a score is the sum of weights and intercept over ``denominator``.

    ``name`` is what its budgets are kept under: a card whose weights changed keeps its
    name unless its requesters may start anew.
    """

    name: Name
    intercept: int = 0
    denominator: int = 1
    feature: tuple[CardFeature, ...] = Field(min_length=1)


def read_card(path: Path, holder: str) -> HostedCard:
    """Return the card of a file that only its owner can read.

    Raises FileError, and what ``decode`` raises.
    """
    with concerning(holder):
        return decode(files.read_private(path), path, holder)


def decode(data: bytes, path: Path, holder: str) -> HostedCard:
    """Return the card of a file's bytes.

    Raises ConfigError that names the file for whatever makes no card.
    """
    with concerning(holder):
        file = loads(data, CardFile, path)
        try:
            features = tuple(each.feature() for each in file.feature)
            form = Form(holder, file.name, features, WIDEST_SLOT, file.denominator)
            weights = [each.weights for each in file.feature]
            return HostedCard.of(form, weights, file.intercept)
        except ModelsError as error:
            raise ConfigError(
                error.what, place=str(path), remedy=error.remedy
            ) from error
