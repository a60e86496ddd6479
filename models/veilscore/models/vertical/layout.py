"""How integers are packed into one Paillier plaintext, with proven widths.

Every sum that a run forms under encryption is bounded here before anything is
sent: a layout that does not fit the modulus raises, so sums never wrap.

Notation: N rows of the run; d columns of a holder; a WoE code is an integer of
at most ``WOE_CODE_LIMIT``; a rotated code is at most ``rotated_bound(d)``.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from veilscore.models.errors import BoundError, ProtocolError
from veilscore.models.vertical.ports import Integers
from veilscore.models.vertical.raking import HEAVIEST
from veilscore.models.vertical.run import RESIDUAL_SCALE
from veilscore.models.woe import WOE_CODE_LIMIT, WOE_SCALE

ROTATION_SCALE = 1 << 12
ROTATED_UNIT = WOE_SCALE * ROTATION_SCALE  # what one unit of WoE is, rotated
# Statistical distance of a masked slot from uniform: 2^-MASK_BITS.
MASK_BITS = 40
SCORE_BITS = 32
SCORE_LIMIT = 1 << (SCORE_BITS - 5)  # one holder's score is below, 16 fit a slot
# A holder that must hide a score adds a random number from HIDING up to SCORE_LIMIT.
# Joint scores are below HIDING / 2, so what is not was hidden by somebody; and they and
# so many of these numbers fit a slot.
HIDING = SCORE_LIMIT // 2
MOST_HIDING = 15
SCORE_GUARD_BITS = 64


def rotated_bound(columns: int) -> int:
    """Return the largest absolute rotated code of a holder with that many columns.

    A row of the rotation has Euclidean norm ROTATION_SCALE before rounding, so
    its absolute sum is at most ROTATION_SCALE * sqrt(d) + d / 2.
    """
    return math.ceil(
        (ROTATION_SCALE * math.sqrt(columns) + columns / 2) * WOE_CODE_LIMIT
    )


def signed_width(bound: int) -> int:
    """Return the bits of a slot whose sums lie in [-bound, bound]."""
    return bound.bit_length() + 1


def join(values: Sequence[int], widths: Sequence[int]) -> int:
    """Pack signed values into slots, lowest first."""
    packed, offset = 0, 0
    for value, width in zip(values, widths, strict=True):
        packed += value << offset
        offset += width
    return packed


def _join_groups(rows: Integers, groups: Sequence[int], width: int) -> list[list[int]]:
    """Pack the slots of every row, (rows, slots), group by group."""
    packed: list[list[int]] = []
    start = 0
    for group in groups:
        slots: list[list[int]] = rows[:, start : start + group].tolist()
        packed.append([join(values, [width] * group) for values in slots])
        start += group
    return packed


def _no_room(rows: int, modulus: int) -> BoundError:
    return BoundError(
        f"{rows} rows do not fit a key of {modulus.bit_length()} bits",
        remedy="use a larger key or fewer rows",
    )


def split(packed: int, widths: Sequence[int], sender: str) -> list[int]:
    """Unpack signed slots, lowest first.

    Raises ProtocolError naming ``sender`` when anything is left above the last
    slot: a sum left its range, or somebody's mask did not cancel.
    """
    values: list[int] = []
    for width in widths:
        half = 1 << (width - 1)
        value = ((packed + half) & ((1 << width) - 1)) - half
        values.append(value)
        packed = (packed - value) >> width
    if packed:
        raise ProtocolError("packed sums do not fit their slots", party=sender)
    return values


def to_signed(residue: int, modulus: int) -> int:
    """Return the representative of a residue in (-n/2, n/2)."""
    return residue - modulus if residue > modulus // 2 else residue


@dataclass(frozen=True, slots=True)
class RowLayout:
    """The label holder's plaintext of one row, possibly over several ciphertexts.

    The first ciphertext begins with the two count slots [labelled, bad], exactly
    wide enough for counts, so that a malicious label holder cannot use them for
    more; a mask hides what it puts above them, up to the modulus. Above a gap that
    keeps weighted sums of the count slots out come the wide slots: [labelled, bad,
    own WoE codes ...].
    """

    count_bits: int
    gap: int  # offset of the wide slots in the first ciphertext
    width: int  # bits of a wide slot
    groups: tuple[int, ...]  # wide slots per ciphertext
    room: int  # bits that a ciphertext may fill

    @classmethod
    def plan(
        cls, rows: int, own_columns: int, max_columns: int, modulus: int
    ) -> "RowLayout":
        """Lay out ``2 + own_columns`` wide slots.

        ``max_columns`` is the contract's bound on any holder's columns.

        Raises BoundError when not even one wide slot fits the modulus.
        """
        count_bits = (rows - 1).bit_length() + 1 if rows > 1 else 2
        weight = rotated_bound(max_columns)
        gap = signed_width(rows * weight * (1 + (1 << count_bits)))
        width = signed_width(rows * weight * WOE_CODE_LIMIT)
        room = modulus.bit_length() - 2 - MASK_BITS - 1
        first, rest = (room - gap) // width, room // width
        if first < 1:
            raise BoundError(
                f"{rows} rows and {max_columns} columns do not fit a key of "
                f"{modulus.bit_length()} bits",
                remedy="use a larger key or fewer rows",
            )
        left, groups = 2 + own_columns, list[int]()
        while left:
            groups.append(min(left, rest if groups else first))
            left -= groups[-1]
        return cls(count_bits, gap, width, tuple(groups), room)

    def pack(self, rows: Integers) -> list[list[int]]:
        """Return the plaintexts of rows, ciphertext by ciphertext.

        rows: (rows, 2 + own columns), the wide slots of each; all 0 without a label.
        """
        first, *others = _join_groups(rows, self.groups, self.width)
        counts: list[list[int]] = rows[:, :2].tolist()
        first = [
            (labelled | bad << self.count_bits) + (wide << self.gap)
            for (labelled, bad), wide in zip(counts, first, strict=True)
        ]
        return [first, *others]

    def read_counts(self, residue: int) -> tuple[int, int]:
        """Return (labelled, bad) of a masked bin sum."""
        mask = (1 << self.count_bits) - 1
        return residue & mask, residue >> self.count_bits & mask

    def count_mask(self, random_bits: int) -> int:
        """Turn random bits into a mask that hides all but the count slots.

        ``random_bits`` must be uniform below 2^mask_bits. The mask is a positive
        multiple of the first bit above the count slots, and larger than any
        negative sum. It reaches the modulus but for 3 bits, whatever the label
        holder's plaintexts are, so that no more than these stay readable.
        """
        low = 2 * self.count_bits
        return (random_bits << low) + (1 << self.room)

    @property
    def mask_bits(self) -> int:
        """Random bits that :meth:`count_mask` needs."""
        return self.room + MASK_BITS - 2 * self.count_bits

    def read_moments(self, sums: Sequence[int], sender: str) -> list[int]:
        """Return the wide-slot sums of one rotated column, one int per group in."""
        values: list[int] = []
        for index, (group, packed) in enumerate(zip(self.groups, sums, strict=True)):
            widths = [self.width] * group
            if index == 0:
                values += split(packed, [self.gap, *widths], sender)[1:]
            else:
                values += split(packed, widths, sender)
        return values


@dataclass(frozen=True, slots=True)
class CrossLayout:
    """One feature holder's weighted codes of one row, over several ciphertexts.

    They are rotated, less their mean, and times the row's weight (``raking``).
    """

    width: int
    groups: tuple[int, ...]

    @classmethod
    def plan(
        cls, rows: int, own_columns: int, max_columns: int, modulus: int
    ) -> "CrossLayout":
        """Lay out ``own_columns`` slots for sums weighted by a peer's codes."""
        # Of a row: its weight times a code less the mean, times a code.
        most = 2 * rotated_bound(max_columns) ** 2 * HEAVIEST
        width = signed_width(rows * most)
        per = (modulus.bit_length() - 2) // width
        if per < 1:
            raise _no_room(rows, modulus)
        full, rest = divmod(own_columns, per)
        return cls(width, (per,) * full + ((rest,) if rest else ()))

    def pack(self, rows: Integers) -> list[list[int]]:
        """Return the plaintexts of rows of codes, ciphertext by ciphertext."""
        return _join_groups(rows, self.groups, self.width)

    def read(self, sums: Sequence[int], sender: str) -> list[int]:
        """Return the sums of all columns, one packed int per group in."""
        return [
            value
            for group, packed in zip(self.groups, sums, strict=True)
            for value in split(packed, [self.width] * group, sender)
        ]


@dataclass(frozen=True, slots=True)
class ResidualLayout:
    """The label holder's residual of one row, alone in its ciphertext."""

    most: int  # largest absolute sum of residuals weighted by rotated codes

    @classmethod
    def plan(cls, rows: int, max_columns: int, modulus: int) -> "ResidualLayout":
        """Bound the sums of residuals, which are at most RESIDUAL_SCALE each.

        Raises BoundError when they do not fit the modulus.
        """
        most = rows * rotated_bound(max_columns) * RESIDUAL_SCALE
        if signed_width(most) > modulus.bit_length() - 2:
            raise _no_room(rows, modulus)
        return cls(most)

    @property
    def groups(self) -> tuple[int, ...]:
        """One slot, in one ciphertext."""
        return (1,)

    def pack(self, rows: Integers) -> list[list[int]]:
        """Return the plaintexts of rows of one residual each."""
        residuals: list[int] = rows[:, 0].tolist()
        return [residuals]

    def read(self, total: int, sender: str) -> int:
        """Return a weighted sum; raises ProtocolError for one no rows can have."""
        if abs(total) > self.most:
            raise ProtocolError("a gradient out of its range", party=sender)
        return total


@dataclass(frozen=True, slots=True)
class ScoreLayout:
    """Partial scores of many entities in one plaintext.

    SCORE_GUARD_BITS above the last slot must come out zero: a holder that is
    missing, or whose mask was keyed by another batch, leaves noise there.
    """

    slots: int

    @classmethod
    def plan(cls, modulus: int) -> "ScoreLayout":
        """Return the layout for a key."""
        return cls((modulus.bit_length() - SCORE_GUARD_BITS) // SCORE_BITS)

    def plaintexts(self, scores: int) -> int:
        """Return how many plaintexts that many scores take."""
        return -(-scores // self.slots)

    def bits(self, scores: int) -> int:
        """Return the size of the largest of these plaintexts, guard bits included."""
        return min(scores, self.slots) * SCORE_BITS + SCORE_GUARD_BITS

    def pack(self, scores: Sequence[int]) -> list[int]:
        """Pack signed partial scores.

        Raises BoundError for one that is not below SCORE_LIMIT.
        """
        if any(abs(score) >= SCORE_LIMIT for score in scores):
            raise BoundError(
                "a partial score does not fit its slot",
                remedy="use a scale with fewer points in the contract",
            )
        return [
            join(part, [SCORE_BITS] * len(part))
            for part in (
                scores[start : start + self.slots]
                for start in range(0, len(scores), self.slots)
            )
        ]

    def unpack(
        self, residues: Sequence[int], count: int, modulus: int, sender: str
    ) -> list[int]:
        """Unpack sums of all holders; raises ProtocolError on non-zero guards."""
        scores: list[int] = []
        for residue in residues:
            size = min(self.slots, count - len(scores))
            packed = to_signed(residue, modulus)
            scores += split(packed, [SCORE_BITS] * size, sender)
        return scores
