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

from veilscore.models.additive import AdditiveScorer, steady_torch
from veilscore.models.errors import DataError
from veilscore.models.horizontal.ports import Booleans, Codes, Floats
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

    def learn(self, model: Floats, number: int, all_rows: float) -> Floats:
        """Train for the contract's local epochs; see ``Learner``."""
        scorer = self._scorer(model)
        joint = torch.as_tensor(model)
        moving, places = joint.clone(), self._codes + scorer.starts
        order = self._generator(number)
        for _ in range(self._terms.local_epochs):
            rows = torch.randperm(self.rows, generator=order)
            for batch in torch.split(rows, self._terms.batch):
                self._descend(moving, joint, places[batch], self._good[batch], all_rows)
        return moving.numpy() - model

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
        self,
        moving: torch.Tensor,
        joint: torch.Tensor,
        places: torch.Tensor,
        good: torch.Tensor,
        all_rows: float,
    ) -> None:
        """Take one step down the gradient of a batch's mean loss and penalties.

        A row's gradient is P(good) - good in the entry of each of its bins and in the
        intercept; to find that out by autograd takes four times as long.
        """
        terms = self._terms
        odds = moving[places].sum(dim=1) + moving[-1]
        left = (torch.sigmoid(odds) - good) / good.numel()
        slope = torch.zeros_like(moving)
        slope.index_add_(0, places.flatten(), left.repeat_interleave(places.shape[1]))
        slope[-1] = left.sum()
        slope[:-1] += terms.ridge / all_rows * moving[:-1]
        slope += terms.proximal * (moving - joint)
        moving -= terms.local_rate * slope

    def _scorer(self, model: Floats) -> AdditiveScorer:
        scorer = AdditiveScorer(self._bin_counts).double()
        scorer.load_vector(model)
        return scorer

    def _generator(self, number: int) -> torch.Generator:
        named = f"{self._terms.run} rows {number}".encode()
        seed = int.from_bytes(hashlib.sha256(named).digest()[:7], "big")
        return torch.Generator().manual_seed(seed)
