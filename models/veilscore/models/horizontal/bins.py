"""Members choose the bins of all columns together, from sums of counts alone.

The rules are those of ``binning``, which then give the bins that they would give on all
rows in one place, but that an edge at a decile is rounded up by up to one part in 8192,
or lies at an edge of a coarse bucket that was not divided. Who learns what stands in
``number_counts`` and ``level_counts``: all members, sums over all rows; the coordinator
how long they are, and so how many columns there are and about how many values.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import sqrt
from typing import Literal

import numpy as np

from veilscore.models.binning import Bins, NumericBins, fit_buckets
from veilscore.models.errors import DataError, ProtocolError
from veilscore.models.horizontal.level_counts import DeclaredCounts, LevelCounts
from veilscore.models.horizontal.noise_shares import LONGEST, deviation, share
from veilscore.models.horizontal.number_counts import PASSES, NumberCounts
from veilscore.models.horizontal.ports import Integers, Words
from veilscore.models.horizontal.script import Script, Total, total
from veilscore.models.horizontal.terms import Members, Terms
from veilscore.models.scorecard import Column

# A text's four bytes times the rows that it is on have to stay under 2^64.
_MOST_ALL_ROWS = 1 << 31


@dataclass(frozen=True, slots=True)
class ColumnTerms:
    """One column as all members have agreed to read it.

    ``missing``: numbers or texts that stand for "no value". ``levels``: texts that have
    bins if they are common; None has them found, without telling who has them.
    """

    name: str
    kind: Literal["number", "text"]
    missing: tuple[float | str, ...] = ()
    levels: tuple[str, ...] | None = None


@dataclass(frozen=True, slots=True)
class JointBins:
    """The bins of all columns, and how many rows of all members they are of."""

    bins: tuple[Bins, ...]
    rows: int


Counts = NumberCounts | LevelCounts | DeclaredCounts


def agree_bins(
    columns: Sequence[ColumnTerms],
    values: Mapping[str, Column],
    terms: Terms,
    *,
    least: int = 5,
) -> Script[JointBins]:
    """Choose bins with the other members; buckets under ``least`` rows stay whole.

    Raises ``DataError`` for a column of which no bins can be made, ``ProtocolError``
    for sums that contradict each other.
    """
    members = terms.members
    if members.all_rows > _MOST_ALL_ROWS:
        raise DataError(
            f"{members.all_rows} rows of all members are too many to count texts on",
            place="contract",
            remedy="Allow fewer members or rows",
        )
    noise = terms.privacy.count_noise * sqrt(len(columns)) if terms.privacy else 0.0
    counted = [_counts(column, values, terms, least, noise) for column in columns]
    for number in range(PASSES):
        parts = [_own(counts, number) for counts in counted]
        own = np.concatenate([np.zeros(0, np.uint64), *parts])
        if own.size == 0:
            continue
        if noise:
            own = own + share(own.size, noise, members).view(np.uint64)
        summed = yield from total(f"{terms.run} bins {number}", own, members)
        start = 0
        for counts, part in zip(counted, parts, strict=True):
            _take(counts, number, summed, start, part.size, terms, noise)
            start += part.size
    rows = _rows(counted, members, noise)
    bins = [
        _bins(column, counts, noise)
        for column, counts in zip(columns, counted, strict=True)
    ]
    return JointBins(tuple(bins), rows)


def _counts(
    column: ColumnTerms,
    values: Mapping[str, Column],
    terms: Terms,
    least: int,
    noise: float,
) -> Counts:
    own = values.get(column.name)
    if column.kind == "number" and isinstance(own, np.ndarray):
        known = ~np.isnan(own)
        for code in column.missing:
            known &= own != code
        _check_rows(own.size, terms)
        return NumberCounts(column.name, own[known], own.size, least, noise)
    if column.kind == "text" and own is not None and not isinstance(own, np.ndarray):
        texts = [None if text in column.missing else text for text in own]
        _check_rows(len(texts), terms)
        if column.levels is not None:
            return DeclaredCounts(column.name, texts, column.levels, noise)
        if noise:
            raise DataError(
                f"column {column.name!r} needs its levels declared: with noise they "
                "are not found",
                place="contract",
                remedy="Declare the levels, or leave the column out",
            )
        salt = f"{terms.run}\0{column.name}\0".encode()
        return LevelCounts(column.name, texts, salt, least)
    raise DataError(
        f"column {column.name!r} is absent or does not hold {column.kind}s",
        remedy=f"Let the data source give column {column.name!r} as {column.kind}s",
    )


def _check_rows(rows: int, terms: Terms) -> None:
    if not 1 <= rows <= terms.members.most_rows:
        raise DataError(
            f"{rows} rows, the contract allows 1 to {terms.members.most_rows}",
            remedy="Learn from fewer rows or raise most_rows in the contract",
        )


def _own(counts: Counts, number: int) -> Words:
    if isinstance(counts, NumberCounts):
        return _words(counts.own(number))
    if isinstance(counts, DeclaredCounts):
        return _words(counts.own()) if number == 0 else np.zeros(0, np.uint64)
    if number == 0:
        return _words(counts.own_hashed())
    return counts.own_spelt() if number == 1 else np.zeros(0, np.uint64)


def _take(
    counts: Counts,
    number: int,
    summed: Total,
    start: int,
    size: int,
    terms: Terms,
    noise: float,
) -> None:
    words = summed.words[start : start + size]
    if not (isinstance(counts, LevelCounts) and number):
        _check_counts(words.view(np.int64), summed, counts, terms, noise)
    if isinstance(counts, LevelCounts):
        if number == 0:
            counts.take_hashed(words.view(np.int64))
        elif number == 1:
            counts.take_spelt(words)
        return
    # All members' shares are in the sum, not only those that are counted on.
    counts.noise = deviation(noise, terms.members) * sqrt(summed.members)
    if isinstance(counts, NumberCounts):
        counts.take(number, words.view(np.int64))
    elif number == 0:
        counts.take(words.view(np.int64))


def _check_counts(
    summed: Integers, whole: Total, counts: Counts, terms: Terms, noise: float
) -> None:
    """Refuse counts that not all rows of all members could make."""
    tail = LONGEST * deviation(noise, terms.members)
    most = whole.members * (terms.members.most_rows + tail + 1)
    if np.any(np.abs(summed.astype(np.float64)) > most):
        raise ProtocolError(
            f"counts of column {counts.column!r} are beyond the contract's rows",
            remedy="Find the member outside of the protocol, and start without it",
        )


def _words(counts: Integers) -> Words:
    return counts.astype(np.int64).view(np.uint64)


def _rows(counted: Sequence[Counts], members: Members, noise: float) -> int:
    """Return how many rows all members have; rounds are held to the bound on them."""
    totals = [counts.total for counts in counted]
    if noise:
        return min(max(1, round(sum(totals) / len(totals))), members.all_rows)
    if len(set(totals)) > 1:
        raise ProtocolError(
            "columns differ in how many rows all members have",
            remedy="Start the run again with members of the same release",
        )
    if not members.least <= totals[0] <= members.all_rows:
        raise ProtocolError(
            f"the members claim {totals[0]} rows, and the contract allows all of them "
            f"{members.all_rows}",
            remedy="Find the member outside of the protocol, and start without it",
        )
    return totals[0]


def _bins(column: ColumnTerms, counts: Counts, noise: float) -> Bins:
    if isinstance(counts, NumberCounts):
        codes = tuple(float(code) for code in column.missing)
        if noise and len(counts.counts) <= 1:  # what was under the noise is one bin
            return NumericBins((), (None,), codes)
        return fit_buckets(
            counts.buckets(), rows=counts.total, column=column.name, missing=codes
        )
    return counts.bins(tuple(str(code) for code in column.missing))
