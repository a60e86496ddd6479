"""What a member expects of a horizontal run is what its scripts and sums then do."""

from collections import Counter
from dataclasses import replace
from unittest.mock import patch

import numpy as np
import pytest

from tests.protocol.aggregation_round import Attempt, terms, vectors
from tests.protocol.training_scene import NOISE, horizontal_contract
from veilscore.models.horizontal.bins import JointBins, agree_bins
from veilscore.models.horizontal.local_training import LocalLearner
from veilscore.models.horizontal.ports import Words
from veilscore.models.horizontal.rounds import train
from veilscore.models.horizontal.run import columns_of, terms_of
from veilscore.models.horizontal.script import Script, drive
from veilscore.node.training.horizontal_estimate import Learning, LearningSpeed
from veilscore.v1.training_pb2 import HorizontalPrivacy, JointColumn

ROWS, NUMBERS = 3000, 6
MEMBERS = 3


def alike(script: Script[JointBins]) -> tuple[JointBins, int]:
    """Run a script among members with the same rows; return the words that one sent."""
    sent = 0

    def add(_: str, words: Words) -> Words:
        nonlocal sent
        sent += words.size
        return words * np.uint64(MEMBERS)

    return drive(script, add), sent


@pytest.mark.parametrize("kind", ["normal", "lognormal", "uniform"])
def test_the_sums_are_about_as_long_as_expected(kind: str) -> None:
    draw = np.random.default_rng(3)
    values = {f"c{at}": getattr(draw, kind)(size=ROWS) for at in range(NUMBERS)}
    contract = horizontal_contract(
        {}, "r1", columns=[JointColumn(name=name) for name in values], rounds=1
    )
    asked = terms_of(contract, MEMBERS)
    bins, sent = alike(agree_bins(columns_of(contract), values, asked))
    assert bins.rows == MEMBERS * ROWS
    expected = Learning.of(contract, ROWS).sent_bytes / 8
    assert sent / 2 < expected < 3 * sent


@pytest.mark.parametrize("members", [3, 10])
def test_the_messages_of_a_sum_are_about_as_many_bytes_as_expected(
    members: int,
) -> None:
    agreed = terms(members, length=10)
    attempt = Attempt(agreed, vectors(agreed))
    attempt.play()
    sent = sum(len(each["county-0"]) for each in attempt.sent.values())
    contract = horizontal_contract({}, "r1")
    del contract.roster[:]
    for name in agreed.names:
        contract.roster.add(party=name)

    def expected(rounds: int) -> int:
        contract.horizontal.rounds = rounds
        return Learning.of(contract, ROWS).sent_bytes

    parameters = 8 * 11 * len(contract.horizontal.columns)
    one = expected(11) - expected(10) - parameters
    # Sealing and the questions come on top of what is signed.
    assert sent / 2 < one < 3 * sent


@pytest.mark.parametrize("noise", [None, NOISE])
def test_the_rows_are_gone_through_as_often_as_expected(
    noise: HorizontalPrivacy | None,
) -> None:
    contract = horizontal_contract({}, "r1", noise, rounds=4, local_epochs=3, batch=100)
    asked, done = terms_of(contract, MEMBERS), Counter[str]()
    draw = np.random.default_rng(5)
    codes = draw.integers(0, 11, (ROWS, 2)).astype(np.uint16)
    learner = LocalLearner(codes, draw.random(ROWS) < 0.5, [11, 11], asked)
    descend = LocalLearner._descend  # pyright: ignore[reportPrivateUsage]
    gradient = LocalLearner.clipped_gradient

    def descended(self: LocalLearner, *about: object) -> None:
        done["steps"] += 1
        done["cells"] += 2 * len(about[2])  # type: ignore[arg-type]
        descend(self, *about)  # type: ignore[arg-type]

    def clipped(self: LocalLearner, model: np.ndarray) -> np.ndarray:
        done["steps"] += 1
        done["cells"] += codes.size
        return gradient(self, model)

    def add(_: str, words: Words) -> Words:
        return words * np.uint64(MEMBERS)

    with (
        patch.object(LocalLearner, "_descend", descended),
        patch.object(LocalLearner, "clipped_gradient", clipped),
    ):
        drive(train(learner, 23, MEMBERS * ROWS, asked), add)
    expected = Learning.of(contract, ROWS)
    assert expected.cells == done["cells"]
    assert expected.tables == done["steps"] * (2 + 8)


def test_seconds_are_those_of_all_steps_together() -> None:
    work = Learning(tables=30, cells=4000, steps=0, sent_bytes=77)
    speed = LearningSpeed(table_s=0.1, cell_s=0.001)
    assert work.at(speed).seconds == pytest.approx(3 + 4)
    assert work.at(speed).sent_bytes == 77
    assert replace(work, steps=9).at(speed).seconds > work.at(speed).seconds


def test_the_speed_of_this_host_is_measured() -> None:
    speed = LearningSpeed.measure()
    assert 0 < speed.cell_s < 1e-3
    assert 0 <= speed.table_s < 1
