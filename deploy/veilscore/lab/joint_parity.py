"""A horizontal run's cards beside the models of single members and of pooled rows.

All are of one kind: points of bins, under one penalty, at its optimum. A member's own
model has the bins and rows of that member, the pooled one those of all members in one
place. Only a lab can pool the rows.

Imports torch, as all that trains a joint model does.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import chain
from math import sqrt
from typing import Final, cast

import numpy as np
from numpy.typing import NDArray

from veilscore.lab.errors import LabError
from veilscore.lab.joint_outcome import Figures, JointOutcome, MemberOutcome
from veilscore.lab.parity import log_odds
from veilscore.lab.plain import PlainTable
from veilscore.models.binning import Bins, fit_categorical, fit_numeric
from veilscore.models.horizontal import own_model
from veilscore.models.metrics import auc, brier, ks
from veilscore.models.scorecard import Card, Column

Floats = NDArray[np.float64]
Booleans = NDArray[np.bool_]

_OWN: Final = ("tables", "intercept", "nothing")


@dataclass(frozen=True, slots=True)
class _Rows:
    """Some rows with their outcomes."""

    columns: Mapping[str, Column]
    bad: Booleans

    @classmethod
    def of(cls, table: PlainTable, names: Sequence[str], chosen: Booleans) -> "_Rows":
        at = np.flatnonzero(chosen & (table.labels >= 0))
        columns = {name: _take(table.columns[name], at) for name in names}
        return cls(columns, table.labels[at] == 1)

    @classmethod
    def pooled(cls, parts: Sequence["_Rows"]) -> "_Rows":
        columns = {
            name: _joined([part.columns[name] for part in parts])
            for name in parts[0].columns
        }
        return cls(columns, np.concatenate([part.bad for part in parts]))


@dataclass(frozen=True, slots=True)
class _Model:
    """A model of rows in one place."""

    bins: tuple[Bins, ...]
    vector: Floats

    @classmethod
    def of(cls, rows: _Rows, ridge: float) -> "_Model":
        """Return the optimum; raises DataError if the rows have one class only."""
        bins = tuple(
            fit_numeric(values, column=name)
            if isinstance(values, np.ndarray)
            else fit_categorical(values, column=name)
            for name, values in rows.columns.items()
        )
        counts = [each.count for each in bins]
        start = np.zeros(sum(counts) + 1)
        codes = _codes(bins, rows)
        return cls(
            bins,
            own_model.fit_own(
                start, codes, rows.bad, counts, what="tables", pull=ridge
            ),
        )

    def log_odds(self, rows: _Rows) -> Floats:
        counts = [each.count for each in self.bins]
        return own_model.log_odds(self.vector, _codes(self.bins, rows), counts)


@dataclass(frozen=True, slots=True)
class _Member:
    """One member's card and rows."""

    card: Card
    learned: _Rows
    judged: _Rows


def compare_members(
    cards: Mapping[str, Card],
    tables: Mapping[str, PlainTable],
    reported: Mapping[str, float],
) -> tuple[dict[str, MemberOutcome], JointOutcome]:
    """Compare every member's card on its held-out rows, and all together.

    ``reported`` are the AUCs that the members' nodes found. Raises LabError if the
    cards are not of one model.
    """
    first = next(iter(cards.values()))
    names = [feature.name for feature in first.features]
    for party, card in cards.items():
        if [(f.name, f.bins) for f in card.features] != [
            (f.name, f.bins) for f in first.features
        ]:
            raise LabError("its card has other bins than those of others", party=party)
    members = {
        party: _Member(
            card,
            _Rows.of(tables[party], names, ~tables[party].judging),
            _Rows.of(tables[party], names, tables[party].judging),
        )
        for party, card in cards.items()
    }
    ridge = float(first.parameters["ridge"])
    learned = _Rows.pooled([member.learned for member in members.values()])
    pooled = _Model.of(learned, ridge)
    outcomes = {
        party: _outcome(member, pooled, ridge, reported[party])
        for party, member in members.items()
    }
    return outcomes, _together([*members.values()], pooled)


def _outcome(
    member: _Member, pooled: _Model, ridge: float, reported: float
) -> MemberOutcome:
    judged, learned = member.judged, member.learned
    alone = _Model.of(learned, ridge).log_odds(judged)
    here = _card_log_odds(member.card, judged)
    return MemberOutcome(
        learned=learned.bad.size,
        learned_bad=int(learned.bad.sum()),
        rows=judged.bad.size,
        bad=int(judged.bad.sum()),
        alone=_figures(alone, judged.bad),
        pooled=_figures(pooled.log_odds(judged), judged.bad),
        here=_figures(here, judged.bad),
        gain_error=gain_error(judged.bad, -here, -alone),
        reported=reported,
    )


def _together(members: Sequence[_Member], pooled: _Model) -> JointOutcome:
    bad = np.concatenate([member.judged.bad for member in members])
    whole = _Rows.pooled([member.judged for member in members])
    # A member with one kind of row can fit nothing.
    fitted = {str(member.card.parameters["own"]) for member in members}
    own = next(each for each in _OWN if each in fitted)

    def joint(member: _Member) -> Floats:
        card = member.card
        shown = card if own == "tables" else replace(card, intercept=0.0)
        return _card_log_odds(shown, member.judged)

    together = np.concatenate([joint(member) for member in members])
    everything = [_Rows.pooled([each.learned, each.judged]) for each in members]
    cards = [member.card for member in members]
    return JointOutcome(
        own=own,
        rows=bad.size,
        bad=int(bad.sum()),
        auc=auc(bad, -together),
        pooled_auc=auc(bad, -pooled.log_odds(whole)),
        tables_apart=_tables_apart(cards),
        card_auc_apart=_rounding(cards, everything),
        judged_card_auc_apart=_rounding(cards, [each.judged for each in members]),
    )


def _rounding(cards: Sequence[Card], rows: Sequence[_Rows]) -> float:
    """Return the AUC of every card's points on its rows less that of its log odds."""
    pairs = [*zip(cards, rows, strict=True)]
    bad = np.concatenate([each.bad for each in rows])
    points = np.concatenate(
        [card.partial(each.columns).astype(np.float64) for card, each in pairs]
    )
    odds = np.concatenate([_card_log_odds(card, each) for card, each in pairs])
    return auc(bad, -points) - auc(bad, -odds)


def _tables_apart(cards: Sequence[Card]) -> float:
    tables = np.array(
        [[*chain(*(each.log_odds for each in card.features))] for card in cards]
    )
    return float(np.max(tables.max(axis=0) - tables.min(axis=0)))


def gain_error(bad: Booleans, risk: Floats, other: Floats) -> float | None:
    """Return the standard error of AUC(risk) - AUC(other) on the same rows.

    None if goods or bads are fewer than two. DeLong, DeLong and Clarke-Pearson,
    Biometrics 44 (1988).
    """
    parts: list[float] = []
    for rows, against, sign in ((bad, ~bad, 1), (~bad, bad, -1)):
        if rows.sum() <= 1:
            return None
        apart = _placements(sign * risk[rows], sign * risk[against])
        apart -= _placements(sign * other[rows], sign * other[against])
        parts.append(float(np.var(apart, ddof=1)) / len(apart))
    return sqrt(sum(parts))


def _placements(values: Floats, against: Floats) -> Floats:
    """Return the share of ``against`` below each value, ties half."""
    ordered = np.sort(against)
    below = np.searchsorted(ordered, values, "left")
    placed: Floats = (below + np.searchsorted(ordered, values, "right")) / 2
    return placed / len(ordered)


def _figures(odds: Floats, bad: Booleans) -> Figures:
    default = np.exp(-np.logaddexp(0.0, odds))
    return Figures(auc(bad, -odds), ks(bad, -odds), brier(bad, default))


def _card_log_odds(card: Card, rows: _Rows) -> Floats:
    return log_odds(card, card.codes(rows.columns))


def _codes(bins: Sequence[Bins], rows: _Rows) -> NDArray[np.uint16]:
    return np.column_stack(
        [
            each.apply(values)  # type: ignore[arg-type]  # of the column's kind
            for each, values in zip(bins, rows.columns.values(), strict=True)
        ]
    )


def _take(column: Column, at: NDArray[np.intp]) -> Column:
    if isinstance(column, np.ndarray):
        return column[at]
    texts: list[str | None] = [column[int(row)] for row in at]
    return texts


def _joined(parts: Sequence[Column]) -> Column:
    if isinstance(parts[0], np.ndarray):
        return np.concatenate([np.asarray(part, np.float64) for part in parts])
    texts = cast("Sequence[Sequence[str | None]]", parts)
    return [text for part in texts for text in part]
