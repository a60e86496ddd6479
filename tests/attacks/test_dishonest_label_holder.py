"""A label holder that packs other plaintexts than the protocol says gets no more.

Over plain integers: encryption changes nothing about what the answers hold.
"""

import numpy as np
import pytest

from tests.protocol.plain_ring import MODULUS, PlainRing, RingMasks
from tests.sample_contract import sample_contract
from veilscore.models.errors import BoundError, ProtocolError
from veilscore.models.vertical.feature_holder import FeatureHolder
from veilscore.models.vertical.layout import RowLayout
from veilscore.models.vertical.run import RunColumns, Terms
from veilscore.models.vertical.script import Script, Send
from veilscore.v1.training_pb2 import (
    BinCounts,
    Block,
    Counts,
    EncryptedRows,
    Slope,
    TrainingMessage,
)

ROWS, BINS = 3000, (5, 7)
COLUMNS = np.column_stack(
    [np.random.default_rng(1).integers(0, size, ROWS) for size in BINS]
).astype(np.uint16)


def victim() -> FeatureHolder:
    contract = sample_contract(("bank", "bureau", "market"))
    ring, terms = PlainRing(), Terms(contract)
    return FeatureHolder(
        "market",
        terms,
        RunColumns(("a", "b"), COLUMNS, BINS),
        ring,
        dict.fromkeys(("bank", "bureau"), ring),
        RingMasks("market", terms.feature_holders),
    )


def say(script: Script, sender: str, message: TrainingMessage) -> TrainingMessage:
    """Let the sender say something; returns what the victim answers."""
    while isinstance(next(script), Send):
        pass
    action = script.send({sender: message})
    assert isinstance(action, Send)
    return action.message


def counted() -> FeatureHolder:
    """Return a victim that has been through the counts, with made-up ones."""
    holder = victim()
    script = holder.counts()
    say(script, "bank", rows([1] * ROWS, columns=1))
    made_up = Counts(
        columns=[
            BinCounts(
                good=[10**power for power in range(size)],
                bad=[5] * size,
                pool=[0] * size,
            )
            for size in BINS
        ]
    )
    next(script)
    with pytest.raises(StopIteration):
        script.send({"bank": TrainingMessage(counts=made_up)})
    return holder


def rows(values: list[int], columns: int) -> TrainingMessage:
    blob = PlainRing().encode(values + [0] * (ROWS - len(values)))
    return TrainingMessage(
        encrypted_rows=EncryptedRows(ciphertexts=blob, columns=columns)
    )


def read(bits: int, start: int) -> int:
    """Return of how many rows, one bit each from ``start`` up, a bin shows."""
    sent = [1 << start + row for row in range(bits)]
    answer = say(victim().counts(), "bank", rows(sent, columns=1)).count_answer
    found = 0
    for column, codes in zip(answer.columns, COLUMNS.T, strict=True):
        sums = PlainRing().decode(column.ciphertexts)
        # Bins come in a random order; a bin that holds a row alone shows its bit.
        shown = [
            {b for b, v in enumerate(sums) if v >> (start + r) & 1} for r in range(bits)
        ]
        homes: dict[int, set[int]] = {}
        for row, bins in enumerate(shown):
            homes[int(codes[row])] = homes.get(int(codes[row]), bins) & bins
        found += sum(
            len(bins) == 1 and bins == homes[int(codes[row])]
            for row, bins in enumerate(shown)
        )
    return found


def test_counts_show_a_bit_for_every_bit_of_the_count_slots_only() -> None:
    layout = RowLayout.plan(ROWS, 1, 64, MODULUS)
    assert read(2 * layout.count_bits, 0) == 2 * 2 * layout.count_bits


@pytest.mark.parametrize("from_top", [2000, 1500, 1000, 500, 70])
def test_above_the_count_slots_everything_is_masked(from_top: int) -> None:
    assert read(60, MODULUS.bit_length() - from_top) < 12


@pytest.mark.parametrize("columns", [65, 1000, 4_000_000_000])
def test_more_columns_than_the_contract_allows_are_refused(columns: int) -> None:
    with pytest.raises(ProtocolError, match="0 to 64 may be") as caught:
        say(victim().counts(), "bank", rows([], columns))
    assert caught.value.party == "bank"


@pytest.mark.parametrize("columns", [0, 65])
def test_cross_moments_need_the_columns_of_the_contract(columns: int) -> None:
    with pytest.raises(ProtocolError, match="1 to 64 may be") as caught:
        say(counted().cross(), "bureau", rows([], columns))
    assert caught.value.party == "bureau"


@pytest.mark.parametrize("weight", [1e6, -1e6, float("nan"), float("inf")])
def test_a_solution_that_would_leave_the_slots_is_refused(weight: float) -> None:
    block = TrainingMessage(block=Block(weights=[weight, 0.0]))
    with pytest.raises(ProtocolError, match="a solution"):
        say(victim().solve(), "bank", block)


@pytest.mark.parametrize("factor", [0.0, -1.0, 1e6, float("nan"), float("inf")])
def test_a_slope_that_would_leave_the_slots_is_refused(factor: float) -> None:
    with pytest.raises(ProtocolError, match="slope"):
        say(counted().calibrate(), "bank", TrainingMessage(slope=Slope(factor=factor)))


def test_scores_that_do_not_fit_their_slots_never_leave() -> None:
    holder = counted()
    block = TrainingMessage(block=Block(weights=[600.0, 600.0]))
    solving, scoring = holder.solve(), holder.calibrate()
    next(solving)
    with pytest.raises(StopIteration):
        solving.send({"bank": block})
    assert isinstance(next(scoring), Send)
    next(scoring)
    with pytest.raises(StopIteration):
        scoring.send({"bank": TrainingMessage(slope=Slope(factor=1000.0))})
    with pytest.raises(BoundError, match="slot"):
        next(holder.evaluate())
