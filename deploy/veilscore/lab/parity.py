"""A federated model beside the central one that pooled data would give.

Both use the bins of the holders' cards and the same training rows. Central: WoE from
the pooled counts, then scikit-learn's logistic regression (C = 1). Federated: the sum
of all cards before their points were rounded. Only a lab can pool the data;
scikit-learn is not part of the program.
"""

import importlib
from collections.abc import Iterable, Mapping
from typing import Protocol, cast

import numpy as np
from numpy.typing import NDArray

from veilscore.lab.errors import NotComparedError
from veilscore.lab.outcome import Parity
from veilscore.lab.plain import PlainTable
from veilscore.models.binning import Codes
from veilscore.models.metrics import auc, ks
from veilscore.models.scorecard import Card
from veilscore.models.vertical.answers import pool_below
from veilscore.models.woe import woe_table

Floats = NDArray[np.float64]


class _Classifier(Protocol):
    """What is used of scikit-learn, which has no types."""

    def fit(self, x: Floats, y: NDArray[np.bool_]) -> object: ...

    def predict_proba(self, x: Floats) -> Floats: ...


def compare_with_pooled(
    cards: Mapping[str, Card], tables: Mapping[str, PlainTable], label_holder: str
) -> Parity:
    """Compare on the judging rows; raises NotComparedError without scikit-learn."""
    labels = tables[label_holder]
    entities = list(labels.rows)  # in the order of the file, as labels are
    codes = {p: tables[p].codes(card, entities) for p, card in cards.items()}
    training = np.flatnonzero((labels.labels >= 0) & ~labels.judging)
    judged = np.flatnonzero((labels.labels >= 0) & labels.judging)
    learned, bad = labels.labels[training] == 1, labels.labels[judged] == 1

    woe = {p: _woe(card, codes[p], training, learned) for p, card in cards.items()}

    def central_model(parties: Iterable[str]) -> Floats:
        """Return the PD of the judged rows, learned from these parties' columns."""
        columns = np.column_stack([woe[party] for party in parties])
        model = _logistic_regression()
        model.fit(columns[training], learned)
        return model.predict_proba(columns[judged])[:, 1]

    alone_pd, central_pd = central_model([label_holder]), central_model(cards)
    points = sum(cards[p].partial_codes(codes[p]).astype(float) for p in cards)
    odds = sum(log_odds(cards[party], codes[party]) for party in cards)

    def rounding(rows: NDArray[np.intp]) -> float:
        """Return the AUC of points less that of unrounded log odds."""
        of = labels.labels[rows] == 1
        return auc(of, -np.asarray(points)[rows]) - auc(of, -np.asarray(odds)[rows])

    federated_pd = np.exp(-np.logaddexp(0.0, np.asarray(odds)[judged]))
    apart = np.abs(federated_pd - central_pd)
    return Parity(
        rows=len(judged),
        alone_auc=auc(bad, alone_pd),
        alone_ks=ks(bad, alone_pd),
        central_auc=auc(bad, central_pd),
        central_ks=ks(bad, central_pd),
        federated_auc=auc(bad, federated_pd),
        federated_ks=ks(bad, federated_pd),
        card_auc_apart=rounding(np.flatnonzero(labels.labels >= 0)),
        judged_card_auc_apart=rounding(judged),
        worst_pd=float(apart.max()),
        mean_pd=float(apart.mean()),
    )


def _logistic_regression() -> _Classifier:
    try:
        linear_model = importlib.import_module("sklearn.linear_model")
    except ImportError as error:
        raise NotComparedError(
            "scikit-learn is not installed",
            remedy="Install it as deploy/README.md says, under Labs.",
        ) from error
    made = linear_model.LogisticRegression(C=1.0, tol=1e-8, max_iter=10_000)
    return cast("_Classifier", made)


def _woe(
    card: Card, codes: Codes, rows: NDArray[np.intp], bad: NDArray[np.bool_]
) -> Floats:
    """Return the WoE of every cell, (entities, features), counted on ``rows``.

    Bins below the contract's minimum are pooled as the label holder pools them.
    """
    minimum = int(card.parameters["min_count"])
    columns: list[Floats] = []
    for feature, column in zip(card.features, codes.T, strict=True):
        size = feature.bins.count
        good = np.bincount(column[rows][~bad], minlength=size)
        counts = good, np.bincount(column[rows][bad], minlength=size)
        columns.append(woe_table(*pool_below(*counts, minimum)).woe[column])
    return np.column_stack(columns)


def log_odds(card: Card, codes: Codes) -> Floats:
    """Return the card's unrounded part of ln(good:bad), shape (entities,)."""
    total = np.full(len(codes), card.intercept)
    for feature, column in zip(card.features, codes.T, strict=True):
        total += np.array(feature.log_odds)[column]
    return total
