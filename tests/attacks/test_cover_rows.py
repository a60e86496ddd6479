"""C7: a feature holder guesses which of its rows are the label holder's customers.

Of the run it has what no cipher hides: goods and bads of each of its bins. So it ranks
its rows by the odds of a customer in their bins, over all columns (naive Bayes). Told
is the area under that ranking: .5 is chance. Where customers are like the rest, that
is all it gets, and a little for having seen this sample; where the label holder
picked them by one of these columns, the counts say so: a figure, no bound.
"""

from dataclasses import dataclass, field, replace

import numpy as np
import pytest
from numpy.typing import NDArray

from tests.conftest import Tell
from tests.protocol.ring_training import DataSet, begin, load
from veilscore.models.metrics import auc
from veilscore.models.vertical.feature_holder import FeatureHolder
from veilscore.v1.training_pb2 import Counts

pytestmark = pytest.mark.long


@dataclass(frozen=True)
class Told:
    """What a holder learns of the bins of one column, (bins,)."""

    customers: NDArray[np.int64]
    pool: NDArray[np.int64]


@dataclass(slots=True)
class Curious(FeatureHolder):
    """One that keeps what it is told of its bins."""

    told: list[Told] = field(default_factory=list[Told])

    def _read_counts(self, counts: Counts, orders: list[list[int]]) -> None:
        for column, order in zip(counts.columns, orders, strict=True):
            customers, pool = np.zeros((2, len(order)), dtype=np.int64)
            customers[order] = np.add(column.good, column.bad)
            pool[order] = column.pool
            self.told.append(Told(customers, pool))
        FeatureHolder._read_counts(self, counts, orders)

    def guess(self) -> NDArray[np.float64]:
        """Rank the rows, (rows,): the log odds of a customer in their bins."""
        ranked = np.zeros(self.columns.rows)
        for codes, count, told in zip(
            self.columns.codes.T, self.columns.bin_counts, self.told, strict=True
        ):
            rows = np.bincount(codes, minlength=count)
            for pool in set(told.pool.tolist()) - {0}:
                pooled = told.pool == pool
                rows[pooled] = rows[pooled].sum()
            odds = (told.customers + 1) / (rows - told.customers + 1)
            ranked += np.log(odds)[codes]
        return ranked


def ranked_by(data: DataSet) -> dict[str, float]:
    """Return the area under each feature holder's ranking of its rows."""
    run = begin(data, holder=Curious)
    run.play("counts")
    return {
        party: auc(~data.test, role.guess())
        for party, role in run.others.items()
        if isinstance(role, Curious)
    }


def test_customers_like_the_rest_are_hidden_among_cover_rows(tell: Tell) -> None:
    """6,000 of 30,000 rows have no label, drawn without a look at them."""
    data = load("uci_default", "three_A")
    for party, area in ranked_by(data).items():
        tell(f"C7 customers among all rows, by {party}", f"{area:.3f}", "0.520")
        assert area < 0.52


def test_counts_show_by_what_customers_were_picked(tell: Tell) -> None:
    """Of younger people one in five is a customer, of older ones four in five."""
    data = load("uci_default", "three_A")
    columns = data.columns["regulator"]
    age = columns.codes[:, columns.names.index("AGE")]
    older = age > np.median(age)
    drawn = np.random.default_rng(3).random(len(age))
    picked = replace(data, test=drawn > np.where(older, 0.8, 0.2))
    found = ranked_by(picked)
    possible = auc(~picked.test, older.astype(np.float64))
    tell(
        "C7 customers picked by a column of the regulator",
        ", ".join(f"{area:.3f} by {party}" for party, area in found.items()),
        f"none; {possible:.3f} if the rule were known",
    )
    assert found["regulator"] > 0.6
