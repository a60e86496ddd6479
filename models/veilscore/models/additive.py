"""The scorecard as a torch module whose parameter tables are the points.

Regions with the same columns train it together: parameters travel, rows do not.
Whoever receives the tables reads the whole model, as with any shared scorecard.
Only horizontal training imports this file, because importing it loads torch.

References: one-hot logistic regression; Hastie & Tibshirani, Generalized Additive
Models (1990), with step functions as smoothers.
"""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from veilscore.models.errors import DataError
from veilscore.models.scorecard import Card, Feature


def steady_torch() -> None:
    """Make torch of this whole process deterministic, and use one thread.

    Batches are far too small for several threads, which wait for each other instead.
    """
    torch.use_deterministic_algorithms(True)  # noqa: FBT003 - torch's own signature
    torch.set_num_threads(1)


class AdditiveScorer(nn.Module):
    """Log odds (good:bad) = intercept + sum over features of table[feature][bin].

    Starts at zero. ``bin_counts`` holds the number of bins of each feature.
    """

    def __init__(self, bin_counts: Sequence[int]) -> None:
        super().__init__()
        self.tables = nn.ParameterList(torch.zeros(count) for count in bin_counts)
        self.intercept = nn.Parameter(torch.zeros(()))
        starts = torch.tensor([0, *bin_counts[:-1]]).cumsum(0)  # (features,)
        self.register_buffer("starts", starts, persistent=False)
        self.starts: torch.Tensor

    def forward(self, codes: torch.Tensor) -> torch.Tensor:
        """Map integer codes (rows, features) to log odds (rows,)."""
        points = torch.cat(list(self.tables))  # (bins of all features,)
        return points[codes + self.starts].sum(dim=1) + self.intercept

    def load_card(self, card: Card, intercept: float = 0.0) -> None:
        """Start from a card's unrounded points.

        Raises ``DataError`` if the card has other bins.
        """
        counts = [feature.bins.count for feature in card.features]
        if counts != [table.numel() for table in self.tables]:
            raise DataError(
                "the card does not have the bins of the model",
                party=card.holder,
                remedy="Train with the bins of the card",
            )
        with torch.no_grad():
            for table, feature in zip(self.tables, card.features, strict=True):
                table.copy_(torch.tensor(feature.log_odds))
            self.intercept.fill_(intercept)

    def to_card(self, card: Card) -> Card:
        """Return the card with this model's points in place of its own."""
        features = tuple(
            Feature.scaled(feature.name, feature.bins, log_odds, card.scale)
            for feature, log_odds in zip(card.features, self.log_odds(), strict=True)
        )
        return replace(card, features=features)

    def vector(self) -> npt.NDArray[np.float64]:
        """Return the tables one after the other, then the intercept."""
        parts = [*self.log_odds(), self.intercept.detach().double().numpy().reshape(1)]
        return np.concatenate(parts)

    def load_vector(self, vector: npt.NDArray[np.float64]) -> None:
        """Take the parameters of ``vector``; raises ``DataError`` for another size."""
        sizes = [*(table.numel() for table in self.tables), 1]
        if vector.shape != (sum(sizes),):
            raise DataError(
                f"a model of {sum(sizes)} parameters got {vector.size}",
                remedy="Train with the bins that all members agreed on",
            )
        *tables, intercept = np.split(vector, np.cumsum(sizes)[:-1])
        with torch.no_grad():
            for table, values in zip(self.tables, tables, strict=True):
                table.copy_(torch.as_tensor(values))
            self.intercept.fill_(float(intercept[0]))

    def log_odds(self) -> list[np.ndarray[tuple[int], np.dtype[np.float64]]]:
        """Return each feature's table in double precision."""
        return [table.detach().double().numpy() for table in self.tables]
