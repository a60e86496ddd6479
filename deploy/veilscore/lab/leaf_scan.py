"""Searches all leaves of a log for what the lab's parties must keep at home.

Only a lab can do this, because it owns all tables. Sought are ids, as they stand in the
files and in their one spelling, their SHA-256 and the points they are blinded from;
names of columns; levels and numbers. A text is sought if it is too long to appear by
chance; so a level "07" is not, nor a number of three digits. Each leaf is searched as
it is, in capitals for what is sought in capitals too, without zero bytes (UTF-16), and
inside whatever reads as hex or base64 in it. What a contract says is public: numbers,
and in a horizontal run the names and levels of the columns that all members have.

A leak is told without what leaked: a lab may run on real data.
"""

import hashlib
import re
import struct
from base64 import b64decode
from bisect import bisect_right
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Final, TypeVar

import numpy as np
from google.protobuf.message import DecodeError, Message

from veilscore.keys.entity_ids import normalise
from veilscore.keys.linkage import hash_to_group
from veilscore.keys.tlog.events import read_event
from veilscore.lab.beginnings import Beginnings
from veilscore.lab.plain import PlainTable
from veilscore.models.scorecard import Column
from veilscore.v1.score_pb2 import ModelManifest
from veilscore.v1.training_pb2 import RunContract

_SHORTEST: Final = 6  # bytes of a text with a character that no hash in hex has
_SHORTEST_OF_HEX: Final = 12
_WHOLE: Final = 8  # bytes: longer texts are found by these; digests end here
_HEX_DIGITS: Final = frozenset(b"0123456789abcdefABCDEF")
_HEX: Final = re.compile(rb"[0-9a-fA-F]{12,}")
_BASE64: Final = re.compile(rb"[0-9a-zA-Z+/_-]{8,}")
_STANDARD: Final = bytes.maketrans(b"-_", b"+/")

_Form = tuple[str, bytes]  # what it is, and its bytes


@dataclass(frozen=True, slots=True)
class Leak:
    """Something in the log that must not be there."""

    entry: int
    what: str

    def __str__(self) -> str:
        """Say it in one line."""
        return f"entry {self.entry} of the log holds {self.what}"


class LeafScanner:
    """Searches for what these parties know; ``sought`` is how many texts that is.

    A text and the same in capitals are two.
    """

    def __init__(self, tables: Mapping[str, PlainTable]) -> None:
        forms = {
            text: what
            for party, table in tables.items()
            for what, text in chain(_ids(party, table), _cells(party, table))
        }
        self.sought = len(forms)
        self._by_width = [
            Beginnings(width, _of_width(width, forms))
            for width in range(_SHORTEST, _WHOLE + 1)
        ]

    def scan(self, leaves: Sequence[bytes]) -> list[Leak]:
        """Return every leak once, by entry."""
        starts: list[int] = []  # where the pieces of each leaf begin in all of them
        joined = bytearray()
        for leaf in leaves:
            starts.append(len(joined))
            for piece in _pieces(leaf):
                joined += piece + b"\0"
        public = set[bytes]().union(*map(_public, leaves))
        data = bytes(joined)
        found = {
            Leak(bisect_right(starts, at) - 1, what)
            for beginnings in self._by_width
            for at, (what, text) in beginnings.find(data)
            if text not in public
        }
        return sorted(found, key=lambda leak: (leak.entry, leak.what))


def _of_width(
    width: int, forms: Mapping[bytes, str]
) -> Iterator[tuple[tuple[str, bytes], bytes]]:
    for text, what in forms.items():
        if min(len(text), _WHOLE) == width:
            yield (what, text), text


def _ids(party: str, table: PlainTable) -> Iterator[_Form]:
    for kind, written in table.written:
        typed = normalise(kind, written)
        spellings = {written, typed, typed.partition(":")[2]}
        for text in spellings:
            octets = text.encode()
            for cased in _cases(octets):
                yield f"an id of {party}", cased
            digest = hashlib.sha256(octets).digest()[:_WHOLE]
            yield f"the SHA-256 of an id of {party}", digest
        yield f"the unblinded point of an id of {party}", hash_to_group(typed)[:_WHOLE]


def _cells(party: str, table: PlainTable) -> Iterator[_Form]:
    for name, column in table.columns.items():
        for cased in _cases(name.encode()):
            yield f"the name of a column of {party}", cased
        for text in _values(column):
            yield f"a value of a column of {party}", text


def _values(column: Column) -> Iterator[bytes]:
    if not isinstance(column, np.ndarray):
        for level in {*column} - {None}:
            yield from _cases(str(level).encode())
        return
    for value in np.unique(column[~np.isnan(column)]).tolist():
        yield from _cases(repr(value).encode())
        for order in "<>":
            bits = struct.pack(f"{order}d", value)
            if bits.count(0) < _WHOLE // 2 and _is_distinctive(bits):
                yield bits  # round numbers are in every contract


def _cases(text: bytes) -> set[bytes]:
    """Return the text and the text in capitals; nothing if it is found by chance."""
    return {text, text.upper()} if _is_distinctive(text) else set()


def _is_distinctive(text: bytes) -> bool:
    shortest = _SHORTEST_OF_HEX if _HEX_DIGITS.issuperset(text) else _SHORTEST
    return len(text) >= shortest


def _pieces(leaf: bytes) -> Iterator[bytes]:
    """Yield a leaf in all ways in which it is read."""
    for data in (leaf, leaf.replace(b"\0", b"")):
        yield data
        yield data.upper()
    for run in _HEX.findall(leaf):
        for start in (0, 1):
            pairs = (len(run) - start) // 2
            yield bytes.fromhex(run[start : start + 2 * pairs].decode())
    for run in _BASE64.findall(leaf):
        for start in range(4):
            sextets = len(run) - start
            padded = run[start:].translate(_STANDARD) + b"AAA"  # of zero bits
            whole = b64decode(padded[: len(padded) // 4 * 4])
            yield whole[: sextets * 6 // 8]


def _public(leaf: bytes) -> set[bytes]:
    """Return what a contract or manifest in a leaf says, which everybody sees."""
    event = read_event(leaf).event
    contract = _read(RunContract(), event.run_opened.contract_body)
    manifest = _read(ModelManifest(), event.model_registered.manifest)
    numbers = {
        struct.pack(f"{order}d", value)
        for value in chain(_numbers(contract), _numbers(manifest))
        for order in "<>"
    }
    texts = (
        text
        for column in contract.horizontal.columns
        for text in (column.name, *column.levels)
    )
    return numbers.union(*(_cases(text.encode()) for text in texts))


def _numbers(message: Message) -> Iterator[float]:
    for _, value in message.ListFields():
        if isinstance(value, float):
            yield value
        elif isinstance(value, Message):
            yield from _numbers(value)


_Read = TypeVar("_Read", bound=Message)


def _read(message: _Read, body: bytes) -> _Read:
    try:
        message.ParseFromString(body)
    except DecodeError:
        message.Clear()
    return message
