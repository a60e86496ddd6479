"""H6 where a set goes round the ring in parts: none is left out or exchanged."""

from collections.abc import Callable, Iterator

import numpy as np
import pytest

from tests.protocol.conduct import conduct
from tests.protocol.test_alignment import (
    COORDINATOR,
    HOLDERS,
    SETS,
    aligned,
    contract,
    people,
)
from veilscore.coordinator.alignment import place_rows
from veilscore.fault import Fault
from veilscore.keys import point_set
from veilscore.keys.errors import LinkageError
from veilscore.models.script import Script, Send
from veilscore.node.training.alignment import Alignment, align
from veilscore.v1.training_pb2 import BlindedSet, TrainingMessage

CHEAT = "regulator"  # raises the bureau's set as the last, the bank's as the second
PART = 60  # each set of 214 or 236 entries goes in four parts
Sets = list[BlindedSet]


@pytest.fixture(autouse=True)
def small_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(point_set, "PART", PART)


def test_equal_ids_share_a_row_however_many_parts_there_are() -> None:
    found, transcript = aligned(SETS, set(people(60, 120)), contract())
    parts = [
        (message.blinded_set.part, message.blinded_set.parts)
        for _, _, message in transcript
        if message.HasField("blinded_set")
    ]
    assert sorted(set(parts)) == [(part, 4) for part in range(4)]
    assert len(parts) == 4 * len(HOLDERS) ** 2
    places: dict[str, set[int]] = {}
    for name, ids in SETS.items():
        for entity, place in zip(ids, found[name].positions.tolist(), strict=True):
            places.setdefault(entity, set()).add(place)
    assert all(len(each) == 1 for each in places.values())
    rows = [place for each in places.values() for place in each if place >= 0]
    assert sorted(rows) == list(range(found["bank"].rows))


def retelling(script: Script, owner: str, retell: Callable[[Sets], Sets]) -> Script:
    """Play a holder's script, but hold one owner's set back and pass on another."""
    held: list[Send] = []
    action = next(script)
    while True:
        blinded = action.message.blinded_set if isinstance(action, Send) else None
        if isinstance(action, Send) and blinded is not None and blinded.owner == owner:
            held.append(action)
            arrived = None
            if blinded.part + 1 == blinded.parts:
                for each in retell([send.message.blinded_set for send in held]):
                    yield Send(action.to, TrainingMessage(blinded_set=each))
        else:
            arrived = yield action
        try:
            action = script.send(arrived or {})
        except StopIteration:
            return


def exchange_points(sets: Sets) -> Sets:
    sets[0].points, sets[1].points = sets[1].points, sets[0].points
    return sets


def exchange_over_parts(sets: Sets) -> Sets:
    """Swap the first entries of two parts: the owner's rows get each other's data."""
    first, second = sets[0].points, sets[1].points
    sets[0].points = second[:32] + first[32:]
    sets[1].points = first[:32] + second[32:]
    return sets


def send_one_for_another(sets: Sets) -> Sets:
    sets[1].points = sets[0].points
    return sets


def renumbered(sets: Sets) -> Iterator[BlindedSet]:
    for part, each in enumerate(sets):
        each.part, each.parts = part, len(sets)
        yield each


LIES: dict[str, tuple[Callable[[Sets], Sets], str]] = {
    "two parts exchanged": (exchange_points, "another set of"),
    "entries of two parts exchanged": (exchange_over_parts, "another set of"),
    "one part twice": (send_one_for_another, "twice"),
    "a part out of turn": (lambda sets: [sets[1], sets[0], *sets[2:]], "out of turn"),
    "a part left out": (lambda sets: [sets[0], *sets[2:]], "out of turn"),
    "the last part for the rest": (lambda sets: sets[-1:], "out of turn"),
    "a part left out, renumbered": (
        lambda sets: list(renumbered([sets[0], *sets[2:]])),
        "another set of",
    ),
    "a short part in the middle": (
        lambda sets: list(renumbered([sets[0], sets[3], sets[1]])),
        "a part of",
    ),
}


@pytest.mark.parametrize("lie", LIES)
@pytest.mark.parametrize("owner", ["agriculture", "bank"])
def test_a_hop_that_changes_parts_is_named(lie: str, owner: str) -> None:
    """Of agriculture's set it is the last hop, of the bank's not."""
    retell, message = LIES[lie]

    def holder(name: str) -> Script:
        marks = np.full(len(SETS[name]), name == "bank")
        yield from align(name, HOLDERS, COORDINATOR, "r1", SETS[name], marks)

    scripts = {name: holder(name) for name in HOLDERS}
    scripts[CHEAT] = retelling(scripts[CHEAT], owner, retell)
    if owner == "bank":
        message = message.replace("another set of", "disagree about the set of bank")
    with pytest.raises(Fault, match=message) as caught:
        conduct(scripts | {COORDINATOR: place_rows(contract(), HOLDERS)})
    assert CHEAT in caught.value.party


def test_an_id_of_two_parts_is_refused_by_the_next_holder() -> None:
    ids = people(50, 200)
    sets = SETS | {"bank": [*ids, *ids[:3]]}
    with pytest.raises(LinkageError, match="twice"):
        aligned(sets, set(ids), contract())


def test_dummies_and_canaries_of_all_parts_stay_out() -> None:
    found: dict[str, Alignment]
    found, _ = aligned(SETS, set(SETS["bank"]), contract())
    taken = {place for each in found.values() for place in each.positions.tolist()}
    assert taken - {-1} == set(range(found["bank"].rows))
