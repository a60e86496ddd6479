"""Encrypted rows on their way: in parts, added up as they arrive.

The owner of a key sends one ciphertext a row, or a few, to one or several holders, each
of which sums them per bin of its own columns. All rows at once would fill the memory of
both; so the sender encrypts and sends a part at a time, the receiver adds its sums to
those of the parts before and answers with ``RowsTaken``, a credit. A sender is never
more than AHEAD parts ahead of its slowest receiver.

A receiver learns nothing but the parts' columns; a sender learns when each part was
taken. What sender and receiver hold of a part goes when the next one comes. Parts are
of one size and in the order of the rows, so a receiver refuses, and names, whoever
repeats one, leaves one out, or sends rows beyond the last; whether several receivers
were sent the same rows nobody can tell.
"""

from collections import deque
from collections.abc import Callable, Generator
from dataclasses import dataclass
from typing import Final, Protocol, TypeVar

from veilscore.fault import concerning
from veilscore.models.errors import ProtocolError
from veilscore.models.script import (
    Action,
    Arrived,
    Progress,
    Script,
    Send,
    receive,
    receive_one,
)
from veilscore.models.vertical.ports import Integers, OwnKey, PeerKey
from veilscore.models.vertical.run import RunColumns
from veilscore.v1.training_pb2 import EncryptedRows, RowsTaken, TrainingMessage

PART_ROWS: Final = 8192  # all parties of a run agree on it
AHEAD: Final = 4
_REMEDY: Final = "update all nodes to one version and start the run again"


class RowPacking(Protocol):
    """How the integers of a row lie in its plaintexts (``layout``)."""

    @property
    def groups(self) -> tuple[int, ...]:
        """Slots of each of a row's plaintexts."""
        ...

    def pack(self, rows: Integers) -> list[list[int]]:
        """Return the first plaintext of every row, then the second of every row ..."""
        ...


Layout = TypeVar("Layout", bound=RowPacking)
Sums = list[list[int]]
"""Encrypted sums by ciphertext of the row, then by bin, column after column."""


@dataclass(frozen=True, slots=True)
class PackedRows:
    """What a sender packs: its integers of the rows in a slice, and their layout."""

    columns: int
    layout: RowPacking
    read: Callable[[slice], Integers]  # (rows of the slice, integers a row)


@dataclass(slots=True)
class Tally:
    """Rows of a step that are done."""

    total: int
    done: int = 0

    def add(self, rows: int) -> Progress:
        """Count more rows and return what there is to show."""
        self.done += rows
        return Progress(self.done, self.total)


def cut(rows: int, size: int) -> list[slice]:
    """Cut a number of rows into parts of that size; no rows are one empty part."""
    return [
        slice(start, min(start + size, rows)) for start in range(0, max(1, rows), size)
    ]


@dataclass(frozen=True, slots=True)
class RowStream:
    """A holder's end of streams over the rows of its columns."""

    columns: RunColumns
    part_rows: int = PART_ROWS

    def parts(self) -> list[slice]:
        """Return the rows of each part."""
        return cut(self.columns.rows, self.part_rows)

    def send(
        self, receivers: tuple[str, ...], key: OwnKey, rows: PackedRows, tally: Tally
    ) -> Script:
        """Encrypt every row once and send it to all receivers.

        Raises ProtocolError naming a receiver that acknowledges other rows than those
        of the oldest part under way.
        """
        under_way = deque[slice]()
        for part in self.parts():
            if len(under_way) == AHEAD:
                yield from _credited(receivers, under_way.popleft(), tally)
            plaintexts = rows.layout.pack(rows.read(part))
            message = TrainingMessage(
                encrypted_rows=EncryptedRows(
                    ciphertexts=b"".join(key.encrypt(group) for group in plaintexts),
                    columns=rows.columns,
                    first_row=part.start,
                )
            )
            for receiver in receivers:
                yield Send(receiver, message)
            under_way.append(part)
        for part in under_way:
            yield from _credited(receivers, part, tally)

    def take(
        self,
        sender: str,
        key: PeerKey,
        allowed: range,
        plan: Callable[[int], Layout],
        tally: Tally,
    ) -> Generator[Action, Arrived, tuple[Layout, Sums]]:
        """Sum a sender's rows per bin; returns their layout and the sums.

        ``plan`` makes the layout of so many columns, of which ``allowed`` may be.
        Raises ProtocolError naming a sender that does not keep to it.
        """
        first, *others = self.parts()
        rows = yield from _next_part(sender, first)
        columns = rows.columns
        if columns not in allowed:
            raise ProtocolError(
                f"encrypted rows of {columns} columns, {allowed[0]} to {allowed[-1]} "
                "may be",
                party=sender,
                remedy=_REMEDY,
            )
        layout = plan(columns)
        sums = self._sum(sender, key, layout, rows, first)
        yield _taken(sender, first)
        yield tally.add(first.stop - first.start)
        for part in others:
            rows = yield from _next_part(sender, part)
            if rows.columns != columns:
                raise ProtocolError(
                    f"encrypted rows of {rows.columns} columns after rows of {columns}",
                    party=sender,
                    remedy=_REMEDY,
                )
            more = self._sum(sender, key, layout, rows, part)
            sums = [key.add(one, two) for one, two in zip(sums, more, strict=True)]
            yield _taken(sender, part)
            yield tally.add(part.stop - part.start)
        return layout, sums

    def _sum(
        self,
        sender: str,
        key: PeerKey,
        layout: RowPacking,
        rows: EncryptedRows,
        part: slice,
    ) -> Sums:
        size = (part.stop - part.start) * key.ciphertext_bytes
        expected = size * len(layout.groups)
        if len(rows.ciphertexts) != expected:
            raise ProtocolError(
                f"encrypted rows of {len(rows.ciphertexts)} bytes, {expected} were due",
                party=sender,
                remedy=_REMEDY,
            )
        codes, bin_counts = self.columns.codes[part], self.columns.bin_counts
        with concerning(sender):
            return [
                [
                    total
                    for column in key.histogram(
                        rows.ciphertexts[group * size : (group + 1) * size],
                        codes,
                        bin_counts,
                    )
                    for total in column
                ]
                for group in range(len(layout.groups))
            ]


def _credited(receivers: tuple[str, ...], part: slice, tally: Tally) -> Script:
    """Wait until every receiver, and so the slowest, has taken a part."""
    answers = yield from receive("rows_taken", receivers)
    for receiver, message in answers.items():
        if message.rows_taken.rows != part.stop:
            raise ProtocolError(
                f"took {message.rows_taken.rows} encrypted rows where {part.stop} "
                "were due",
                party=receiver,
                remedy=_REMEDY,
            )
    yield tally.add(part.stop - part.start)


def _next_part(sender: str, part: slice) -> Generator[Action, Arrived, EncryptedRows]:
    message = yield from receive_one("encrypted_rows", sender)
    rows = message.encrypted_rows
    if rows.first_row != part.start:
        raise ProtocolError(
            f"encrypted rows from row {rows.first_row} on where row {part.start} was "
            "due",
            party=sender,
            remedy=_REMEDY,
        )
    return rows


def _taken(sender: str, part: slice) -> Send:
    return Send(sender, TrainingMessage(rows_taken=RowsTaken(rows=part.stop)))
