"""What this node's operator allows a horizontal run to do.

Its members add up vectors over their own labelled rows; each learns the sums, and so
what all the others' rows have together. Refused are sums of too few members or rows,
and runs that this node's columns do not fit: before anything is sent.
"""

import math
from collections.abc import Iterator
from typing import Final

import numpy as np
from numpy.typing import NDArray

from veilscore.keys.aggregation.terms import MOST, fewest_of
from veilscore.models.errors import BoundError, DataError
from veilscore.models.horizontal import noise_shares
from veilscore.models.horizontal.fixed_point import FixedPoint
from veilscore.models.horizontal.rounds import change_format, gradient_format
from veilscore.models.horizontal.run import terms_of
from veilscore.models.horizontal.terms import Terms
from veilscore.node.columns import Columns, NumericColumn
from veilscore.node.errors import RefusedError
from veilscore.node.training.policy import (
    MOST_COLUMNS,
    TrainingSettings,
    enforce,
    scale_rules,
)
from veilscore.v1.training_pb2 import RunContract

_NAMED: Final = 20  # columns that an error lists


def check(
    contract: RunContract, own: str, settings: TrainingSettings, source: Columns
) -> None:
    """Refuse a horizontal run that the operator or the own table does not allow."""
    members = {entry.party for entry in contract.roster}
    asked = contract.horizontal
    columns = [column.name for column in asked.columns]
    privacy = settings.privacy
    enforce(
        (
            (own not in members, "this node is not on the run's roster"),
            (
                len(members) < settings.min_members,
                "a run of so few members is not allowed here",
            ),
            (len(members) > MOST, f"sums of more than {MOST} members are not made"),
            (
                contract.min_count < settings.min_count,
                "counts as small as the contract's minimum are not released here",
            ),
            (
                contract.max_rows > settings.max_rows,
                "so many rows are not allowed here",
            ),
            (
                not 1 <= len(columns) <= MOST_COLUMNS
                or len(set(columns)) != len(columns),
                "the run's columns are too many, none, or one of them twice",
            ),
            (not 0 <= asked.pull < math.inf, "the pull of own tables is out of range"),
            (
                privacy is not None
                and privacy.required
                and not asked.HasField("privacy"),
                "a run without noise is not allowed here",
            ),
            (
                asked.HasField("privacy")
                and any(column.text and not column.levels for column in asked.columns),
                "a run with noise cannot find the levels of its texts",
            ),
            *scale_rules(contract),
        ),
        contract,
        own,
    )
    _check_noise(trained_with(contract, own), len(columns), own)
    _check_columns(contract, own, source)
    _check_rows(own, settings, source)


def labelled_rows(source: Columns) -> int:
    """Return how many own rows there are to learn from."""
    return int(source.labelled(held_out=False).sum())


def learning_rows(contract: RunContract, source: Columns) -> NDArray[np.intp]:
    """Return the places of the own rows that a run learns from, drawn for the run.

    A member with more than a contract allows leaves some out. If it refused, others
    would find out how many it has, by contracts that allow more and more.
    """
    rows = np.flatnonzero(source.labelled(held_out=False))
    if rows.size <= contract.max_rows:
        return rows
    draw = np.random.default_rng([*contract.run.encode()])
    return np.sort(draw.choice(rows, contract.max_rows, replace=False))


def trained_with(contract: RunContract, own: str) -> Terms:
    """Return how the model is trained; raises RefusedError for numbers out of range."""
    least = fewest_of(contract)
    try:
        return terms_of(contract, least)
    except DataError as error:
        raise _out_of_range(error, own) from error


def _check_noise(terms: Terms, columns: int, own: str) -> None:
    """Refuse, before it is paid for, noise with which no sum could be made."""
    privacy, members = terms.privacy, terms.members
    try:
        if privacy is None:
            change_format(terms)
            return
        counts = privacy.count_noise * math.sqrt(columns)
        noise_shares.share(0, counts, members)
        tail = noise_shares.LONGEST * noise_shares.deviation(counts, members)
        FixedPoint.fitting(members.most_rows + tail, members.most)
        unit = gradient_format(privacy, terms).unit
        noise_shares.share(0, privacy.noise * privacy.clip / unit, members)
    except BoundError as error:
        raise _out_of_range(error, own) from error


def _out_of_range(error: DataError | BoundError, own: str) -> RefusedError:
    return RefusedError(
        "the terms of the training are out of range",
        party=own,
        place=f"contract: {error.what}",
        remedy=f"Ask the coordinator's operator for another contract: {error.remedy}.",
    )


def _check_columns(contract: RunContract, own: str, source: Columns) -> None:
    """Refuse a run over columns that this node does not have, naming all of them."""
    lacks = [*_lacking(contract, source)]
    if lacks:
        more = f" and {len(lacks) - _NAMED} more" if len(lacks) > _NAMED else ""
        raise RefusedError(
            "the run's columns or labels are not those of this node's data source",
            party=own,
            place=f"[source]: {'; '.join(lacks[:_NAMED])}{more}",
            remedy="Declare them in node.toml as the contract reads them, and restart "
            "the node; or ask for a contract over columns that all members have.",
        )


def _lacking(contract: RunContract, source: Columns) -> Iterator[str]:
    own = {feature.name: feature for feature in source.features}
    for column in contract.horizontal.columns:
        feature = own.get(column.name)
        kind = "categorical" if column.text else "numeric"
        if feature is None:
            yield f"no {kind} column `{column.name}`"
        elif isinstance(feature, NumericColumn) is column.text:
            yield f"column `{column.name}` is not {kind}"
    if not (source.labels >= 0).any():
        yield "no labels"


def _check_rows(own: str, settings: TrainingSettings, source: Columns) -> None:
    rows = labelled_rows(source)
    if rows < settings.min_rows:
        raise RefusedError(
            "a run over so few labelled rows of this node is not allowed here",
            party=own,
            place=f"[training] min_rows: {settings.min_rows}, the data source has "
            f"{rows} rows with a label that are not held out",
            remedy="Wait for more rows, or lower `min_rows`.",
        )
