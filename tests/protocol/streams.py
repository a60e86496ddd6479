"""Holders that exchange encrypted rows and nothing else, over plain integers."""

from collections.abc import Generator, Mapping

import numpy as np

from tests.protocol.plain_ring import PlainRing
from veilscore.models.script import Action, Arrived, Script
from veilscore.models.vertical.layout import CrossLayout
from veilscore.models.vertical.ports import Integers
from veilscore.models.vertical.row_stream import (
    PART_ROWS,
    PackedRows,
    RowStream,
    Sums,
    Tally,
)
from veilscore.models.vertical.run import RunColumns
from veilscore.v1.training_pb2 import EncryptedRows, TrainingMessage

RING = PlainRing()
BINS = (3, 5)
MOST_COLUMNS = 64


def held(rows: int) -> RunColumns:
    """Return a receiver's columns."""
    rng = np.random.default_rng(rows)
    codes = np.column_stack([rng.integers(0, size, rows) for size in BINS])
    return RunColumns(("a", "b"), codes.astype(np.uint16), BINS)


def numbers(rows: int, columns: int) -> Integers:
    """Return a sender's integers, (rows, columns)."""
    return np.random.default_rng(7).integers(-(2**20), 2**20, (rows, columns))


def layout(rows: int, columns: int) -> CrossLayout:
    return CrossLayout.plan(rows, columns, MOST_COLUMNS, RING.modulus)


def packed(rows: int, columns: int) -> PackedRows:
    values = numbers(rows, columns)
    return PackedRows(columns, layout(rows, columns), lambda part: values[part])


def sending(
    receivers: tuple[str, ...],
    rows: int,
    columns: int = 2,
    part_rows: int = PART_ROWS,
) -> Script:
    stream = RowStream(held(rows), part_rows)
    yield from stream.send(receivers, RING, packed(rows, columns), Tally(rows))


def taking(
    sender: str, rows: int, part_rows: int, tally: Tally
) -> Generator[Action, Arrived, Sums]:
    allowed = range(1, MOST_COLUMNS + 1)
    _, sums = yield from RowStream(held(rows), part_rows).take(
        sender, RING, allowed, lambda columns: layout(rows, columns), tally
    )
    return sums


def keeping(
    found: dict[str, Sums],
    name: str,
    sender: str,
    rows: int,
    part_rows: int = PART_ROWS,
) -> Script:
    """Take a sender's rows and keep the sums."""
    found[name] = yield from taking(sender, rows, part_rows, Tally(rows))


def whole(rows: int, columns: int) -> Sums:
    """Return the sums of all rows at once, as ``taking`` does by parts."""
    plaintexts = layout(rows, columns).pack(numbers(rows, columns))
    found: Sums = []
    for group in plaintexts:
        histogram = RING.histogram(RING.encode(group), held(rows).codes, BINS)
        found.append([total for column in histogram for total in column])
    return found


def part(
    first_row: int, rows: int, columns: int = 2, *, ciphertexts: int | None = None
) -> TrainingMessage:
    """Return a part as somebody may make it up, of one ciphertext a row."""
    count = rows if ciphertexts is None else ciphertexts
    return TrainingMessage(
        encrypted_rows=EncryptedRows(
            ciphertexts=RING.encode([1] * count), columns=columns, first_row=first_row
        )
    )


def under_way(
    transcript: list[tuple[str, str, TrainingMessage]],
) -> Mapping[tuple[str, str], list[int]]:
    """Return, by sender and receiver, the parts unanswered after every message."""
    found: dict[tuple[str, str], list[int]] = {}
    for sender, to, message in transcript:
        if message.HasField("encrypted_rows"):
            history = found.setdefault((sender, to), [0])
            history.append(history[-1] + 1)
        elif message.HasField("rows_taken"):
            history = found[to, sender]
            history.append(history[-1] - 1)
    return found
