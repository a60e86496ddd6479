"""C3: a feature holder that takes labels, and customers, through made-up columns.

A column whose bins add up passes the totals check, whatever its rows are. The holder
weights single rows of a bin with powers of two: the counts that come back hold one bit
for each. Other rows, counted alone in the first column, keep the bins above the least
count, and a last bin makes up for the others. Both counts of a bin can hold labels: in
the difference of two labelled rows the first slot cancels, and divided by that slot's
size it leaves the difference of their labels there. What a holder can read is bounded
by what it is told: two counts for a bin, for as many bins as the contract allows.
"""

import secrets
from dataclasses import dataclass
from typing import Final

import numpy as np
import pytest
from numpy.typing import NDArray

from tests.conftest import Tell
from tests.protocol.conduct import Talk
from tests.protocol.plain_ring import PlainRing, RingMasks
from tests.sample_contract import sample_contract
from veilscore.models.errors import ProtocolError
from veilscore.models.vertical.feature_holder import FeatureHolder
from veilscore.models.vertical.label_holder import LabelHolder, Labels
from veilscore.models.vertical.layout import RowLayout
from veilscore.models.vertical.run import RunColumns, Terms
from veilscore.v1.training_pb2 import (
    BinCiphertexts,
    CountAnswer,
    Counts,
    TrainingMessage,
)

ROWS, COLUMNS, MAX_BINS = 6000, 64, 256
OTHERS = 100  # rows in a bin that keep it above the least count
PARTIES = ("bank", "bureau", "market")
RNG = np.random.default_rng(3)
BAD: Final = (RNG.random(ROWS) < 0.2).astype(np.int8)
CUSTOMER: Final = RNG.random(ROWS) < 0.5
LAYOUT: Final = RowLayout.plan(ROWS, 1, COLUMNS, PlainRing().modulus)
BOUND: Final = MAX_BINS * 2 * LAYOUT.count_bits
KNOWN_GOOD: Final = int(np.flatnonzero(BAD == 0)[-1])  # a customer of the thief's, too
UNIT: Final = pow(1 << LAYOUT.count_bits, -1, PlainRing().modulus)
NOBODY: Final = np.full(ROWS, -1, dtype=np.int8)


@dataclass(frozen=True)
class Theft:
    """So many bins a column, each with the powers from ``lowest`` up, and a last one.

    Below the lowest power it puts nothing: noise would spoil it. ``differences`` are
    labels in the slot of the labelled, by powers of their own.
    """

    bins: int
    powers: int
    lowest: int = 0
    differences: int = 0

    @property
    def chosen(self) -> NDArray[np.int64]:
        """Different rows for every power, (columns, bins, powers and differences)."""
        labels = self.powers + self.differences
        columns = min(COLUMNS, MAX_BINS // (self.bins + 1)) - 1
        order = np.random.default_rng(5).permutation(KNOWN_GOOD)
        return order[: columns * self.bins * labels].reshape(columns, self.bins, labels)

    def answer(self, vectors: list[int]) -> CountAnswer:
        """Return the made-up bins; ``vectors`` are the encrypted rows."""
        others = np.setdiff1d(np.arange(ROWS), self.chosen)[: self.bins * OTHERS]
        groups: list[list[int]] = others.reshape(self.bins, OTHERS).tolist()
        alone = [sum(vectors[row] for row in rows) for rows in groups]
        answer = CountAnswer(columns=[self._column(alone, sum(vectors))])
        columns: list[list[list[int]]] = self.chosen.tolist()
        for column in columns:
            forms = [
                kept
                + sum(vectors[row] << bit for bit, row in enumerate(rows, self.lowest))
                for kept, rows in zip(
                    alone, (rows[: self.powers] for rows in column), strict=True
                )
            ]
            for bin_, rows in enumerate(column):
                forms[bin_] += UNIT * sum(
                    vectors[row] - vectors[KNOWN_GOOD] << bit
                    for bit, row in enumerate(rows[self.powers :])
                )
            answer.columns.append(self._column(forms, sum(vectors)))
        return answer

    def _column(self, forms: list[int], total: int) -> BinCiphertexts:
        bins = [
            value + LAYOUT.count_mask(secrets.randbits(LAYOUT.mask_bits))
            for value in (*forms, total - sum(forms))
        ]
        return BinCiphertexts(ciphertexts=PlainRing().encode(bins))

    def read(self, counts: Counts) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
        """Return who of the chosen is bad and who a customer, by the counts' bits."""
        bad = np.array([column.bad[: self.bins] for column in counts.columns])
        labelled = bad + [column.good[: self.bins] for column in counts.columns]
        half = 1 << self.lowest >> 1  # to the nearest
        bits = np.arange(self.lowest, self.lowest + self.powers)
        bads, customers = (
            (count[1:] - count[0] + half)[..., None] >> bits & 1 == 1
            for count in (bad, labelled)
        )
        return bads, customers

    def read_differences(self, counts: Counts) -> NDArray[np.bool_]:
        """Return who of the differences' rows is bad."""
        labelled = np.array(
            [np.add(column.bad, column.good)[: self.bins] for column in counts.columns]
        )
        sums = labelled[1:] - labelled[0] - ((1 << self.powers) - 1)
        bads: NDArray[np.bool_] = (
            sums[..., None] >> np.arange(self.differences) & 1 == 1
        )
        return bads


def terms(**clauses: float) -> Terms:
    clauses = {"min_count": 5, "max_bins": MAX_BINS, **clauses}
    return Terms(sample_contract(PARTIES, {}, **clauses))


def told(run: Terms, answer: Theft, labels: NDArray[np.int8]) -> Counts:
    """Let the bureau answer so; return what the bank says to it."""
    own = RunColumns(("x",), RNG.integers(0, 4, (ROWS, 1)).astype(np.uint16), (4,))
    bank = Talk(
        LabelHolder("bank", run, own, Labels(labels, NOBODY), PlainRing()).counts()
    )
    sent = {action.to: action.message for action in bank.begin()}
    honest = Talk(
        FeatureHolder(
            "market",
            run,
            RunColumns(("y",), RNG.integers(0, 4, (ROWS, 1)).astype(np.uint16), (4,)),
            PlainRing(),
            dict.fromkeys(PARTIES, PlainRing()),
            RingMasks("market", run.feature_holders),
        ).counts()
    )
    honest.begin()
    taken, market = honest.tell({"bank": sent["market"]})
    bank.tell({"bureau": taken.message, "market": taken.message})
    vectors = PlainRing().decode(sent["bureau"].encrypted_rows.ciphertexts)
    answers = {
        "bureau": TrainingMessage(count_answer=answer.answer(vectors)),
        "market": market.message,
    }
    reply, _ = bank.tell(answers)
    assert reply.to == "bureau"
    return reply.message.counts


def stolen(theft: Theft) -> int | str:
    """Return how many labels are read, all of them right, or who is caught."""
    try:
        counts = told(terms(), theft, BAD)
    except ProtocolError as error:
        return error.party
    # A last bin that kept too few is pooled with another, and the column is lost.
    clear = [not any(column.pool) for column in counts.columns[1:]]
    bad = np.concatenate([theft.read(counts)[0], theft.read_differences(counts)], 2)
    assert (bad == BAD[theft.chosen])[clear].all()
    return bad[clear].size


def beyond_chance(run: Terms, theft: Theft) -> int:
    """Return the labels read right beyond what "all are good" gets right."""
    bad, _ = theft.read(told(run, theft, BAD))
    truth = BAD[theft.chosen] == 1
    return int((bad == truth).sum() - (~truth).sum())


def test_made_up_columns_read_no_more_labels_than_their_counts_have_bits(
    tell: Tell,
) -> None:
    # As many powers as surely fit the total of bads with that many bins, or one more.
    thefts = [
        Theft(bins, powers + more)
        for bins, powers in ((1, 10), (2, 9), (4, 8), (9, 7))
        for more in (0, 1)
    ]
    found = [stolen(theft) for theft in thefts]
    most = max(each for each in found if isinstance(each, int))
    tell(f"C3 labels of {ROWS} in one run, {MAX_BINS} bins", most, BOUND)
    assert "bureau" in found  # powers that carry into the totals are caught
    both = stolen(Theft(3, 9, differences=10))
    tell(
        f"C3 labels of {ROWS} in one run, {MAX_BINS} bins, by both counts", both, BOUND
    )
    assert isinstance(both, int)
    assert BOUND / 6 < most < BOUND / 2 < both <= min(BOUND, ROWS)


def test_they_read_as_well_who_is_a_customer(tell: Tell) -> None:
    theft = Theft(4, 7)
    labels = np.where(CUSTOMER, BAD, -1).astype(np.int8)
    bad, customer = theft.read(told(terms(), theft, labels))
    right = (customer == CUSTOMER[theft.chosen]) & (bad == (labels == 1)[theft.chosen])
    tell(f"C3 customers of {ROWS} in one run, {MAX_BINS} bins", right.sum(), BOUND)
    assert right.size * 0.9 < right.sum() <= BOUND


def test_bins_beyond_the_contract_are_refused_before_anything_is_told() -> None:
    run, theft = terms(max_bins=MAX_BINS - 4), Theft(3, 2)
    assert (len(theft.chosen) + 1) * (theft.bins + 1) == MAX_BINS
    with pytest.raises(ProtocolError, match="more ciphertexts") as caught:
        told(run, theft, BAD)
    assert caught.value.party == "bureau"


@pytest.mark.parametrize("epsilon", [1.0, 0.1])
def test_noise_on_counts_takes_the_low_bits_away(epsilon: float, tell: Tell) -> None:
    run, clear = terms(count_epsilon=epsilon), beyond_chance(terms(), Theft(4, 8))
    blurred = max(
        beyond_chance(run, Theft(4, 8 - lowest, lowest)) for lowest in range(7)
    )
    tell(f"C3 labels beyond chance, count_epsilon {epsilon}", blurred, f"< {clear}")
    assert blurred < clear
