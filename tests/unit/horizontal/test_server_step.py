from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from veilscore.models.horizontal.server_step import ServerStep
from veilscore.models.horizontal.terms import Members, Terms

TERMS = Terms(run="r", members=Members(most=3), rounds=12, decay=False)
RNG = np.random.default_rng(4)
CHANGES = RNG.normal(size=(12, 9))


def test_averaging_without_momentum_adds_the_mean_change() -> None:
    server = ServerStep(9, replace(TERMS, server_rate=0.5, momentum=0.0))
    for change in CHANGES:
        server.take(change)
    np.testing.assert_allclose(server.model, 0.5 * CHANGES.sum(axis=0))


def test_averaging_takes_the_steps_of_torchs_sgd_with_momentum() -> None:
    server = ServerStep(9, replace(TERMS, server_rate=0.5))
    model = torch.zeros(9, dtype=torch.float64, requires_grad=True)
    sgd: Any = torch.optim.SGD([model], lr=0.5, momentum=TERMS.momentum)
    for change in CHANGES:
        model.grad = -torch.as_tensor(change)
        sgd.step()
        server.take(change)
        np.testing.assert_allclose(server.model, model.detach().numpy(), rtol=1e-9)


def test_fedadam_takes_the_steps_of_torchs_adam_without_its_bias_correction() -> None:
    terms = replace(TERMS, optimizer="adam", server_rate=0.3)
    server = ServerStep(9, terms)
    model = torch.zeros(9, dtype=torch.float64, requires_grad=True)
    betas = (TERMS.momentum, TERMS.second_momentum)
    adam: Any = torch.optim.Adam([model], betas=betas)  # step is untyped
    for number, change in enumerate(CHANGES, start=1):
        first, second = (1 - beta**number for beta in betas)
        adam.param_groups[0]["lr"] = terms.server_rate * first / second**0.5
        adam.param_groups[0]["eps"] = TERMS.adaptivity / second**0.5
        model.grad = -torch.as_tensor(change)
        adam.step()
        server.take(change)
        np.testing.assert_allclose(server.model, model.detach().numpy(), rtol=1e-9)


@pytest.mark.parametrize("number", [1, 6, 12])
def test_the_rate_falls_linearly_to_the_last_round(number: int) -> None:
    terms = replace(TERMS, decay=True, momentum=0.0)
    server = ServerStep(1, terms)
    before = 0.0
    for _ in range(number):
        before = float(server.model[0])
        server.take(np.ones(1))
    assert server.model[0] - before == pytest.approx((13 - number) / 12)


def test_the_digest_tells_one_bit() -> None:
    one, other = ServerStep(9, TERMS), ServerStep(9, TERMS)
    assert one.digest() == other.digest()
    other.model[3] = np.nextafter(0.0, 1.0)
    assert one.digest() != other.digest()
    assert len(one.digest()) == 32
