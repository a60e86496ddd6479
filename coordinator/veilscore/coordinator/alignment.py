"""The coordinator's part of the blinded union: choose and place the run's rows.

Learns: which pseudonyms each holder's set contains, which of them the label holder
wants learned from. Never: an id. Pseudonyms are points raised by every holder's
fresh key, so they mean nothing in another run.

Gives each holder the places of its own entries and a bucket of the number of rows;
nobody learns which other holder knows an entity.
"""

import itertools
import math
from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from veilscore.coordinator.errors import RunError
from veilscore.coordinator.hops import check_hops
from veilscore.keys.linkage import PSEUDONYM, size_bucket, truncate
from veilscore.keys.point_set import PointSet
from veilscore.models import noise
from veilscore.models.script import (
    Action,
    Arrived,
    Script,
    Send,
    receive,
)
from veilscore.models.vertical.marks import CANARIES, RowMark
from veilscore.models.vertical.ring import Ring
from veilscore.v1.training_pb2 import Positions, RunContract, TrainingMessage

_AT_ONCE: Final = 65_536  # positions that are Python objects at one time


@dataclass(frozen=True, slots=True)
class HolderSet:
    """One holder's set after the last hop.

    pseudonyms: (entries, 2) words of 64 bits; marks: (entries,) RowMark.
    """

    pseudonyms: NDArray[np.uint64]
    marks: NDArray[np.uint8]

    @property
    def real(self) -> NDArray[np.bool_]:
        """Entries that stand for an entity."""
        return self.marks <= RowMark.LABELLED


def place_rows(contract: RunContract, holders: Sequence[str]) -> Script:
    """Collect all sets, choose the rows of the run, tell everybody its places."""
    ring = Ring(tuple(holders))
    finals = yield from _final_sets(ring)
    yield from check_hops(ring, {owner: each.parts for owner, each in finals.items()})
    marks = yield from receive("set_marks", ring.holders)
    sets = {
        # Of each set only half is needed from here on.
        name: read_set(name, finals.pop(name).parts, marks[name].set_marks.marks)
        for name in holders
    }
    check_canaries(sets)
    for name, (places, rows) in choose_rows(contract, sets).items():
        yield Send(name, TrainingMessage(positions=_positions(places, rows)))


def _final_sets(ring: Ring) -> Generator[Action, Arrived, dict[str, PointSet]]:
    """Return all sets after their last hop, by owner; parts of several come mixed."""
    sets = {sender: PointSet(sender) for sender in ring.holders}
    while due := tuple(name for name, found in sets.items() if not found.complete):
        arrived = yield from receive("blinded_set", due)
        for sender in due:
            found = arrived[sender].blinded_set
            if found.owner != ring.owner(sender, ring.size) or found.hops != ring.size:
                raise RunError("sent the wrong set to the coordinator", party=sender)
            sets[sender].add(found.part, found.parts, found.points)
    return {ring.owner(sender, ring.size): found for sender, found in sets.items()}


def _positions(places: NDArray[np.int64], rows: int) -> Positions:
    reply = Positions(rows=rows)
    for start in range(0, len(places), _AT_ONCE):
        reply.positions.extend(places[start : start + _AT_ONCE].tolist())
    return reply


def read_set(name: str, parts: Sequence[bytes], marks: bytes) -> HolderSet:
    """Check the shape of a set; raises a Fault that names its owner."""
    words = [np.frombuffer(truncate(points), dtype="<u8") for points in parts]
    pseudonyms = np.concatenate(words).reshape(-1, PSEUDONYM // 8)
    found = np.frombuffer(marks, dtype=np.uint8)
    if len(found) != len(pseudonyms) or (found > RowMark.CANARY).any():
        raise RunError("sent marks that do not fit its set", party=name)
    if len(pseudonyms) != size_bucket(len(pseudonyms)):
        raise RunError("sent a set that is not padded to a bucket", party=name)
    return HolderSet(pseudonyms, found)


def check_canaries(sets: Mapping[str, HolderSet]) -> None:
    """Refuse sets whose canaries do not meet.

    A holder that raised its own set by another key than the others' would be alone with
    all of its rows, silently.
    """
    first, *others = sorted(sets)
    expected = _canaries(sets[first])
    for name in others:
        found = _canaries(sets[name])
        if len(expected) != CANARIES or not np.array_equal(expected, found):
            raise RunError(
                "the sets of two holders were not raised by the same keys",
                party=f"{first}, {name}",
                remedy="update all nodes to one version and start the run again",
            )


def _canaries(held: HolderSet) -> NDArray[np.uint64]:
    return np.unique(held.pseudonyms[held.marks == RowMark.CANARY], axis=0)


def choose_rows(
    contract: RunContract, sets: Mapping[str, HolderSet]
) -> dict[str, tuple[NDArray[np.int64], int]]:
    """Return each holder's places and the number of rows.

    All labelled rows are in; of the others as many as the contract's cover ratio
    says, or all, less a random few so that only a bucket of the union shows.
    """
    places, union = number_alike([held.pseudonyms[held.real] for held in sets.values()])
    ends = list(itertools.accumulate(int(held.real.sum()) for held in sets.values()))
    entities = dict(zip(sets, np.split(places, ends[:-1]), strict=True))

    label_holder = contract.label_holder
    labels = sets[label_holder].marks[sets[label_holder].real] == RowMark.LABELLED
    labelled = np.zeros(union, dtype=bool)
    labelled[entities[label_holder][labels]] = True
    for name, known in entities.items():
        if name != label_holder and not labelled[known].any():
            raise RunError(
                f"no labelled row of {label_holder} is known to {name}",
                party=name,
                remedy="check that both declare the same id type and the same entities",
            )
    rows = _number_of_rows(contract, int(labelled.sum()), union)
    others = np.nonzero(~labelled)[0]
    drawn = others[noise.ordering(len(others))[: rows - int(labelled.sum())]]
    chosen = np.concatenate([np.nonzero(labelled)[0], drawn])
    place_of = np.full(union, -1, dtype=np.int64)
    place_of[chosen] = noise.ordering(rows)

    answer: dict[str, tuple[NDArray[np.int64], int]] = {}
    for name, held in sets.items():
        own = np.full(len(held.marks), -1, dtype=np.int64)
        own[held.real] = place_of[entities[name]]
        answer[name] = own, rows
    return answer


def number_alike(
    pseudonyms: Sequence[NDArray[np.uint64]],
) -> tuple[NDArray[np.int64], int]:
    """Return a number of each pseudonym of all sets in turn, and how many there are.

    Equal ones get one number, from 0; unequal ones never.
    """
    everything = np.concatenate(pseudonyms)
    order = np.lexsort(everything.T)
    everything = everything[order]
    new = np.ones(len(order), dtype=bool)
    new[1:] = (everything[1:] != everything[:-1]).any(axis=1)
    numbers = np.empty(len(order), dtype=np.int64)
    numbers[order] = np.cumsum(new) - 1
    return numbers, int(new.sum())


def _number_of_rows(contract: RunContract, labelled: int, union: int) -> int:
    if labelled > contract.max_rows:
        raise RunError(
            f"wants {labelled} rows learned from, the contract allows "
            f"{contract.max_rows} in all",
            party=contract.label_holder,
            remedy="it declares fewer labels, or all agree to a larger max_rows",
        )
    wanted = union
    if contract.cover_ratio >= 0:
        wanted = min(union, labelled + math.ceil(contract.cover_ratio * labelled))
    # Round down to a bucket, as long as all labelled rows stay in.
    bucket = size_bucket(wanted)
    while bucket > wanted:
        bucket = size_bucket(math.ceil(bucket / 1.1) - 1)
    rows = max(bucket, labelled)
    if rows > contract.max_rows:
        raise RunError(
            f"the run would have {rows} rows, its contract allows {contract.max_rows}",
            remedy="lower cover_ratio or raise max_rows in the contract",
        )
    return rows
