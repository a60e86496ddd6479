"""C3: a feature holder that takes labels through made-up columns.

A column whose bins add up passes the totals check, whatever its rows are. The holder
puts single customers into bins of their own weights (powers of two of some rows): the
counts that come back are its labels. What it can read is bounded by the counts it gets:
two for a bin, of ``count_bits`` each, for as many columns as the contract allows.
"""

import secrets

import numpy as np
import pytest
from numpy.typing import NDArray

from tests.attacks.conftest import Tell
from tests.protocol.plain_ring import PlainRing, RingMasks
from tests.sample_contract import sample_contract
from veilscore.models.errors import ProtocolError
from veilscore.models.vertical.feature_holder import FeatureHolder
from veilscore.models.vertical.label_holder import LabelHolder, Labels
from veilscore.models.vertical.layout import RowLayout
from veilscore.models.vertical.run import RunColumns, Terms
from veilscore.models.vertical.script import Send
from veilscore.v1.training_pb2 import (
    BinCiphertexts,
    CountAnswer,
    Counts,
    TrainingMessage,
)

ROWS, COLUMNS, MIN_COUNT = 6000, 64, 5
PARTIES = ("bank", "bureau", "market")
RNG = np.random.default_rng(3)
BAD = (RNG.random(ROWS) < 0.2).astype(np.int8)


def terms(**clauses: float) -> Terms:
    return Terms(sample_contract(PARTIES, {}, min_count=MIN_COUNT, **clauses))


def bank(run: Terms) -> LabelHolder:
    own = RunColumns(("x",), RNG.integers(0, 4, (ROWS, 1)).astype(np.uint16), (4,))
    labels = Labels(BAD, np.full(ROWS, -1, dtype=np.int8))
    return LabelHolder("bank", run, own, labels, PlainRing())


LAYOUT = RowLayout.plan(ROWS, 1, COLUMNS, PlainRing().modulus)


def made_up(
    vectors: list[int], chosen: list[NDArray[np.int64]], lowest: int
) -> CountAnswer:
    """Return two bins a column: powers of two of the chosen rows, and the rest."""
    ring = PlainRing()
    total = sum(vectors)
    answer = CountAnswer()
    for rows in chosen:
        powers = range(lowest, lowest + len(rows))
        form = sum(
            vectors[int(row)] << power for power, row in zip(powers, rows, strict=True)
        )
        bins = [
            value + LAYOUT.count_mask(secrets.randbits(LAYOUT.mask_bits))
            for value in (form, total - form)
        ]
        answer.columns.append(BinCiphertexts(ciphertexts=ring.encode(bins)))
    return answer


def steal(run: Terms, per_column: int, lowest: int = 0) -> tuple[int, int]:
    """Return how many labels a thief asks for, and how many it reads right.

    Below the power ``lowest`` it puts nothing: noise would spoil it.
    """
    victim = bank(run)
    script = victim.counts()
    sent: dict[str, TrainingMessage] = {}
    while isinstance(action := next(script), Send):
        sent[action.to] = action.message
    vectors = PlainRing().decode(sent["bureau"].encrypted_rows.ciphertexts)
    chosen = np.array_split(
        np.random.default_rng(5).permutation(ROWS)[: per_column * COLUMNS], COLUMNS
    )
    honest = FeatureHolder(
        "market",
        run,
        RunColumns(("y",), RNG.integers(0, 4, (ROWS, 1)).astype(np.uint16), (4,)),
        PlainRing(),
        dict.fromkeys(PARTIES, PlainRing()),
        RingMasks("market", run.feature_holders),
    ).counts()
    next(honest)
    market = honest.send({"bank": sent["market"]})
    assert isinstance(market, Send)
    answers = {
        "bureau": TrainingMessage(count_answer=made_up(vectors, chosen, lowest)),
        "market": market.message,
    }
    reply = script.send(answers)
    assert isinstance(reply, Send)
    assert reply.to == "bureau"
    return per_column * COLUMNS, read_right(reply.message.counts, chosen, lowest)


def read_right(counts: Counts, chosen: list[NDArray[np.int64]], lowest: int) -> int:
    """Count labels of chosen rows that follow from the counts, by their bits."""
    right = 0
    for column, rows in zip(counts.columns, chosen, strict=True):
        bad = max(0, int(column.bad[0]) + (1 << lowest >> 1))  # to the nearest
        right += sum(
            (bad >> power & 1) == BAD[row]
            for power, row in enumerate(rows.tolist(), start=lowest)
        )
    return right


def beyond_chance(run: Terms, powers: int) -> int:
    """Return the labels the best thief reads beyond what "all are good" gets right."""
    best = 0
    for lowest in range(powers - 1):
        asked, right = steal(run, powers - lowest, lowest)
        best = max(best, right - round(asked * (1 - BAD.mean())))
    return best


def attempt(per_column: int) -> tuple[int, int] | str:
    """Return what ``steal`` does, or who is caught at it."""
    try:
        return steal(terms(), per_column)
    except ProtocolError as error:
        return error.party


def test_made_up_columns_read_no_more_labels_than_their_counts_have_bits(
    tell: Tell,
) -> None:
    bound = COLUMNS * LAYOUT.count_bits
    attempts = [attempt(powers) for powers in range(1, LAYOUT.count_bits + 2)]
    through = [found for found in attempts if not isinstance(found, str)]
    # Powers that carry into the totals are caught: those are checked.
    assert set(attempts) - set(through) == {"bureau"}
    asked, right = max(through)
    tell("C3 labels in one run, 64 columns", f"{right} of {asked}", bound)
    assert asked <= bound


@pytest.mark.parametrize("epsilon", [1.0, 0.1])
def test_noise_on_counts_takes_the_low_bits_away(epsilon: float, tell: Tell) -> None:
    clear = beyond_chance(terms(), 10)
    blurred = beyond_chance(terms(count_epsilon=epsilon), 10)
    tell(f"C3 labels beyond chance, count_epsilon {epsilon}", blurred, f"< {clear}")
    assert blurred < clear
