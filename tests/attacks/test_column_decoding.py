"""C1: a label holder guesses other holders' columns from what training shows it.

It knows one foreign column for 2,000 of its customers and learns to predict it for the
others (gradient boosting) from its own columns and from every number per row that its
transcript holds. The figure is the share guessed right, on real credit data; beside it
what its own columns alone give, and own columns with the final scores, which it may
query anyway.
"""

import pytest

from tests.attacks.transcript import Thief
from tests.conftest import Tell
from tests.protocol.ring_training import load, train
from veilscore.models.vertical import run as run_terms
from veilscore.node.training.policy import MAX_NOISY_STEPS

pytestmark = pytest.mark.long

VICTIMS = (("regulator", "SEX"), ("regulator", "EDUCATION"), ("bureau", "PAY_0"))
# Shares of 19,000 customers, and the boosting's own chance: three standard errors.
TOLERANCE = 0.012


@pytest.fixture(scope="module")
def default() -> Thief:
    return Thief(train(load("uci_default", "three_A")))


@pytest.mark.parametrize(("holder", "column"), VICTIMS)
def test_default_training_shows_no_more_than_final_scores(
    default: Thief, holder: str, column: str, tell: Tell
) -> None:
    alone = default.guesses_right(default.own, holder, column)
    final = default.guesses_right(default.final, holder, column)
    found = default.guesses_right(default.everything, holder, column)
    tell(
        f"C1 {column}, default (own columns {alone:.3f})",
        f"{found:.3f}",
        f"{final:.3f}",
    )
    assert found <= final + TOLERANCE


def test_without_noise_provisional_scores_would_show_more(
    monkeypatch: pytest.MonkeyPatch, tell: Tell
) -> None:
    monkeypatch.setattr(run_terms, "CALIBRATION_NOISE", 0.0)
    monkeypatch.setattr(run_terms, "GRANULES_OF_NOISE", 0.0)
    thief = Thief(train(load("uci_default", "three_A")))
    gains = {
        column: thief.guesses_right(thief.everything, holder, column)
        - thief.guesses_right(thief.final, holder, column)
        for holder, column in VICTIMS
    }
    told = ", ".join(f"{column} +{gain:.3f}" for column, gain in gains.items())
    tell("C1 gain, were provisional scores without noise", told, "0")
    assert max(gains.values()) > 2 * TOLERANCE


@pytest.fixture(scope="module", params=[2, MAX_NOISY_STEPS])
def polished(request: pytest.FixtureRequest) -> Thief:
    return Thief(
        train(load("uci_default", "three_A"), polish=request.param, noise=0.25)
    )


@pytest.mark.parametrize(("holder", "column"), VICTIMS)
def test_noisy_steps_show_no_more_than_final_scores(
    holder: str, column: str, polished: Thief, tell: Tell
) -> None:
    """As many of them as nodes allow, with as little noise."""
    final = polished.guesses_right(polished.final, holder, column)
    found = polished.guesses_right(polished.everything, holder, column)
    steps = polished.run.contract.polish_steps
    tell(f"C1 {column}, polish {steps} with noise .25", f"{found:.3f}", f"{final:.3f}")
    assert found <= final + TOLERANCE


def test_exact_training_discloses_columns(tell: Tell) -> None:
    """Why nodes refuse it unless their operator allows it: a figure, no bound."""
    thief = Thief(train(load("uci_default", "three_A"), polish=6))
    for holder, column in VICTIMS:
        final = thief.guesses_right(thief.final, holder, column)
        found = thief.guesses_right(thief.everything, holder, column)
        tell(f"C1 {column}, exact with 6 steps", f"{found:.3f}", f"none; {final:.3f}")
        assert found > final + 2 * TOLERANCE
