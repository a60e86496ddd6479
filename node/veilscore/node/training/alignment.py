"""A holder's part of the blinded union: which of its rows stand where in the run.

Learns: the positions of its own rows, a bucket of the union's size. Never: which
other holder knows an entity. The coordinator sees pseudonyms raised by all holders'
keys and which holder's set they came in; the holders on the way see padded,
shuffled, blinded points. See ``veilscore.keys.linkage`` for the group.
"""

from collections.abc import Generator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from veilscore.keys import linkage
from veilscore.models.errors import ProtocolError
from veilscore.models.vertical import noise
from veilscore.models.vertical.marks import CANARIES, RowMark, canary
from veilscore.models.vertical.script import Arrived, Await, Send, receive_one
from veilscore.v1.training_pb2 import BlindedSet, SetMarks, TrainingMessage

_THREADS = 2


@dataclass(frozen=True, slots=True)
class Alignment:
    """Where this holder's rows stand.

    positions: (own rows,) place in the run, -1 for rows that are not in it.
    """

    positions: NDArray[np.int64]
    rows: int


def align(
    name: str,
    holders: Sequence[str],
    coordinator: str,
    run: str,
    ids: Sequence[str],
    labelled: NDArray[np.bool_],
) -> Generator[Send | Await, Arrived, Alignment]:
    """Send the own set round the ring of holders, raise everybody else's.

    ``holders`` is the same sorted list everywhere; ``labelled`` marks the own rows
    the run must learn from (all False at a feature holder).
    """
    place = list(holders).index(name)
    after = holders[(place + 1) % len(holders)]
    before = holders[(place - 1) % len(holders)]
    key = linkage.BlindingKey.fresh()

    points = [linkage.hash_to_group(entity) for entity in ids]
    points += [linkage.hash_to_group(canary(run, number)) for number in range(CANARIES)]
    padding = linkage.size_bucket(len(points)) - len(points)
    filler = linkage.dummies(padding)
    points += [
        filler[start : start + linkage.POINT]
        for start in range(0, len(filler), linkage.POINT)
    ]
    marks = np.full(len(points), RowMark.DUMMY, dtype=np.uint8)
    marks[: len(ids)] = np.where(labelled, RowMark.LABELLED, RowMark.KNOWN)
    marks[len(ids) : len(ids) + CANARIES] = RowMark.CANARY
    order = noise.ordering(len(points))

    blinded = key.blind(b"".join(points[i] for i in order), name, threads=_THREADS)
    yield _pass_on(BlindedSet(owner=name, hops=1, points=blinded), after)
    for hops in range(1, len(holders)):
        message = yield from receive_one("blinded_set", before)
        found = message.blinded_set
        owner = holders[(place - hops) % len(holders)]
        if found.owner != owner or found.hops != hops:
            raise ProtocolError("passed on the wrong set", party=before)
        raised = key.blind(found.points, owner, threads=_THREADS)
        if hops + 1 == len(holders):
            pseudonyms = linkage.truncate(raised)
            last = BlindedSet(owner=owner, hops=hops + 1, points=pseudonyms)
            yield _pass_on(last, coordinator)
        else:
            further = BlindedSet(owner=owner, hops=hops + 1, points=raised)
            yield _pass_on(further, after)
    yield Send(
        coordinator,
        TrainingMessage(set_marks=SetMarks(marks=marks[order].tobytes())),
    )
    reply = yield from receive_one("positions", coordinator)
    return _own_positions(reply, order, len(ids), coordinator)


def _pass_on(blinded: BlindedSet, to: str) -> Send:
    return Send(to, TrainingMessage(blinded_set=blinded))


def _own_positions(
    reply: TrainingMessage, order: list[int], count: int, coordinator: str
) -> Alignment:
    """Put the coordinator's answer back into the order of the own rows."""
    positions, rows = np.array(reply.positions.positions), reply.positions.rows
    if (
        len(positions) != len(order)
        or not ((positions >= -1) & (positions < rows)).all()
    ):
        raise ProtocolError("positions that do not fit the set", party=coordinator)
    unshuffled = np.full(len(order), -1, dtype=np.int64)
    unshuffled[order] = positions
    if (unshuffled[count:] >= 0).any():
        raise ProtocolError("a dummy became a row of the run", party=coordinator)
    known = unshuffled[:count]
    placed = known[known >= 0]
    if len(np.unique(placed)) != len(placed):
        raise ProtocolError("two rows in one place", party=coordinator)
    return Alignment(known, rows)
