"""The contract of a horizontal run, and what in it can be known to be wrong.

A privacy budget is turned into noise here: members approve the noise, which they add
themselves, and account for it themselves.
"""

from collections.abc import Iterator, Mapping
from dataclasses import fields, replace
from importlib.util import find_spec
from math import sqrt
from typing import Annotated, Final, Literal, Self, cast

from pydantic import Field, model_validator

from veilscore.coordinator.contract_clauses import (
    Count,
    NotNegative,
    Points,
    Positive,
    Problem,
    ScaleSettings,
    roster,
    strangers,
)
from veilscore.keys.aggregation.terms import FEWEST, MOST, fewest
from veilscore.keys.registry import Registry
from veilscore.models.errors import DataError
from veilscore.models.horizontal.rounds import change_format, gradient_format
from veilscore.models.horizontal.run import terms_of
from veilscore.models.horizontal.terms import MOST_ROWS, NOISY, Members, Terms
from veilscore.runtime.settings import Settings
from veilscore.v1.training_pb2 import (
    HorizontalPrivacy,
    HorizontalTerms,
    JointColumn,
    RunContract,
)

_DEFAULTS: Final = Terms(run="", members=Members(most=FEWEST))

_Text = Annotated[str, Field(min_length=1, max_length=200)]


class ColumnSettings(Settings):
    """One column: its kind, or a table of its kind and levels."""

    kind: Literal["numeric", "categorical"]
    # Not strict: behind a validator of Python arrays have become lists.
    levels: Annotated[tuple[_Text, ...], Field(min_length=1, strict=False)] | None = (
        None
    )

    @model_validator(mode="before")
    @classmethod
    def _from_its_kind(cls, value: object) -> object:
        return {"kind": value} if isinstance(value, str) else value

    @model_validator(mode="after")
    def _levels_of_texts(self) -> Self:
        if self.levels and self.kind == "numeric":
            raise ValueError("is numeric and has `levels`")
        if self.levels and len(set(self.levels)) != len(self.levels):
            raise ValueError("has one of its `levels` twice")
        return self


class PrivacySettings(Settings):
    """``[horizontal.privacy]``: what the model may tell of any single row.

    Outside of the bounds nothing is protected, or nothing can be learned.
    """

    epsilon: Annotated[float, Field(ge=0.01, le=20)]
    delta: Annotated[float, Field(ge=1e-12, le=0.01)]
    clip: Positive | None = None


class TrainingSettings(Settings):
    """``[horizontal]``: how the model is trained; ``Terms`` bounds the numbers.

    What the author leaves out is that of ``Terms``, or of ``NOISY`` where there is a
    privacy budget.
    """

    columns: Annotated[dict[_Text, ColumnSettings], Field(min_length=1)]
    optimizer: Literal["average", "adam"] = _DEFAULTS.optimizer
    rounds: int = _DEFAULTS.rounds
    local_epochs: int = _DEFAULTS.local_epochs
    batch: int = _DEFAULTS.batch
    local_rate: float = _DEFAULTS.local_rate
    proximal: float = _DEFAULTS.proximal
    server_rate: float = _DEFAULTS.server_rate
    decay: bool = _DEFAULTS.decay
    momentum: float = _DEFAULTS.momentum
    second_momentum: float = _DEFAULTS.second_momentum
    adaptivity: float = _DEFAULTS.adaptivity
    ridge: float = _DEFAULTS.ridge
    longest_change: float = _DEFAULTS.longest_change
    colluding: int = _DEFAULTS.members.colluding
    own: Literal["nothing", "intercept", "tables"] = "intercept"
    pull: NotNegative = 100.0
    privacy: PrivacySettings | None = None

    @model_validator(mode="before")
    @classmethod
    def _for_noise(cls, value: object) -> object:
        """Fill in what suits noise; averaging that was asked for keeps its own."""
        is_table = isinstance(value, Mapping)
        asked: Mapping[str, object] = (
            cast("dict[str, object]", value) if is_table else {}
        )
        named = asked.get("optimizer", NOISY["optimizer"])
        if "privacy" in asked and named == NOISY["optimizer"]:
            return {**NOISY, **asked}
        return value


_NUMBERS: Final = TrainingSettings.model_fields.keys() - {"columns", "privacy"}


class HorizontalSettings(Settings):
    """The contract of a horizontal run as its author writes it."""

    members: tuple[str, ...]
    min_count: Count = 5
    # Without a default: it is the weight that a dishonest member can claim.
    max_rows: Annotated[int, Field(ge=1, le=MOST_ROWS)]
    granularity: Points = 1
    scale: ScaleSettings = ScaleSettings()
    horizontal: TrainingSettings


def horizontal_problems(
    asked: HorizontalSettings, registry: Registry
) -> Iterator[Problem]:
    """Yield all that is wrong with it."""
    yield from _members(asked, registry)
    yield from _numbers(asked.horizontal)
    if asked.horizontal.privacy:
        yield from _privacy(asked.horizontal)


def horizontal_contract(
    asked: HorizontalSettings, registry: Registry, run: str
) -> RunContract:
    """Return what the members approve; call only if there is no problem.

    Raises DataError or BoundError if with these numbers together no sum can be made.
    """
    contract = RunContract(
        run=run,
        roster=roster(asked.members, registry),
        min_count=asked.min_count,
        max_rows=asked.max_rows,
        base_points=asked.scale.base_points,
        base_odds=asked.scale.base_odds,
        points_to_double_odds=asked.scale.points_to_double_odds,
        granularity=asked.granularity,
        horizontal=_terms(asked.horizontal),
    )
    least = fewest(len(asked.members), asked.horizontal.colluding)
    terms = terms_of(contract, least)
    if terms.privacy:
        gradient_format(terms.privacy, terms)
    else:
        change_format(terms)
    return contract


def _terms(asked: TrainingSettings) -> HorizontalTerms:
    columns = [
        JointColumn(name=name, text=each.kind == "categorical", levels=each.levels)
        for name, each in asked.columns.items()
    ]
    as_written = asked.model_dump(exclude={"columns", "privacy"})
    return HorizontalTerms(columns=columns, privacy=_noise(asked), **as_written)


def _noise(asked: TrainingSettings) -> HorizontalPrivacy | None:
    """Return the least noise that keeps to the budget."""
    if not (budget := asked.privacy):
        return None
    from veilscore.models.horizontal.accounting import privacy_for  # noqa: PLC0415 - extra

    # A row has one value a column and the intercept, each with a gradient up to 1.
    clip = budget.clip or 0.5 * sqrt(len(asked.columns) + 1)
    found = privacy_for(budget.epsilon, budget.delta, asked.rounds, clip)
    return HorizontalPrivacy(
        clip=found.clip, noise=found.noise, count_noise=found.count_noise
    )


def _members(asked: HorizontalSettings, registry: Registry) -> Iterator[Problem]:
    """Yield who may not be in the run, how many may, and the remedy."""
    members = set(asked.members)
    if len(members) != len(asked.members):
        yield "`members` names a party twice", "Name each member once."
    if not FEWEST <= len(members) <= MOST:
        yield (
            f"`members` names {len(members)} parties",
            f"Name {FEWEST} to {MOST}: of a sum of two each knows the other's part.",
        )
    elif not 1 <= asked.horizontal.colluding <= len(members) - 2:
        yield (
            f"`horizontal.colluding` is not 1 to {len(members) - 2}",
            "Reckon with one at least, and leave two who are honest.",
        )
    yield from strangers("members", members, registry)


def _numbers(asked: TrainingSettings) -> Iterator[Problem]:
    """Yield every number that nothing can be trained with."""
    for name in (field.name for field in fields(Terms) if field.name in _NUMBERS):
        try:
            replace(_DEFAULTS, **{name: getattr(asked, name)})
        except DataError as error:
            yield f"`horizontal.{name}`: {error.what}", f"{error.remedy}."


def _privacy(asked: TrainingSettings) -> Iterator[Problem]:
    """Yield what the noise cannot be made without."""
    if find_spec("dp_accounting") is None:
        yield (
            "`horizontal.privacy` needs the package dp-accounting, which is absent",
            "Install veilscore[dp] here, or leave the budget out.",
        )
    for name, column in asked.columns.items():
        if column.kind == "categorical" and not column.levels:
            yield (
                f"`horizontal.columns.{name[:40]}` has no `levels`",
                "Declare all levels (under noise they are not found), or leave it out.",
            )
