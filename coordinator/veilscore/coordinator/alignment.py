"""The coordinator's part of the blinded union: choose and place the run's rows.

Learns: which pseudonyms each holder's set contains, which of them the label holder
wants learned from. Never: an id. Pseudonyms are points raised by every holder's
fresh key, so they mean nothing in another run.

Gives each holder the places of its own entries and a bucket of the number of rows;
nobody learns which other holder knows an entity.
"""

import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from veilscore.coordinator.errors import RunError
from veilscore.coordinator.hops import check_hops
from veilscore.keys.linkage import PSEUDONYM, check_set, size_bucket, truncate
from veilscore.models.vertical import noise
from veilscore.models.vertical.marks import CANARIES, RowMark
from veilscore.models.vertical.ring import Ring
from veilscore.models.vertical.script import Script, Send, receive
from veilscore.v1.training_pb2 import Positions, RunContract, TrainingMessage


@dataclass(frozen=True, slots=True)
class HolderSet:
    """One holder's set after the last hop.

    pseudonyms: (entries,) fixed-width bytes; marks: (entries,) RowMark.
    """

    pseudonyms: NDArray[np.void]
    marks: NDArray[np.uint8]

    @property
    def real(self) -> NDArray[np.bool_]:
        """Entries that stand for an entity."""
        return self.marks <= RowMark.LABELLED


def place_rows(contract: RunContract, holders: Sequence[str]) -> Script:
    """Collect all sets, choose the rows of the run, tell everybody its places."""
    ring = Ring(tuple(holders))
    finals = yield from receive("blinded_set", ring.holders)
    points: dict[str, bytes] = {}
    for sender, message in finals.items():
        owner = message.blinded_set.owner
        if (
            owner != ring.owner(sender, ring.size)
            or message.blinded_set.hops != ring.size
        ):
            raise RunError("sent the wrong set to the coordinator", party=sender)
        check_set(message.blinded_set.points, sender)
        points[owner] = message.blinded_set.points
    yield from check_hops(ring, points)
    marks = yield from receive("set_marks", ring.holders)
    sets = {
        name: read_set(name, points[name], marks[name].set_marks.marks)
        for name in holders
    }
    check_canaries(sets)
    for name, (places, rows) in choose_rows(contract, sets).items():
        reply = Positions(positions=places.tolist(), rows=rows)
        yield Send(name, TrainingMessage(positions=reply))


def read_set(name: str, points: bytes, marks: bytes) -> HolderSet:
    """Check the shape of a set; raises a Fault that names its owner."""
    pseudonyms = np.frombuffer(truncate(points), dtype=f"V{PSEUDONYM}")
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
    expected = np.sort(sets[first].pseudonyms[sets[first].marks == RowMark.CANARY])
    for name in others:
        found = np.sort(sets[name].pseudonyms[sets[name].marks == RowMark.CANARY])
        if len(expected) != CANARIES or not np.array_equal(expected, found):
            raise RunError(
                "the sets of two holders were not raised by the same keys",
                party=f"{first}, {name}",
                remedy="update all nodes to one version and start the run again",
            )


def choose_rows(
    contract: RunContract, sets: Mapping[str, HolderSet]
) -> dict[str, tuple[NDArray[np.int64], int]]:
    """Return each holder's places and the number of rows.

    All labelled rows are in; of the others as many as the contract's cover ratio
    says, or all, less a random few so that only a bucket of the union shows.
    """
    everything = np.concatenate([held.pseudonyms[held.real] for held in sets.values()])
    union, places = np.unique(everything, return_inverse=True)
    ends = list(itertools.accumulate(int(held.real.sum()) for held in sets.values()))
    entities = dict(zip(sets, np.split(places, ends[:-1]), strict=True))

    label_holder = contract.label_holder
    labels = sets[label_holder].marks[sets[label_holder].real] == RowMark.LABELLED
    labelled = np.zeros(len(union), dtype=bool)
    labelled[entities[label_holder][labels]] = True
    for name, known in entities.items():
        if name != label_holder and not labelled[known].any():
            raise RunError(
                f"no labelled row of {label_holder} is known to {name}",
                party=name,
                remedy="check that both declare the same id type and the same entities",
            )
    rows = _number_of_rows(contract, int(labelled.sum()), len(union))
    others = np.nonzero(~labelled)[0]
    drawn = others[noise.ordering(len(others))[: rows - int(labelled.sum())]]
    chosen = np.concatenate([np.nonzero(labelled)[0], drawn])
    place_of = np.full(len(union), -1, dtype=np.int64)
    place_of[chosen] = noise.ordering(rows)

    answer: dict[str, tuple[NDArray[np.int64], int]] = {}
    for name, held in sets.items():
        own = np.full(len(held.marks), -1, dtype=np.int64)
        own[held.real] = place_of[entities[name]]
        answer[name] = own, rows
    return answer


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
