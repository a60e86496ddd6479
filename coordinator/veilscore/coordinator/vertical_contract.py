"""The contract of a vertical run, and what in it can be known to be wrong."""

import math
from collections.abc import Iterator
from typing import Annotated, Literal

from pydantic import Field, field_validator

from veilscore.coordinator.contract_clauses import (
    Count,
    NotNegative,
    Points,
    Problem,
    ScaleSettings,
    roster,
    strangers,
)
from veilscore.keys.paillier.public import DEFAULT_BITS, MAXIMUM_BITS, MINIMUM_BITS
from veilscore.keys.registry import Registry
from veilscore.models.vertical.run import LEAST_RIDGE, MOST_RIDGE
from veilscore.runtime.settings import Settings
from veilscore.v1.training_pb2 import RunContract

_WHOLE_UNION = -1.0  # how the wire says cover = "union"
_EXACT_STEPS = 8  # bring every PD within .001 of the limit on the test data

_Ridge = Annotated[float, Field(ge=LEAST_RIDGE, le=MOST_RIDGE)]


class VerticalSettings(Settings):
    """The contract of a vertical run as its author writes it."""

    label_holder: str
    feature_holders: tuple[str, ...]
    key_bits: Annotated[int, Field(ge=MINIMUM_BITS, le=MAXIMUM_BITS)] = DEFAULT_BITS
    cover: Literal["union"] | float = "union"
    min_count: Count = 5
    count_epsilon: NotNegative = 0.0
    polish: Annotated[int | None, Field(ge=0, le=100)] = None
    noise: NotNegative = 0.0
    exact: bool = False
    ridge: _Ridge = 10.0
    # Within these two every sum has been proven to fit the smallest key.
    max_columns: Annotated[int, Field(ge=1, le=4096)] = 64
    max_bins: Annotated[int, Field(ge=2, le=100_000)] = 256
    max_rows: Annotated[int, Field(ge=1, le=100_000_000)] = 200_000
    granularity: Points = 1
    known_to_all: bool = False
    allow_two_party: bool = False
    scale: ScaleSettings = ScaleSettings()

    @field_validator("cover", mode="before")
    @classmethod
    def _union_or_ratio(cls, value: object) -> object:
        match value:
            case "union":
                return value
            case int() | float() if type(value) is not bool and 0 <= value < math.inf:
                return value
            case _:
                raise ValueError(
                    'should be "union" or a number of unlabelled rows per labelled row'
                )

    @property
    def steps(self) -> int:
        """Polish or exact steps, the default filled in."""
        if self.polish is None:
            return _EXACT_STEPS if self.exact else 0
        return self.polish


def vertical_problems(asked: VerticalSettings, registry: Registry) -> Iterator[Problem]:
    """Yield all that is wrong with it."""
    yield from _clauses(asked)
    yield from _parties(asked, registry)


def vertical_contract(
    asked: VerticalSettings, registry: Registry, run: str
) -> RunContract:
    """Return what the parties approve; call only if there is no problem."""
    return RunContract(
        run=run,
        roster=roster((asked.label_holder, *asked.feature_holders), registry),
        label_holder=asked.label_holder,
        key_bits=asked.key_bits,
        cover_ratio=_WHOLE_UNION if asked.cover == "union" else asked.cover,
        min_count=asked.min_count,
        count_epsilon=asked.count_epsilon,
        polish_steps=asked.steps,
        polish_noise=asked.noise,
        exact=asked.exact,
        ridge=asked.ridge,
        max_columns=asked.max_columns,
        max_bins=asked.max_bins,
        max_rows=asked.max_rows,
        base_points=asked.scale.base_points,
        base_odds=asked.scale.base_odds,
        points_to_double_odds=asked.scale.points_to_double_odds,
        granularity=asked.granularity,
        known_to_all=asked.known_to_all,
        allow_two_party=asked.allow_two_party,
    )


def _clauses(asked: VerticalSettings) -> Iterator[Problem]:
    """Yield what contradicts itself, and its remedy."""
    if asked.exact and asked.steps < 1:
        yield "`exact` needs steps but `polish` is 0", "Remove `polish`."
    if asked.exact and asked.noise > 0:
        yield "`exact` steps carry no `noise`", "Remove `noise` or `exact`."
    if asked.steps and not asked.exact and asked.noise <= 0:
        yield (
            "`polish` steps without `noise` disclose rows to the label holder",
            "Set `noise`, or `exact = true` if all parties agree to that.",
        )
    if not asked.steps and asked.noise > 0:
        yield "`noise` is for `polish` steps and there are none", "Remove `noise`."
    if asked.key_bits % 2:
        yield "`key_bits` is odd", f"Set `key_bits = {DEFAULT_BITS}`."


def _parties(asked: VerticalSettings, registry: Registry) -> Iterator[Problem]:
    """Yield who may not be in the run, and the remedy."""
    features = asked.feature_holders
    if not features:
        yield "`feature_holders` names nobody", "Name at least two feature holders."
    if len(set(features)) != len(features):
        yield "`feature_holders` names a party twice", "Name each party once."
    if asked.label_holder in features:
        yield (
            f"the label holder {asked.label_holder} is among `feature_holders`",
            "Name it as `label_holder` only; its own columns are used anyway.",
        )
    if len(features) == 1 and not asked.allow_two_party:
        yield (
            "with one feature holder everything joint is its own by subtraction",
            "Name another, or set `allow_two_party = true` if both parties agree.",
        )
    yield from strangers("label_holder", (asked.label_holder,), registry)
    yield from strangers("feature_holders", features, registry)
