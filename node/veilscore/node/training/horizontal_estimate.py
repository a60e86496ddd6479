"""What a horizontal run asks of this node: torch steps over its rows, and sums to send.

Counted from the contract and the own rows, at the speed of this host. How many bins the
members will choose, and how many buckets they divide for it, is not known yet: numbers
are taken to have deciles and to be divided ten times, texts to be declared or common.

Learns nothing. The own operator is shown it; the coordinator is told that of the most
rows a contract allows, which says nothing of the own.
"""

import time
from dataclasses import dataclass
from typing import Final, Self

import numpy as np

from veilscore.keys.aggregation.terms import fewest_of
from veilscore.models.horizontal.number_counts import COARSE, FINE
from veilscore.models.horizontal.run import terms_of
from veilscore.models.horizontal.terms import Members, Terms
from veilscore.models.steps import steps
from veilscore.node.training.estimate import BINS, STEP_S, Estimate
from veilscore.v1.training_pb2 import JointColumn, RunContract

_WORD: Final = 8
_NUMBER: Final = 2041 + 10 * (1 << COARSE - FINE)  # words of a column, all passes
_TEXT: Final = 1 + 3 * 512 + 3 * 128 * 18
_BIN_SUMS: Final = 3
# Of one sum, beside the vector: a member's signed messages in their envelopes, and its
# shares for every member.
_MESSAGES: Final = 2400
_SHARES: Final = 240
# A step of local training takes each column's table by itself, and so long besides.
_BESIDES: Final = 8  # tables

_COLUMNS: Final = 16
_STEPS, _BATCH, _ROWS = 8, 64, 8192


@dataclass(frozen=True, slots=True)
class LearningSpeed:
    """Seconds of local training on this host."""

    table_s: float  # of one step, for one column
    cell_s: float  # of one row, for one column

    @classmethod
    def measure(cls) -> Self:
        """Try it on empty rows: some tenths of a second, once torch is loaded."""
        many = _learn(_STEPS * _BATCH, _BATCH)
        cell_s = _learn(_ROWS, _ROWS) / (_ROWS * _COLUMNS)
        steps_s = max(0.0, many - cell_s * _STEPS * _BATCH * _COLUMNS)
        return cls(steps_s / (_STEPS * (_COLUMNS + _BESIDES)), cell_s)


@dataclass(frozen=True, slots=True)
class Learning:
    """How much of it a run asks of a member, and how many bytes it sends."""

    tables: int  # taken in steps of training
    cells: int  # rows times columns, each time that they are gone through
    steps: int
    sent_bytes: int

    @classmethod
    def of(cls, contract: RunContract, rows: int) -> Self:
        """Count it for a member with so many rows; raises DataError.

        With noise a member goes through its rows once a round, in one step.
        """
        asked = contract.horizontal
        least = fewest_of(contract)
        terms, columns = terms_of(contract, least), len(asked.columns)
        passes, batches = terms.rounds, terms.rounds
        if terms.privacy is None:
            passes *= terms.local_epochs
            batches = passes * -(-rows // terms.batch)
        words = sum(map(_words, asked.columns)) + terms.rounds * BINS * columns
        each = _MESSAGES + _SHARES * len(contract.roster)
        return cls(
            tables=batches * (columns + _BESIDES),
            cells=passes * rows * columns,
            steps=sum(1 for _ in steps(contract)),
            # The rounds', the bins', and two in which the members compare.
            sent_bytes=_WORD * words + (terms.rounds + _BIN_SUMS + 2) * each,
        )

    def at(self, speed: LearningSpeed) -> Estimate:
        """Return what that is on a host of this speed."""
        seconds = speed.table_s * self.tables + speed.cell_s * self.cells
        return Estimate(seconds + STEP_S * self.steps, self.sent_bytes)


def _words(column: JointColumn) -> int:
    if not column.text:
        return _NUMBER
    return len(column.levels) + 2 if column.levels else _TEXT


def _learn(rows: int, batch: int) -> float:
    """Return how many seconds one epoch takes, the second of two."""
    from veilscore.models.horizontal.local_training import LocalLearner  # noqa: PLC0415 - torch

    codes = np.zeros((rows, _COLUMNS), np.uint16)
    terms = Terms("", Members(3), batch=batch)
    learner = LocalLearner(codes, np.zeros(rows, np.bool_), [BINS] * _COLUMNS, terms)
    model, taken = np.zeros(BINS * _COLUMNS + 1), 0.0
    for number in (1, 2):
        began = time.perf_counter()
        learner.learn(model, number, float(rows))
        taken = time.perf_counter() - began
    return taken
