"""The small parts of the edge: the table, the lanes, the settings."""

import logging
from pathlib import Path
from threading import Event

import numpy as np
import pytest

from veilscore.models.binning import CategoricalBins, NumericBins
from veilscore.models.errors import DataError
from veilscore.models.scorecard import Card, Feature, Scale
from veilscore.node.columns import CategoryColumn, Columns, NumericColumn
from veilscore.node.entities import Entities
from veilscore.node.errors import ScoringError
from veilscore.node.scoring.lane import Lane
from veilscore.node.scoring.settings import ScoringSettings
from veilscore.node.scoring.table import Table
from veilscore.runtime.errors import ConfigError
from veilscore.runtime.settings import load

CARD = Card(
    run="r",
    holder="bureau",
    scale=Scale(),
    granularity=1,
    features=(
        Feature(
            "kind", CategoricalBins(("a", "b"), pooled=True), (1, 2, 3, 4), (0.0,) * 4
        ),
        Feature("amount", NumericBins((5.0,), (None, None)), (10, 20, 30), (0.0,) * 3),
    ),
    parameters={},
)
COLUMNS = Columns(
    ids=Entities.of(("X:1", "X:2", "X:3", "X:4")),
    features=(
        NumericColumn("unused", np.zeros(4)),
        NumericColumn("amount", np.array([1.0, 9.0, np.nan, 5.0])),
        CategoryColumn("kind", np.array([1, 2, 0, -1], np.int32), ("a", "b", "c")),
    ),
    labels=np.full(4, -1, np.int8),
    holdout=np.zeros(4, np.bool_),
)


def test_partial_scores_follow_the_order_asked_for() -> None:
    asked = ["X:4", "X:no", "X:1", "X:3", "X:2"]
    points, known = Table(COLUMNS).partial_scores(CARD, asked)
    # level c was never in the card: it counts as "other"
    assert points.tolist() == [1 + 20, 1 + 10, 3 + 20, 2 + 10, 4 + 30]
    assert known.tolist() == [True, False, True, True, True]


def test_nobody_known_is_all_missing() -> None:
    points, known = Table(COLUMNS).partial_scores(CARD, ["X:7", "X:8"])
    assert points.tolist() == [11, 11]
    assert not known.any()


def test_a_column_that_the_card_needs_and_the_table_lacks_is_named() -> None:
    lacking = Columns(
        COLUMNS.ids, COLUMNS.features[:2], COLUMNS.labels, COLUMNS.holdout
    )
    with pytest.raises(DataError, match="kind"):
        Table(lacking).partial_scores(CARD, ["X:1"])


def test_a_full_lane_drops_the_newest(caplog: pytest.LogCaptureFixture) -> None:
    lane, gate, done = Lane("test", threads=1, most=2), Event(), list[int]()
    lane.submit(gate.wait)
    for number in range(3):
        lane.submit(done.append, number)
    assert "too much waits" in caplog.text
    gate.set()
    finished = Event()
    while not finished.is_set():  # there is room again once a job is done
        lane.submit(finished.set)
        finished.wait(0.01)
    lane.close()
    assert done == [0]


def test_a_failing_job_is_told_without_its_words(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.WARNING)
    lane = Lane("test", threads=1, most=8)
    lane.submit({"X:1": 1}.__getitem__, "X:2")
    lane.submit(fail)
    done = Event()
    lane.submit(done.set)
    assert done.wait(10)
    lane.close()
    assert "KeyError" in caplog.text
    assert "X:2" not in caplog.text
    assert "for people" in caplog.text


def fail() -> None:
    raise ScoringError("for people")


def test_a_closed_lane_does_nothing() -> None:
    lane, done = Lane("test", threads=1, most=1), list[int]()
    lane.close()
    for number in range(3):
        lane.submit(done.append, number)
    assert done == []


def test_an_absent_table_answers_nobody() -> None:
    settings = ScoringSettings()
    assert (settings.requesters, settings.purposes) == ((), ())
    assert not settings.allow_two_party


def test_settings_are_read_and_checked(tmp_path: Path) -> None:
    path = tmp_path / "scoring.toml"
    path.write_text('requesters = ["bank"]\npurposes = ["pre_loan", "audit"]\n')
    expected = ScoringSettings(requesters=("bank",), purposes=("pre_loan", "audit"))
    assert load(path, ScoringSettings) == expected
    for line in (
        'purposes = ["marketing"]',
        "max_entities = 0",
        "max_entities = 10001",
        'requesters = [""]',
        "allow_two_parties = true",
    ):
        path.write_text(line)
        with pytest.raises(ConfigError):
            load(path, ScoringSettings)
