"""Erasure: keys are destroyed, so that no copy of anything else opens what they sealed.

What is to be erased is written down first and struck out last, with the event that says
that something was: a crash in between is made good at the next start. The log itself is
unchanged and still verifies.

An older copy of ``shredder.db`` brings destroyed keys back. That no such copy outlives
an erasure by more than a few days is for the operator to see to (node/README.md).
"""

from collections import defaultdict
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from threading import Lock
from typing import Final, Literal, TypeAlias

from veilscore.fault import Fault
from veilscore.node.log.receipts import Receipts
from veilscore.node.records.consents import Consents
from veilscore.node.records.openings import FIRST, Kept, Openings
from veilscore.v1.audit_pb2 import Erased

Why: TypeAlias = Literal["entity", "request", "before", "retention"]

_SCHEMA: Final = """CREATE TABLE IF NOT EXISTS erasing (
    tree INTEGER NOT NULL, place INTEGER NOT NULL, reason TEXT NOT NULL,
    PRIMARY KEY (tree, place)
) STRICT"""
_WHOLE: Final = -1  # in the place of an entity's
_DAY_S: Final = 86_400.0


@dataclass(frozen=True, slots=True)
class _Target:
    tree: int
    place: int = _WHOLE


class Eraser:
    """Erases openings and consents of one node; safe to use from any thread."""

    def __init__(
        self,
        openings: Openings,
        consents: Consents,
        receipts: Receipts,
        keep_days: int,
    ) -> None:
        self._db = openings.database
        self._openings = openings
        self._consents = consents
        self._receipts = receipts
        self._keep_s = keep_days * _DAY_S
        self._turn = Lock()
        self._next_s = 0.0
        self._db.run(_SCHEMA)

    def erase_entity(self, entity: str) -> int:
        """Erase an entity from all requests, and its consents; return how many.

        A request that is about nobody else any more is erased whole.
        """
        targets = [
            _Target(kept.tree, _WHOLE if _others(kept, place) == 0 else place)
            for kept, place in self._openings.about(entity)
        ]
        targets += [_Target(each.tree) for each in self._consents.about(entity)]
        return self._erase(targets, "entity")

    def erase_request(self, query: bytes) -> int:
        """Erase all of one request; raises NoOpeningError if it is not here."""
        return self._erase([_Target(self._openings.of(query).tree)], "request")

    def erase_before(self, time: float, reason: Why = "before") -> int:
        """Erase requests of before a time, and consents that were over by then."""
        # Trees are taken within the transaction that puts them to use: between the
        # two questions nobody takes one that was not in use at the first.
        with self._db.transaction():
            targets = [_Target(kept.tree) for kept in self._openings.before(time)]
            targets += [_Target(each.tree) for each in self._consents.over_before(time)]
            used = self._openings.trees() | self._consents.trees()
            unused = self._openings.shredder.unused(time, used)
            targets += [_Target(tree) for tree in unused]
        return self._erase(targets, reason)

    def keep_retention(self, now: float) -> None:
        """Erase, once a day, what is older than this node keeps."""
        if now >= self._next_s:
            self._next_s = now + _DAY_S
            self.erase_before(now - self._keep_s, "retention")

    def finish(self) -> int:
        """Erase what was written down for it; return how many openings it was."""
        with self._turn:
            query = "SELECT tree, place, reason FROM erasing"
            rows = self._db.rows((int, int, str), query)
            if not rows:
                return 0
            self._openings.shredder.destroy(
                [tree for tree, place, _ in rows if place == _WHOLE],
                [
                    (tree, FIRST + place, place)
                    for tree, place, _ in rows
                    if place != _WHOLE
                ],
            )
            counts: dict[str, int] = defaultdict(int)
            with self._db.transaction():
                for tree, place, reason in rows:
                    counts[reason] += self._forget(tree, place)
                self._db.run("DELETE FROM erasing")
                events = [
                    Erased(reason=reason, openings_bucket=1 << (count - 1).bit_length())
                    for reason, count in counts.items()
                    if count
                ]
                written = (
                    self._receipts.write(*events, correlation="") if events else b""
                )
        if written:
            with suppress(Fault):  # it stays pending and reaches the log later
                self._receipts.prove(written)
        return sum(counts.values())

    def _erase(self, targets: Sequence[_Target], reason: Why) -> int:
        with self._db.transaction():
            self._db.run_many(
                "INSERT OR IGNORE INTO erasing VALUES (?, ?, ?)",
                [(each.tree, each.place, reason) for each in targets],
            )
        return self.finish()

    def _forget(self, tree: int, place: int) -> int:
        """Delete what cannot be opened any more; return how many openings it was."""
        if place != _WHOLE:
            return self._openings.forget_entity(tree, place)
        return self._openings.forget(tree) + self._consents.forget(tree)


def _others(kept: Kept, place: int) -> int:
    """Return how many entities of a request but this one are left."""
    return sum(bool(each) for at, each in enumerate(kept.sealed) if at != place)
