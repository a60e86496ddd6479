from dataclasses import replace

import numpy as np
import pytest
import torch
from torch.nn import functional

from veilscore.models.additive import AdditiveScorer
from veilscore.models.binning import Codes
from veilscore.models.errors import DataError
from veilscore.models.horizontal.local_training import LocalLearner
from veilscore.models.horizontal.ports import Booleans, Floats
from veilscore.models.horizontal.terms import Members, Privacy, Terms

COUNTS = (3, 2)
RNG = np.random.default_rng(5)
CODES: Codes = np.column_stack([RNG.integers(0, n, 40) for n in COUNTS]).astype(
    np.uint16
)
BAD: Booleans = RNG.random(40) < 0.3
MODEL: Floats = RNG.normal(size=6)
TERMS = Terms(run="r", members=Members(most=3), batch=1000, local_rate=0.25)


def learner(terms: Terms = TERMS) -> LocalLearner:
    return LocalLearner(CODES, BAD, COUNTS, terms)


def one_hot() -> Floats:
    columns = [np.eye(n)[CODES[:, index]] for index, n in enumerate(COUNTS)]
    return np.column_stack([*columns, np.ones(len(BAD))])


def test_one_batch_is_one_step_down_the_gradient() -> None:
    design = one_hot()
    left = ~BAD - 1 / (1 + np.exp(-(design @ MODEL)))
    ridge = np.append(MODEL[:-1], 0) * TERMS.ridge / 500
    expected = TERMS.local_rate * (design.T @ left / len(BAD) - ridge)
    change = learner().learn(MODEL, 1, 500)
    np.testing.assert_allclose(change, expected, rtol=1e-9, atol=1e-12)


def test_the_proximal_term_holds_the_second_step_back() -> None:
    terms = replace(TERMS, local_epochs=2, proximal=0.5)
    first = learner().learn(MODEL, 1, 500)
    second = learner().learn(MODEL + first, 1, 500)
    expected = first + second - terms.local_rate * terms.proximal * first
    np.testing.assert_allclose(learner(terms).learn(MODEL, 1, 500), expected)


def test_batches_are_shuffled_anew_every_round_and_alike_every_time() -> None:
    terms = replace(TERMS, batch=7, local_epochs=2)
    one, again = (learner(terms).learn(MODEL, 1, 500) for _ in range(2))
    np.testing.assert_array_equal(one, again)
    assert not np.array_equal(one, learner(terms).learn(MODEL, 2, 500))


@pytest.mark.parametrize("clip", [0.2, 0.9, 5.0])
def test_clipped_gradients_are_those_of_every_row_alone(clip: float) -> None:
    """The closed form against torch's gradient of each row, clipped one by one."""
    terms = replace(TERMS, privacy=Privacy(clip, 1.0, 1.0))
    scorer = AdditiveScorer(COUNTS).double()
    scorer.load_vector(MODEL)
    parameters = [*scorer.tables, scorer.intercept]
    expected = np.zeros(MODEL.size)
    for code, bad in zip(CODES, BAD, strict=True):
        good = torch.tensor([0.0 if bad else 1.0], dtype=torch.float64)
        odds = scorer(torch.as_tensor(code[None].astype(np.int64)))
        loss = functional.binary_cross_entropy_with_logits(odds, good)
        slopes = torch.autograd.grad(loss, parameters)
        row = -np.concatenate([slope.numpy().reshape(-1) for slope in slopes])
        expected += row * min(1, clip / float(np.linalg.norm(row)))
    found = learner(terms).clipped_gradient(MODEL)
    np.testing.assert_allclose(found, expected, rtol=1e-9)


def test_what_cannot_be_learned_from_is_refused() -> None:
    with pytest.raises(DataError, match="same rows"):
        LocalLearner(CODES[1:], BAD, COUNTS, TERMS)
    with pytest.raises(DataError, match="6 parameters got 5"):
        learner().learn(MODEL[1:], 1, 500)
    with pytest.raises(DataError, match="no clip"):
        learner().clipped_gradient(MODEL)
