"""A holder's part of the blinded union: which of its rows stand where in the run.

Learns: the positions of its own rows, a bucket of the union's size. Never: which
other holder knows an entity. The coordinator sees pseudonyms raised by all holders'
keys and which holder's set they came in; the holders on the way see padded,
shuffled, blinded points. See ``veilscore.keys.linkage`` for the group.

Every hop proves to the coordinator, with its neighbours as witnesses, that it raised
the whole set in its order by one key (``veilscore.keys.small_exponents``, ``dleq``).
"""

from collections.abc import Generator, Sequence
from dataclasses import dataclass, field
from itertools import chain, islice

import numpy as np
from numpy.typing import NDArray

from veilscore.keys import linkage, small_exponents
from veilscore.keys.ristretto import POINT
from veilscore.models.errors import ProtocolError
from veilscore.models.vertical import noise
from veilscore.models.vertical.marks import CANARIES, RowMark, canary
from veilscore.models.vertical.ring import Ring
from veilscore.models.vertical.script import (
    Action,
    Arrived,
    Script,
    Send,
    receive_one,
)
from veilscore.v1.training_pb2 import (
    BlindedSet,
    HopKey,
    HopProof,
    HopSums,
    SetMarks,
    TrainingMessage,
)

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
) -> Generator[Action, Arrived, Alignment]:
    """Send the own set round the ring of holders, raise everybody else's.

    ``holders`` is the same sorted list everywhere; ``labelled`` marks the own rows
    the run must learn from (all False at a feature holder).
    """
    points = [linkage.hash_to_group(entity) for entity in ids]
    points += [linkage.hash_to_group(canary(run, number)) for number in range(CANARIES)]
    padding = linkage.size_bucket(len(points)) - len(points)
    filler = linkage.dummies(padding)
    points += [filler[start : start + POINT] for start in range(0, len(filler), POINT)]
    marks = np.full(len(points), RowMark.DUMMY, dtype=np.uint8)
    marks[: len(ids)] = np.where(labelled, RowMark.LABELLED, RowMark.KNOWN)
    marks[len(ids) : len(ids) + CANARIES] = RowMark.CANARY
    order = noise.ordering(len(points))

    key = linkage.BlindingKey.fresh()
    passage = _Passage(name, Ring(tuple(holders)), coordinator, key)
    yield from passage.raise_all(b"".join(points[i] for i in order))
    yield from passage.prove()
    yield Send(
        coordinator,
        TrainingMessage(set_marks=SetMarks(marks=marks[order].tobytes())),
    )
    reply = yield from receive_one("positions", coordinator)
    return _own_positions(reply, order, len(ids), coordinator)


@dataclass(slots=True)
class _Passage:
    """A holder's place in the ring, and the sets that pass it."""

    name: str
    ring: Ring
    coordinator: str
    key: linkage.BlindingKey
    _own: bytes = b""  # raised once
    _taken: dict[str, bytes] = field(default_factory=dict[str, bytes])  # by owner

    def raise_all(self, own: bytes) -> Script:
        """Raise the own set, then everybody else's as it comes round."""
        self._own = self.key.blind(own, self.name, threads=_THREADS)
        yield self._pass_on(self.name, 1, self._own)
        before = self.ring.before(self.name)
        for hops in range(2, self.ring.size + 1):
            owner = self.ring.owner(self.name, hops)
            message = yield from receive_one("blinded_set", before)
            found = message.blinded_set
            if found.owner != owner or found.hops != hops - 1:
                raise ProtocolError("passed on the wrong set", party=before)
            self._taken[owner] = found.points
            raised = self.key.blind(found.points, before, threads=_THREADS)
            yield self._pass_on(owner, hops, raised)

    def _pass_on(self, owner: str, hops: int, points: bytes) -> Send:
        last = hops == self.ring.size
        blinded = BlindedSet(owner=owner, hops=hops, points=points)
        return Send(
            self.coordinator if last else self.ring.after(self.name),
            TrainingMessage(blinded_set=blinded),
        )

    def prove(self) -> Script:
        """Add up every set as the coordinator says, now that none can be changed."""
        key = HopKey(key=self.key.public)
        yield Send(self.coordinator, TrainingMessage(hop_key=key))
        reply = yield from receive_one("hop_challenge", self.coordinator)
        challenge = reply.hop_challenge.challenge
        before = self.ring.before(self.name)

        own = small_exponents.sums(self._own, challenge, self.name, self.name)
        taken = {
            owner: small_exponents.sums(points, challenge, owner, before)
            for owner, points in self._taken.items()
        }
        raised, proof = self.key.prove(list(chain.from_iterable(taken.values())))
        passed = iter(raised)
        told = [HopSums(owner=self.name, passed=own)]
        told += [
            HopSums(owner=owner, taken=sums, passed=islice(passed, len(sums)))
            for owner, sums in taken.items()
        ]
        yield Send(
            self.coordinator,
            TrainingMessage(hop_proof=HopProof(sums=told, proof=proof)),
        )


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
