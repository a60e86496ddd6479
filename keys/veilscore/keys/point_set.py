"""A set of points as it goes round the ring: in parts, each passed on when it is there.

A part bounds what an envelope and everything that copies it takes: 8 MiB, where a set
of 4.12 million is 135 MB. The rules of the whole set hold over all parts together, and
so do the sums that prove a hop (``small_exponents``): parts are only how it travels.
Nobody learns more from them than the set's padded size, which its receiver sees anyway.
"""

from typing import Final

from veilscore.keys.errors import LinkageError
from veilscore.keys.linkage import check_set, refuse_repeats
from veilscore.keys.ristretto import POINT

PART: Final = 1 << 18  # points of every part but the last, which may have fewer
MAX_PARTS: Final = 64  # of a set: 16.8 million points


class PointSet:
    """A set that ``party`` sends, as far as it has come."""

    def __init__(self, party: str) -> None:
        self._party = party
        self._total = 0
        self._parts: list[bytes] = []

    @property
    def parts(self) -> list[bytes]:
        """The parts so far, in their order."""
        return self._parts

    @property
    def complete(self) -> bool:
        """Whether the last part has come."""
        return 0 < self._total == len(self._parts)

    def add(self, part: int, parts: int, points: bytes) -> None:
        """Take part number ``part``, counted from 0, of ``parts``.

        Raises LinkageError naming the sender: a part out of turn, of another size than
        its place asks for, one that breaks the rules of ``check_set``, and with the
        last part what breaks them over all.
        """
        if part != len(self._parts) or parts != (self._total or parts):
            raise self._wrong("sent a part of its set out of turn")
        if not part < parts <= MAX_PARTS:
            raise self._wrong(f"sent a set of other than 1 to {MAX_PARTS} parts")
        check_size(points, self._party)
        if len(points) < PART * POINT and part + 1 < parts:
            raise self._wrong(f"sent a part of {len(points)} bytes before the last one")
        check_set(points, self._party)
        self._total = parts
        self._parts.append(points)
        if self.complete and parts > 1:
            refuse_repeats(self._parts, self._party)

    def _wrong(self, what: str) -> LinkageError:
        return LinkageError(
            what,
            party=self._party,
            remedy="Update all nodes to one version and start the run again.",
        )


def check_size(points: bytes, party: str) -> None:
    """Raise LinkageError naming ``party`` if this is more than a part of a set."""
    if len(points) > PART * POINT:
        raise LinkageError(
            f"sent a part of {len(points)} bytes of its set, {PART * POINT} are a part",
            party=party,
            remedy="Update all nodes to one version and start the run again.",
        )


def ranges(size: int) -> list[range]:
    """Return which entries of a set of ``size`` each of its parts holds."""
    return [range(size)[start : start + PART] for start in range(0, size, PART)]
