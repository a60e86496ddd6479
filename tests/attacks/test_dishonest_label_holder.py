"""A label holder that packs other plaintexts than the protocol says gets no more.

Over plain integers: encryption changes nothing about what the answers hold.
"""

import math
from itertools import combinations

import numpy as np
import pytest

from tests.conftest import Tell
from tests.protocol.conduct import Talk
from tests.protocol.plain_ring import MODULUS, PlainRing, RingMasks
from tests.sample_contract import sample_contract
from veilscore.models.errors import ProtocolError
from veilscore.models.script import Script
from veilscore.models.vertical.feature_holder import FeatureHolder
from veilscore.models.vertical.layout import (
    RowLayout,
    rotated_bound,
    signed_width,
    split,
    to_signed,
)
from veilscore.models.vertical.run import RunColumns, Terms
from veilscore.v1.training_pb2 import (
    BinCounts,
    Block,
    Counts,
    CrossOrder,
    EncryptedRows,
    Slope,
    TrainingMessage,
)

ROWS, BINS = 3000, (5, 7)
COLUMNS = np.column_stack(
    [np.random.default_rng(1).integers(0, size, ROWS) for size in BINS]
).astype(np.uint16)


def victim(columns: RunColumns | None = None) -> FeatureHolder:
    contract = sample_contract(("bank", "bureau", "market"))
    ring, terms = PlainRing(), Terms(contract)
    return FeatureHolder(
        "market",
        terms,
        columns or RunColumns(("a", "b"), COLUMNS, BINS),
        ring,
        dict.fromkeys(("bank", "bureau"), ring),
        RingMasks("market", terms.feature_holders),
    )


def say(script: Script, sender: str, message: TrainingMessage) -> TrainingMessage:
    """Let the sender say something; returns what the victim answers last."""
    talk = Talk(script)
    talk.begin()
    return talk.tell({sender: message})[-1].message


def counted(values: list[int] | None = None) -> FeatureHolder:
    """Return a victim that has been through the counts, with made-up ones.

    ``values`` are the plaintexts of the rows, all 1 unless given.
    """
    holder = victim()
    talk = Talk(holder.counts())
    talk.begin()
    talk.tell({"bank": rows(values or [1] * ROWS, columns=1)})
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
    talk.tell({"bank": TrainingMessage(counts=made_up)})
    assert talk.waits is None
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


def placed(bins: int, asked: int) -> int:
    """Return how many rows are put into their bins by random weights in both slots.

    The sum over a bin tells which rows it holds: few sets of them have that sum.
    """
    rng = np.random.default_rng(bins)
    codes = rng.integers(0, bins, (ROWS, 1)).astype(np.uint16)
    seen = 1 << 2 * RowLayout.plan(ROWS, 1, 64, MODULUS).count_bits
    weights = rng.integers(1, seen, asked).tolist()
    sets = {
        sum(weights[row] for row in chosen) % seen: set(chosen)
        for size in range(5)
        for chosen in combinations(range(asked), size)
    }
    script = victim(RunColumns(("a",), codes, (bins,))).counts()
    answer = say(script, "bank", rows(weights, columns=1)).count_answer
    sums = PlainRing().decode(answer.columns[0].ciphertexts)
    truth = [set(np.flatnonzero(codes[:asked, 0] == code)) for code in range(bins)]
    guessed = [sets.get(value % seen, set()) for value in sums]
    return sum(len(guess) for guess in guessed if guess in truth)


def test_the_count_slots_show_bins_of_rows_up_to_their_bits(tell: Tell) -> None:
    layout = RowLayout.plan(ROWS, 1, 64, MODULUS)
    assert read(2 * layout.count_bits, 0) == 2 * 2 * layout.count_bits
    for bins, asked in ((5, 7), (20, 30), (50, 60)):
        bound = int(bins * 2 * layout.count_bits / math.log2(bins))
        got = placed(bins, asked)
        tell(f"C3b rows placed in a column of {bins} bins", f"{got} of {asked}", bound)
        assert asked * 0.6 <= got <= bound


def test_code_slots_show_rotated_codes_of_as_many_rows_as_fit(tell: Tell) -> None:
    """A row alone in a slot of its own: the sums are its rotated codes."""
    width = signed_width(rotated_bound(len(BINS)))
    fit = (MODULUS.bit_length() - 1) // width
    holder = counted([1 << row * width for row in range(fit)])
    (sent,) = Talk(holder.moments()).begin()
    sums = PlainRing().decode(sent.message.moments.ciphertexts)
    signed = [to_signed(value, MODULUS) for value in sums]
    read_codes = np.array([split(value, [width] * fit, "market") for value in signed])
    # Rows of the same bins have the same codes, and others mostly others.
    kinds = {tuple(bins) for bins in COLUMNS[:fit]}
    both = {(*code, *bins) for code, bins in zip(read_codes.T, COLUMNS, strict=False)}
    assert len(both) == len(kinds)
    assert len({tuple(code) for code in read_codes.T}) > len(kinds) / 2
    tell("C3b rows whose rotated codes are read, 2048 bits", read_codes.shape[1], fit)


@pytest.mark.parametrize("above", [0, 5, 22, 100, 900])
def test_above_the_count_slots_everything_is_masked(above: int) -> None:
    start = 2 * RowLayout.plan(ROWS, 1, 64, MODULUS).count_bits + above
    assert read(60, start) < 12


@pytest.mark.parametrize("columns", [65, 1000, 4_000_000_000])
def test_more_columns_than_the_contract_allows_are_refused(columns: int) -> None:
    with pytest.raises(ProtocolError, match="0 to 64 may be") as caught:
        say(victim().counts(), "bank", rows([], columns))
    assert caught.value.party == "bank"


@pytest.mark.parametrize("columns", [0, 65])
def test_cross_moments_need_the_columns_of_the_contract(columns: int) -> None:
    talk = Talk(counted().cross())
    talk.begin()
    order = CrossOrder(parties=["bureau", "market"])
    talk.tell({"bank": TrainingMessage(cross_order=order)})
    with pytest.raises(ProtocolError, match="1 to 64 may be") as caught:
        talk.tell({"bureau": rows([], columns)})
    assert caught.value.party == "bureau"


def test_counts_that_single_rows_out_are_refused() -> None:
    """Weights by them would make second moments of some 86 rows in these bins."""
    codes = np.random.default_rng(2).integers(0, BINS, (ROWS, 2)).astype(np.uint16)
    holder = victim(RunColumns(("a", "b"), codes, BINS))
    talk = Talk(holder.counts())
    talk.begin()
    talk.tell({"bank": rows([1] * ROWS, columns=1)})
    made_up = Counts(
        columns=[
            BinCounts(
                good=[10**9, *[0] * (size - 1)],
                bad=[10**9, *[0] * (size - 1)],
                pool=[0] * size,
            )
            for size in BINS
        ]
    )
    holder.terms.contract.min_count = 12
    with pytest.raises(ProtocolError, match=r"one in \d\d of .* 120 may be") as caught:
        talk.tell({"bank": TrainingMessage(counts=made_up)})
    assert caught.value.party == "bank"


@pytest.mark.parametrize("weight", [1e6, -1e6, float("nan"), float("inf")])
def test_a_solution_that_would_leave_the_slots_is_refused(weight: float) -> None:
    block = TrainingMessage(block=Block(weights=[weight, 0.0]))
    with pytest.raises(ProtocolError, match="a solution"):
        say(victim().solve(), "bank", block)


@pytest.mark.parametrize("factor", [0.0, -1.0, 1e6, float("nan"), float("inf")])
def test_a_slope_that_would_leave_the_slots_is_refused(factor: float) -> None:
    with pytest.raises(ProtocolError, match="slope"):
        say(counted().calibrate(), "bank", TrainingMessage(slope=Slope(factor=factor)))


def score(holder: FeatureHolder, weight: float, factor: float) -> None:
    """Give the victim a solution and a slope, and ask for its final scores."""
    solution = TrainingMessage(block=Block(weights=[weight] * len(BINS)))
    solving, scoring = Talk(holder.solve()), Talk(holder.calibrate())
    solving.begin()
    solving.tell({"bank": solution})
    assert solving.waits is None
    scoring.begin()
    scoring.tell({"bank": TrainingMessage(slope=Slope(factor=factor))})
    assert scoring.waits is None
    (sent,) = Talk(holder.evaluate()).begin()
    assert sent.message.HasField("score_share")


def test_scores_that_would_hold_more_than_a_score_needs_never_leave() -> None:
    score(counted(), 0.1, 1.0)  # whatever the rotation is
    for weight, factor in ((600.0, 1.0), (1.0, 1000.0)):
        with pytest.raises(ProtocolError, match="more than 800 points") as caught:
            score(counted(), weight, factor)
        assert caught.value.party == "bank"
