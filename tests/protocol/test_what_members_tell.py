"""A member's rows do not show in what it tells the coordinator and the log."""

import threading
from collections.abc import Generator, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest

from tests.protocol.score_world import START, People, world
from tests.protocol.training_scene import (
    LEARNING,
    MEMBERS,
    TrainingScene,
    horizontal_contract,
    loans,
)
from veilscore.models import card_file
from veilscore.models.horizontal.ports import Words
from veilscore.models.scorecard import Card
from veilscore.node.columns import Columns
from veilscore.node.training.horizontal import HorizontalPart
from veilscore.node.training.horizontal_estimate import Learning
from veilscore.node.training.policy import TrainingSettings
from veilscore.v1.training_pb2 import StepReport, StepRequest

RUN = "5a" * 16


@pytest.fixture
def scene(tmp_path: Path, people: People) -> Iterator[TrainingScene]:
    settings = TrainingSettings(approve_horizontal="automatic")
    with world(tmp_path, people) as hub:
        yield TrainingScene(hub, people, tmp_path / "runs.db", settings)


def told_at_join(scene: TrainingScene, run: str, rows: int) -> StepReport:
    scene.source = loans(rows)
    contract = scene.contract(run, None).SerializeToString(deterministic=True)
    request = StepRequest(contract=contract).SerializeToString()
    return StepReport.FromString(scene.desk.handle(run, "join", request, "message"))


def test_tables_of_any_size_have_the_same_estimate(scene: TrainingScene) -> None:
    """The operator is shown that of the own rows."""
    small = told_at_join(scene, "1" * 32, 400)
    scene.now = START + 86_400
    large = told_at_join(scene, "2" * 32, 40_000)
    assert small == large
    contract = scene.contract("3" * 32, None)
    most = Learning.of(contract, contract.max_rows).at(LEARNING)
    assert large.estimated_s == most.told_s
    shown = scene.desk.approvals.estimate(contract, scene.surroundings())
    assert shown.told_s < most.told_s


@dataclass
class InTheOpen:
    """One sum after the other, of threads; no member shows its vector to the next."""

    barrier: threading.Barrier = field(
        default_factory=lambda: threading.Barrier(len(MEMBERS))
    )
    given: dict[str, Words] = field(default_factory=dict[str, Words])

    def add(self, party: str, words: Words) -> Words:
        self.given[party] = words
        self.barrier.wait(60)
        total = np.sum(np.stack([*self.given.values()]), axis=0, dtype=np.uint64)
        self.barrier.wait(60)
        return cast("Words", total)


@dataclass
class OwnSums:
    party: str
    all: InTheOpen

    def add(
        self, _label: str, words: Words, *, whole: bool
    ) -> Generator[Any, Any, Words]:
        del whole
        yield None
        return self.all.add(self.party, words)


class NoKeys:
    def meet(self) -> None:
        """Exchange nothing: vectors are added in the open."""


def ended(script: Generator[Any, Any, Any]) -> Any:  # noqa: ANN401
    try:
        while True:
            next(script)
    except StopIteration as over:
        return over.value


def parts(
    scene: TrainingScene, tables: Mapping[str, Columns]
) -> dict[str, HorizontalPart]:
    """Let members train over these tables, as far as their cards."""
    prints = scene.people.registry.fingerprints()
    contract = horizontal_contract(prints, RUN, rounds=2)
    everybody = InTheOpen()
    made = {
        name: HorizontalPart(
            replace(scene.surroundings(), party=name, source=tables[name]),
            contract,
            cast("Any", NoKeys()),
            ended,
            cast("Any", OwnSums(name, everybody)),
        )
        for name in MEMBERS
    }

    def train(part: HorizontalPart) -> None:
        for step in ("bins", "round-1", "round-2", "evaluate"):
            part.perform(step)

    with ThreadPoolExecutor(len(MEMBERS)) as pool:
        for each in [pool.submit(train, part) for part in made.values()]:
            each.result(120)
    return made


def with_bads(part: float, seed: int) -> Columns:
    """Return a table of which about this part of the labels are bad."""
    table = loans()
    bad = np.random.default_rng(seed).random(len(table)) < part
    return replace(table, labels=bad.astype(np.int8))


def test_others_are_told_the_same_of_cards_with_different_intercepts(
    scene: TrainingScene,
) -> None:
    rates = {"bank": 0.02, "bureau": 0.4, "market": 0.9}
    tables = {name: with_bads(rate, 3) for name, rate in rates.items()}
    made = parts(scene, tables)
    cards = {name: part.card() for name, part in made.items()}
    assert len({card.intercept_points for card in cards.values()}) == len(MEMBERS)
    assert len({card.features for card in cards.values()}) == 1
    assert len({card.max_abs_points for card in cards.values()}) == len(MEMBERS)
    bounds = {made[name].bound(card) for name, card in cards.items()}
    assert len(bounds) == 1
    assert min(bounds) > max(card.max_abs_points for card in cards.values())


def test_a_card_larger_than_usual_is_still_bounded(scene: TrainingScene) -> None:
    made = parts(scene, dict.fromkeys(MEMBERS, loans()))["bank"]
    card = made.card()
    large = replace(card, intercept_points=1_000_000)
    assert made.bound(card) < large.max_abs_points < made.bound(large)


def test_nobody_knows_a_card_by_its_digest(scene: TrainingScene) -> None:
    """Of a member without bads others would know all of the card."""
    tables = {name: with_bads(0.3, seed) for seed, name in enumerate(MEMBERS)}
    tables["bank"] = with_bads(0.0, 0)
    made = parts(scene, tables)
    card, others = made["bank"].card(), made["bureau"].card()
    assert card.parameters["own"] == "nothing"
    guessed = replace(
        others,
        holder="bank",
        intercept=card.intercept,
        intercept_points=card.intercept_points,
        parameters={**others.parameters, "own": "nothing"},
    )
    assert digest(guessed) != digest(card)
    salted = {**guessed.parameters, "salt": card.parameters["salt"]}
    assert digest(replace(guessed, parameters=salted)) == digest(card)


def digest(card: Card) -> bytes:
    return card_file.digest(card_file.encode(card))
