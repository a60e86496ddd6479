"""A member fits the joint model further to its own rows; nothing is exchanged.

``intercept``: the tables stay, and the intercept becomes that of the member's own rows,
so that mean PD and bad rate agree. ``tables``: all points may move, under a penalty of
half the squared distance from the joint tables times ``pull`` (proximal, as in local
fine-tuning of Ditto: Li et al. 2021); the intercept is free.

Newton-like steps on the whole (L-BFGS of torch), to the optimum: a convex function.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from torch.nn import functional

from veilscore.models.additive import AdditiveScorer, steady_torch
from veilscore.models.errors import DataError
from veilscore.models.horizontal.ports import Booleans, Codes, Floats
from veilscore.models.metrics import auc, brier

_MOST_STEPS = 500


@dataclass(frozen=True, slots=True)
class Fit:
    """AUC and Brier score of a model on rows that it was not trained on."""

    auc: float
    brier: float


def fit_own(
    model: Floats,
    codes: Codes,
    bad: Booleans,
    bin_counts: Sequence[int],
    *,
    what: Literal["intercept", "tables"],
    pull: float = 100.0,
) -> Floats:
    """Return a model of the same shape, fitted to ``codes`` (rows, features).

    From a model of zeros and with ``what="tables"`` it is the member's own model under
    a ridge penalty of ``pull``. Raises ``DataError`` if the rows have one class only.
    """
    if bad.all() or not bad.any():
        raise DataError(
            "the rows hold no goods or no bads",
            remedy="Keep the joint model, or use a period in which both occur",
        )
    steady_torch()
    scorer = AdditiveScorer(bin_counts).double()
    scorer.load_vector(model)
    rows = torch.as_tensor(codes.astype(np.int64))
    good = torch.as_tensor((~bad).astype(np.float64))
    moving = [scorer.intercept]
    if what == "tables":
        moving.extend(scorer.tables)
    for table in scorer.tables:
        table.requires_grad_(what == "tables")
    joint = torch.cat(list(scorer.tables)).detach().clone()
    optimizer = torch.optim.LBFGS(
        moving,
        max_iter=_MOST_STEPS,
        tolerance_grad=1e-8,
        tolerance_change=1e-12,
        line_search_fn="strong_wolfe",
    )

    def objective() -> torch.Tensor:
        optimizer.zero_grad()
        loss = functional.binary_cross_entropy_with_logits(scorer(rows), good)
        if what == "tables":
            moved = torch.cat(list(scorer.tables)) - joint
            loss = loss + pull / (2 * len(good)) * moved.square().sum()
        torch.autograd.backward(loss)
        return loss

    optimizer.step(objective)  # type: ignore[no-untyped-call]  # torch's LBFGS
    return scorer.vector()


def log_odds(model: Floats, codes: Codes, bin_counts: Sequence[int]) -> Floats:
    """Return ln(good:bad) of each row, shape (rows,)."""
    starts = np.cumsum([0, *bin_counts[:-1]])
    points: Floats = model[codes + starts].sum(axis=1) + model[-1]
    return points


def default_probability(
    model: Floats, codes: Codes, bin_counts: Sequence[int]
) -> Floats:
    """Return the probability of default of each row, shape (rows,)."""
    odds = log_odds(model, codes, bin_counts)
    probability: Floats = np.exp(-np.logaddexp(0.0, odds))
    return probability


def judge(model: Floats, codes: Codes, bad: Booleans, bin_counts: Sequence[int]) -> Fit:
    """Measure a model on a member's held-out rows; raises ``DataError``."""
    probability = default_probability(model, codes, bin_counts)
    return Fit(auc(bad, probability), brier(bad, probability))
