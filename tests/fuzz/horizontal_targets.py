"""Sums that a member of horizontal training is told, before it believes them."""

from collections.abc import Callable, Mapping
from typing import Final

import numpy as np

from tests.fuzz.stock import Stock
from tests.fuzz.target import Target
from veilscore.models.horizontal.bins import ColumnTerms, agree_bins
from veilscore.models.horizontal.local_training import LocalLearner
from veilscore.models.horizontal.ports import Words
from veilscore.models.horizontal.rounds import train
from veilscore.models.horizontal.script import Contribution, Script, drive
from veilscore.models.horizontal.terms import Members, Terms
from veilscore.models.scorecard import Column

TERMS: Final = Terms(
    run="5f", members=Members(most=5, most_rows=100), rounds=2, batch=100
)
_COLUMNS: Final = (ColumnTerms("age", "number"), ColumnTerms("state", "text"))
_ROWS: Final = 60


def _told(script: Script[object], data: bytes) -> object:
    """Run a script whose sums are of three alike, one of them with another head.

    The first byte says which, the others are its first words.
    """
    body = data[1 : 1 + (len(data) - 1) // 8 * 8] if data else b""
    head = np.frombuffer(body, "<u8").astype(np.uint64)
    labels: list[str] = []

    def add(label: str, words: Words) -> Words:
        summed = words * np.uint64(3)
        if data and len(labels) == data[0] % 4:
            shared = min(head.size, summed.size)
            summed[:shared] = head[:shared]
        labels.append(label)
        return summed

    return drive(script, add)


def _values() -> dict[str, Column]:
    ages = np.arange(_ROWS) % 31 / 2
    states: list[str | None] = [f"S{row % 4}" for row in range(_ROWS)]
    return {"age": ages, "state": states}


def _first(script: Script[object]) -> bytes:
    contribution: Contribution = next(script)
    return b"\0" + (contribution.words * np.uint64(3)).astype("<u8").tobytes()


def sums_of_counts(_: Stock) -> Target:
    def script() -> Script[object]:
        return agree_bins(_COLUMNS, _values(), TERMS)

    honest = _first(script())
    return Target(lambda data: _told(script(), data), [honest, honest[:81]], share=0.1)


def sum_of_a_round(_: Stock) -> Target:
    codes = (np.arange(_ROWS)[:, None] % np.array([4, 3])).astype(np.uint16)
    learner = LocalLearner(codes, np.arange(_ROWS) % 5 == 0, [4, 3], TERMS)

    def script() -> Script[object]:
        return train(learner, 8, 3 * _ROWS, TERMS)

    honest = _first(script())
    return Target(lambda data: _told(script(), data), [honest, honest[:25]], share=0.3)


TARGETS: Final[Mapping[str, Callable[[Stock], Target]]] = {
    "sums of counts": sums_of_counts,
    "sum of a round": sum_of_a_round,
}
