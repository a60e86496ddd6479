"""What this node's operator allows a training run to do.

A run outside these limits is refused with a fixed sentence; a run inside them still
waits for the operator's approval unless ``approve`` says "automatic", or for horizontal
runs ``approve_horizontal``: who once let vertical runs begin by themselves has not said
so of runs that sum up labelled rows and leave every member the whole model.

What is checked of vertical runs stands here, of horizontal ones in
``horizontal_policy``.
"""

import math
from collections.abc import Iterable
from typing import Annotated, Literal, TypeAlias

from pydantic import Field

from veilscore.keys.aggregation.terms import FEWEST
from veilscore.keys.registry import Registry, Role
from veilscore.models.vertical.layout import MOST_HIDING
from veilscore.models.vertical.run import LEAST_DOUBLING, LEAST_RIDGE, MOST_RIDGE
from veilscore.node.errors import RefusedError
from veilscore.runtime.settings import Settings
from veilscore.v1.training_pb2 import RunContract

MAX_POLISH_STEPS = 20
# With noise: the mean of one predictor over 20 steps would bear less than a quarter of
# it. The attacks on transcripts and by chosen weights are measured up to this many.
MAX_NOISY_STEPS = 4
# Of the points that double the odds: finer scores would tell more than a score should.
FINEST = 200
MAX_POINTS = 1_000_000
# Noise outside these hides everything, and would not fit the integers it is added to.
LEAST_EPSILON = 1e-6
MOST_POLISH_NOISE = 10.0
MOST_COLUMNS = 4096

Approval: TypeAlias = Literal["manual", "automatic"]
Rule: TypeAlias = tuple[bool, str]
"""Whether it is broken, and the sentence that is said then."""


class PrivacySettings(Settings):
    """``[training.privacy]``: what all runs with noise may tell of one of these rows.

    They are (epsilon, delta)-private together, or the last of them does not begin.
    """

    # Beyond, nothing is protected.
    epsilon: Annotated[float, Field(gt=0, le=50)]
    delta: Annotated[float, Field(ge=1e-12, le=0.01)]
    # Other rows, another name: nothing that is known of the one is of the other.
    rows: Annotated[str, Field(min_length=1, max_length=200)] = "all"
    # Horizontal runs without noise are refused.
    required: bool = False


class TrainingSettings(Settings):
    """``[training]`` of node.toml."""

    approve: Approval = "manual"
    approve_horizontal: Approval = "manual"
    # Of a horizontal run: of a sum of so many each learns the others' part together.
    min_members: Annotated[int, Field(ge=FEWEST)] = 3
    privacy: PrivacySettings | None = None
    # Per-row predictors may be shown to the label holder, with at least this noise.
    allow_polish: bool = False
    min_polish_noise: float = 0.25
    # Rows of the run may be disclosed to the label holder at column level.
    allow_exact: bool = False
    # With one feature holder everything joint is its own by subtraction.
    allow_two_party: bool = False
    # Parties that this operator knows to depend neither on a bank nor on each other,
    # and how many of them a run needs besides this node: others may be puppets.
    independent: tuple[str, ...] = ()
    min_independent: int = 0
    # Each run with one label holder is another equation about the same rows.
    runs_a_day: int = 4
    min_count: int = 5
    # Sums over fewer rows, of the run or of this node, say too much about each.
    min_rows: int = 200
    # As feature holder: the rotation of one or two columns hides nothing worth a run;
    # that of up to six is undone with some work (SECURITY.md).
    min_columns: int = 3
    # As label holder: rows without a label for each with one. With fewer, whoever
    # finds its rows in the run knows them for this node's customers.
    min_cover: float = 1.0
    max_rows: int = 2_000_000
    step_timeout_s: float = 900.0


def check(contract: RunContract, own: str, settings: TrainingSettings) -> None:
    """Refuse a vertical run that this node's operator does not allow."""
    feature_holders = len(contract.roster) - 1
    rules = (
        (feature_holders < 1, "a run needs a label holder and a feature holder"),
        (
            feature_holders == 1
            and not (contract.allow_two_party and settings.allow_two_party),
            "a run with one feature holder is not allowed here",
        ),
        (
            _independent(contract, own, settings) < settings.min_independent,
            "a run with so few independent feature holders is not allowed here",
        ),
        (
            contract.exact and not settings.allow_exact,
            "exact training is not allowed here",
        ),
        (
            contract.polish_steps > 0 and not contract.exact and not _polish(settings),
            "polish steps are not allowed here",
        ),
        (
            contract.polish_steps > 0
            and not contract.exact
            and not contract.polish_noise >= settings.min_polish_noise,
            "polish steps with so little noise are not allowed here",
        ),
        (
            not 0 <= contract.polish_noise <= MOST_POLISH_NOISE,
            "the noise of polish steps is out of range",
        ),
        (
            contract.count_epsilon != 0
            and not LEAST_EPSILON <= contract.count_epsilon < math.inf,
            "the noise on counts is out of range",
        ),
        (
            contract.exact and contract.polish_steps > MAX_POLISH_STEPS,
            f"more than {MAX_POLISH_STEPS} exact steps are not allowed here",
        ),
        (
            not contract.exact and contract.polish_steps > MAX_NOISY_STEPS,
            f"more than {MAX_NOISY_STEPS} polish steps are not allowed here",
        ),
        (
            contract.exact and contract.polish_steps < 1,
            "exact training needs polish steps",
        ),
        (
            contract.min_count < settings.min_count,
            "counts as small as the contract's minimum are not released here",
        ),
        (contract.max_rows > settings.max_rows, "so many rows are not allowed here"),
        (
            own == contract.label_holder
            and not (
                contract.cover_ratio < 0 or contract.cover_ratio >= settings.min_cover
            ),
            "a run with so few cover rows is not allowed here",
        ),
        (
            not LEAST_RIDGE <= contract.ridge <= MOST_RIDGE,
            "the ridge penalty is out of range",
        ),
        (
            not 1 <= contract.max_columns <= MOST_COLUMNS,
            "max_columns is out of range",
        ),
        (not 2 <= contract.max_bins <= 100_000, "max_bins is out of range"),  # noqa: PLR2004
        (
            contract.known_to_all and feature_holders > MOST_HIDING,
            "known_to_all is not allowed with so many feature holders",
        ),
        (
            own not in {entry.party for entry in contract.roster},
            "this node is not on the run's roster",
        ),
    )
    enforce((*rules, *scale_rules(contract)), contract, own)


def scale_rules(contract: RunContract) -> tuple[Rule, ...]:
    """Return what the points of either kind of run must keep to."""
    return (
        (contract.granularity < 1, "a run needs a granularity of at least one point"),
        (
            not contract.points_to_double_odds <= FINEST * contract.granularity,
            "a scale of such fine points is not allowed here",
        ),
        (
            not (
                abs(contract.base_points) < MAX_POINTS
                and 0 < contract.base_odds < math.inf
                and contract.points_to_double_odds >= LEAST_DOUBLING
            ),
            "the run's scale is out of range",
        ),
    )


def enforce(rules: Iterable[Rule], contract: RunContract, own: str) -> None:
    """Raise RefusedError with the sentence of the first broken rule."""
    for broken, sentence in rules:
        if broken:
            raise RefusedError(
                sentence,
                party=own,
                place=f"contract of run {contract.run}",
                remedy="Ask the coordinator's operator for another contract. What this "
                "node's operator may change stands in [training] of node.toml.",
            )


def check_columns(
    contract: RunContract, own: str, settings: TrainingSettings, columns: int
) -> None:
    """Refuse to be a feature holder of so few columns."""
    if own != contract.label_holder and columns < settings.min_columns:
        raise RefusedError(
            "a run with so few columns of this node is not allowed here",
            party=own,
            place="[training] min_columns",
            remedy="Declare more features, or lower `min_columns`.",
        )


def _polish(settings: TrainingSettings) -> bool:
    return settings.allow_polish or settings.allow_exact


def _independent(contract: RunContract, own: str, settings: TrainingSettings) -> int:
    """Return how many others whom the operator trusts hide this node's part."""
    others = {entry.party for entry in contract.roster}
    others -= {own, contract.label_holder}
    return len(others & set(settings.independent))


def check_roster(contract: RunContract, registry: Registry) -> None:
    """Refuse a roster whose names or fingerprints are not the registered ones."""
    names = [entry.party for entry in contract.roster]
    holders = {""} if contract.HasField("horizontal") else set(names)
    if names != sorted(set(names)) or contract.label_holder not in holders:
        raise RefusedError("the run's roster is not in order")
    for entry in contract.roster:
        record = registry.party(entry.party)
        if Role.DATA_HOLDER not in record.roles:
            raise RefusedError("the run's roster names a party that holds no data")
        if record.key.fingerprint != entry.fingerprint:
            raise RefusedError(
                "the run's roster holds a key that is not the registered one"
            )
