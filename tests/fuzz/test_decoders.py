"""Whatever bytes come: a result or a ``Fault``, within a second, in bounded memory.

``make test`` feeds every target some inputs through hypothesis, which shrinks what
fails. ``make soak`` feeds more than a million from a seeded generator and says what
came of them; a failure names its input, and the seed makes all of them again.
"""

import secrets
from collections.abc import Callable, Mapping
from functools import cache
from random import Random
from typing import Final

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.fuzz import (
    aggregation_targets,
    file_targets,
    flower_targets,
    horizontal_targets,
    hosted_targets,
    key_targets,
    log_targets,
    role_targets,
    score_targets,
    training_targets,
    web_targets,
    wire_targets,
    witness_targets,
)
from tests.fuzz.mutations import mutate
from tests.fuzz.stock import Stock
from tests.fuzz.target import Feeding, Target
from veilscore.fault import Fault

TARGETS: Final[Mapping[str, Callable[[Stock], Target]]] = {
    **key_targets.TARGETS,
    **aggregation_targets.TARGETS,
    **log_targets.TARGETS,
    **witness_targets.TARGETS,
    **role_targets.TARGETS,
    **training_targets.TARGETS,
    **horizontal_targets.TARGETS,
    **score_targets.TARGETS,
    **hosted_targets.TARGETS,
    **wire_targets.TARGETS,
    **flower_targets.TARGETS,
    **web_targets.TARGETS,
    **file_targets.TARGETS,
}
# Inputs of a target with a share of 1.
QUICK: Final = 100
SOAK: Final = 30_000  # over a million in all

# What this library reads with a warning, the product reads or refuses as it likes.
pytestmark = pytest.mark.filterwarnings(
    "ignore::cryptography.utils.CryptographyDeprecationWarning"
)
Make = Callable[[str], Target]
each_target = pytest.mark.parametrize("name", TARGETS)


@pytest.fixture(scope="session")
def make(stock: Stock) -> Make:
    def made(name: str) -> Target:
        return TARGETS[name](stock)

    return cache(made)


@each_target
def test_samples_are_read_or_refused(make: Make, name: str) -> None:
    target = make(name)
    for sample in target.samples:
        target.decode(sample)
    for sample in target.refused:
        with pytest.raises(Fault):
            target.decode(sample)


@each_target
def test_what_once_went_wrong_is_refused_or_read(make: Make, name: str) -> None:
    feeding = Feeding(name, make(name))
    for data in feeding.target.once_wrong:
        feeding.feed(data)


@each_target
def test_any_bytes_are_read_or_refused(
    request: pytest.FixtureRequest,
    record_property: Callable[[str, object], None],
    make: Make,
    name: str,
) -> None:
    feeding = Feeding(name, make(name))
    target = feeding.target
    samples = [*target.samples, *target.refused]
    if request.config.getoption("--soak"):
        seed = secrets.randbits(32)
        random = Random(seed)
        try:
            for _ in range(round(SOAK * target.share)):
                feeding.feed(mutate(random, samples))
        finally:
            record_property("fuzz", f"{feeding}, seed {seed}")
        return

    @settings(
        max_examples=max(2, round(QUICK * target.share)),
        suppress_health_check=[HealthCheck.too_slow],
        database=None,
    )
    @given(random=st.randoms(use_true_random=False))
    def fed(random: Random) -> None:
        feeding.feed(mutate(random, samples))

    fed()
