"""The blinded union, all parties in one process."""

import numpy as np
import pytest

from tests.protocol.conduct import conduct
from veilscore.coordinator.alignment import place_rows
from veilscore.coordinator.errors import RunError
from veilscore.keys.errors import LinkageError
from veilscore.models.script import Script
from veilscore.node.training.alignment import Alignment, align
from veilscore.v1.training_pb2 import RunContract, TrainingMessage

HOLDERS = ("agriculture", "bank", "regulator")
COORDINATOR = "coordinator"


def contract(*, cover: float = -1.0, max_rows: int = 10_000) -> RunContract:
    made = RunContract(
        run="r1", label_holder="bank", cover_ratio=cover, max_rows=max_rows
    )
    for name in HOLDERS:
        made.roster.add(party=name)
    return made


def aligned(
    sets: dict[str, list[str]], labelled: set[str], terms: RunContract
) -> tuple[dict[str, Alignment], list[tuple[str, str, TrainingMessage]]]:
    found: dict[str, Alignment] = {}

    def keep(name: str, ids: list[str]) -> Script:
        marks = np.array([name == "bank" and entity in labelled for entity in ids])
        found[name] = yield from align(
            name, tuple(sorted(sets)), COORDINATOR, "r1", ids, marks
        )

    scripts = {name: keep(name, ids) for name, ids in sets.items()}
    scripts[COORDINATOR] = place_rows(terms, tuple(sorted(sets)))
    transcript = conduct(scripts)
    return found, transcript


def people(start: int, stop: int) -> list[str]:
    return [f"X:{number:05d}" for number in range(start, stop)]


SETS = {
    "agriculture": people(0, 150),
    "bank": people(50, 200),
    "regulator": people(100, 260),
}


def test_equal_ids_share_a_row_and_unequal_ids_never_do() -> None:
    found, _ = aligned(SETS, set(people(60, 120)), contract())
    row_of: dict[int, str] = {}
    for name, ids in SETS.items():
        for entity, place in zip(ids, found[name].positions.tolist(), strict=True):
            if place >= 0:
                assert row_of.setdefault(place, entity) == entity
    places: dict[str, set[int]] = {}
    for name, ids in SETS.items():
        for entity, place in zip(ids, found[name].positions.tolist(), strict=True):
            places.setdefault(entity, set()).add(place)
    assert all(len(seen) == 1 for seen in places.values())
    rows = found["bank"].rows
    assert set(row_of) == set(range(rows))
    # Only a bucket of the union of 260 shows: 1.1^58 = 252 rows remain.
    assert rows == 252


def test_every_labelled_row_is_in_the_run() -> None:
    labelled = set(people(60, 190))
    found, _ = aligned(SETS, labelled, contract(cover=0.2))
    for entity, place in zip(SETS["bank"], found["bank"].positions, strict=True):
        assert place >= 0 or entity not in labelled
    assert len(labelled) <= found["bank"].rows < 1.2 * len(labelled) + 1


def test_nothing_an_id_could_be_read_from_leaves_a_holder() -> None:
    _, transcript = aligned(SETS, set(people(60, 120)), contract())
    for _, _, message in transcript:
        assert b"X:00" not in message.SerializeToString()


def test_no_common_entity_is_one_clear_error() -> None:
    sets = SETS | {"regulator": people(900, 950)}
    with pytest.raises(
        RunError, match="no labelled row of bank is known to regulator"
    ) as caught:
        aligned(sets, set(people(60, 120)), contract())
    assert caught.value.party == "regulator"
    assert "the same id type" in caught.value.remedy


def test_a_run_too_large_for_its_contract_is_refused() -> None:
    with pytest.raises(RunError, match="its contract allows 150"):
        aligned(SETS, set(people(60, 190)), contract(max_rows=150))


def test_duplicate_entities_are_refused_by_the_next_holder() -> None:
    sets = SETS | {"bank": [*people(50, 60), *people(50, 60)]}
    with pytest.raises(LinkageError, match="twice"):
        aligned(sets, set(people(50, 60)), contract())
