"""A holder's part of the blinded union: which of its rows stand where in the run.

Learns: the positions of its own rows, a bucket of the union's size. Never: which
other holder knows an entity. The coordinator sees pseudonyms raised by all holders'
keys and which holder's set they came in; the holders on the way see padded,
shuffled, blinded points. See ``veilscore.keys.linkage`` for the group.

Every hop proves to the coordinator, with its neighbours as witnesses, that it raised
the whole set in its order by one key (``veilscore.keys.small_exponents``, ``dleq``).
"""

from collections.abc import Generator, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import chain, islice

import numpy as np
from numpy.typing import NDArray

from veilscore.keys import linkage, point_set, small_exponents
from veilscore.keys.point_set import PointSet
from veilscore.keys.ristretto import POINT
from veilscore.models import noise
from veilscore.models.errors import ProtocolError
from veilscore.models.script import (
    Action,
    Arrived,
    Script,
    Send,
    receive_one,
)
from veilscore.models.vertical.marks import CANARIES, RowMark, canary
from veilscore.models.vertical.ring import Ring
from veilscore.v1.training_pb2 import (
    BlindedSet,
    HopKey,
    HopProof,
    HopSums,
    SetMarks,
    TrainingMessage,
)

THREADS = 2
_AT_ONCE = 16_384  # own ids that are Python objects at one time


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
    size = linkage.size_bucket(len(ids) + CANARIES)
    own = _OwnSet(ids, run, noise.ordering(size).astype(np.uint32))
    key = linkage.BlindingKey.fresh()
    yield from _Passage(name, Ring(tuple(holders)), coordinator, key).go_round(own)
    marks = own.marks(labelled).tobytes()
    yield Send(coordinator, TrainingMessage(set_marks=SetMarks(marks=marks)))
    reply = yield from receive_one("positions", coordinator)
    return _own_positions(reply, own.order, len(ids), coordinator)


@dataclass(frozen=True, slots=True)
class _OwnSet:
    """The own ids, then the run's canaries, then padding, in a random order.

    order: (bucket,) which of these stands at each place of the set.
    """

    ids: Sequence[str] = field(repr=False)
    run: str
    order: NDArray[np.uint32] = field(repr=False)

    def parts(self) -> Iterator[bytes]:
        """Hash one part of the set after the other; no more of it is in memory."""
        for places in point_set.ranges(len(self.order)):
            starts = range(places.start, places.stop, _AT_ONCE)
            yield b"".join(
                self._hashed(self.order[start : min(start + _AT_ONCE, places.stop)])
                for start in starts
            )

    def _hashed(self, entries: NDArray[np.uint32]) -> bytes:
        points = np.empty((len(entries), POINT), dtype=np.uint8)
        padding = entries >= len(self.ids) + CANARIES
        names = [self._name(entry) for entry in entries[~padding].tolist()]
        points[~padding] = _rows(linkage.hash_all(names, threads=THREADS))
        points[padding] = _rows(linkage.dummies(int(padding.sum())))
        return points.tobytes()

    def _name(self, entry: int) -> str:
        count = len(self.ids)
        return self.ids[entry] if entry < count else canary(self.run, entry - count)

    def marks(self, labelled: NDArray[np.bool_]) -> NDArray[np.uint8]:
        """Return the RowMark at every place."""
        count = len(self.ids)
        marks = np.full(len(self.order), RowMark.DUMMY, dtype=np.uint8)
        marks[:count] = np.where(labelled, RowMark.LABELLED, RowMark.KNOWN)
        marks[count : count + CANARIES] = RowMark.CANARY
        return marks[self.order]


def _rows(points: bytes) -> NDArray[np.uint8]:
    return np.frombuffer(points, dtype=np.uint8).reshape(-1, POINT)


@dataclass(slots=True)
class _Passage:
    """A holder's place in the ring, and the sets that pass it, in parts."""

    name: str
    ring: Ring
    coordinator: str
    key: linkage.BlindingKey
    _own: list[bytes] = field(default_factory=list[bytes])  # raised once
    _taken: dict[str, PointSet] = field(default_factory=dict[str, PointSet])

    def go_round(self, own: _OwnSet) -> Script:
        """Raise all sets and prove it; the sets are kept no longer than that."""
        yield from self.raise_own(own)
        yield from self.raise_others()
        yield from self.prove()

    def raise_own(self, own: _OwnSet) -> Script:
        """Raise the own set and pass it on, part by part."""
        parts = len(point_set.ranges(len(own.order)))
        for points in own.parts():
            self._own.append(self.key.blind(points, self.name, threads=THREADS))
            part = len(self._own) - 1
            yield self._pass_on(self.name, 1, part, parts, self._own[part])

    def raise_others(self) -> Script:
        """Raise everybody else's set, every part when it comes."""
        before = self.ring.before(self.name)
        for hops in range(2, self.ring.size + 1):
            owner = self.ring.owner(self.name, hops)
            taken = self._taken[owner] = PointSet(before)
            while not taken.complete:
                message = yield from receive_one("blinded_set", before)
                found = message.blinded_set
                if found.owner != owner or found.hops != hops - 1:
                    raise ProtocolError("passed on the wrong set", party=before)
                taken.add(found.part, found.parts, found.points)
                raised = self.key.blind(taken.parts[-1], before, threads=THREADS)
                yield self._pass_on(owner, hops, found.part, found.parts, raised)

    def _pass_on(
        self, owner: str, hops: int, part: int, parts: int, points: bytes
    ) -> Send:
        last = hops == self.ring.size
        blinded = BlindedSet(
            owner=owner, hops=hops, points=points, part=part, parts=parts
        )
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
            owner: small_exponents.sums(found.parts, challenge, owner, before)
            for owner, found in self._taken.items()
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
    reply: TrainingMessage, order: NDArray[np.uint32], count: int, coordinator: str
) -> Alignment:
    """Put the coordinator's answer back into the order of the own rows."""
    told, rows = reply.positions.positions, reply.positions.rows
    positions = np.fromiter(told, np.int64, len(told))
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
