"""Training on a member's own rows, with torch. Rows and labels stay where they are.

Plain stochastic gradient descent over shuffled batches. The penalty of the joint model
is spread over all members' rows, so that the optimum of the sum is that of pooled rows.
Deterministic: the order of rows follows from run and round, and torch computes with
deterministic algorithms in one thread, in the whole process.
"""

import hashlib
from collections.abc import Sequence

import numpy as np
import torch
from torch.nn import functional

from veilscore.models.additive import AdditiveScorer, steady_torch
from veilscore.models.errors import DataError
from veilscore.models.horizontal.ports import Booleans, Codes, Floats, Lesson
from veilscore.models.horizontal.terms import Terms


class LocalLearner:
    """A ``Learner`` of binned rows: ``codes`` (rows, features), ``bad`` (rows,)."""

    def __init__(
        self, codes: Codes, bad: Booleans, bin_counts: Sequence[int], terms: Terms
    ) -> None:
        if codes.shape != (bad.size, len(bin_counts)) or not bad.size:
            raise DataError(
                "codes and labels must cover the same rows, at least one",
                remedy="Check that every row has a label",
            )
        steady_torch()
        self._codes = torch.as_tensor(codes.astype(np.int64))
        self._good = torch.as_tensor((~bad).astype(np.float64))
        self._bin_counts = tuple(bin_counts)
        self._terms = terms

    @property
    def rows(self) -> int:
        """How many rows there are to learn from."""
        return self._good.numel()

    def learn(self, model: Floats, number: int, all_rows: float) -> Lesson:
        """Train for the contract's local epochs; see ``Learner``."""
        scorer = self._scorer(model)
        with torch.no_grad():
            odds = scorer(self._codes)
            loss = functional.binary_cross_entropy_with_logits(odds, self._good)
        order = self._generator(number)
        for _ in range(self._terms.local_epochs):
            rows = torch.randperm(self.rows, generator=order)
            for batch in torch.split(rows, self._terms.batch):
                self._descend(scorer, model, batch, all_rows)
        return Lesson(scorer.vector() - model, float(loss))

    def clipped_gradient(self, model: Floats) -> Floats:
        """Return the gradient of the log likelihood, each row's part clipped.

        A row's gradient is good - P(good) in the table entry of each of its bins and in
        the intercept, and 0 elsewhere: its length is known without computing it.
        """
        privacy = self._terms.privacy
        if privacy is None:
            raise DataError(
                "gradients are asked for, but the contract has no clip for them",
                place="contract",
                remedy="Set privacy in the contract",
            )
        scorer = self._scorer(model)
        with torch.no_grad():
            left = self._good - torch.sigmoid(scorer(self._codes))
            length = left.abs() * (len(self._bin_counts) + 1) ** 0.5
            left = left * (privacy.clip / length.clamp(min=privacy.clip))
            summed = torch.zeros(model.size, dtype=torch.float64)
            for column, start in zip(self._codes.T, scorer.starts, strict=True):
                summed.index_add_(0, column + start, left)
            summed[-1] = left.sum()
        return summed.numpy()

    def _descend(
        self, scorer: AdditiveScorer, joint: Floats, batch: torch.Tensor, rows: float
    ) -> None:
        """Take one step down the gradient of a batch's mean loss and penalties."""
        terms = self._terms
        parameters = [*scorer.tables, scorer.intercept]
        fit = functional.binary_cross_entropy_with_logits(
            scorer(self._codes[batch]), self._good[batch]
        )
        slopes = torch.autograd.grad(fit, parameters)
        with torch.no_grad():
            sizes = [parameter.numel() for parameter in parameters]
            starts = torch.split(torch.as_tensor(joint), sizes)
            for parameter, slope, start in zip(parameters, slopes, starts, strict=True):
                total = slope + terms.proximal * (parameter - start.view_as(parameter))
                if parameter is not scorer.intercept:
                    total = total + terms.ridge / rows * parameter
                parameter.sub_(terms.local_rate * total)

    def _scorer(self, model: Floats) -> AdditiveScorer:
        scorer = AdditiveScorer(self._bin_counts).double()
        scorer.load_vector(model)
        return scorer

    def _generator(self, number: int) -> torch.Generator:
        named = f"{self._terms.run} rows {number}".encode()
        seed = int.from_bytes(hashlib.sha256(named).digest()[:7], "big")
        return torch.Generator().manual_seed(seed)
