"""Bytes that a hostile or broken peer might send, made of bytes that a good one sends.

Some changes know what they change: fields of a protobuf message, lines and numbers of a
text, lengths before what they count. All choices come from one ``Random``: hypothesis
gives one that it can shrink, a long run a seeded one.
"""

import re
import struct
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from random import Random
from typing import Final

# The longest input made. Longer ones find the same faults more slowly; what a decoder
# does with its largest input is its own unit test's to say.
LONGEST: Final = 1 << 14

_INTEGERS: Final = (
    *(0, 1, 2, 127, 128, 255, 256, 4096, 65_535, 65_536),
    *(2**31 - 1, 2**31, 2**32 - 1, 2**53, 2**63 - 1, 2**63, 2**64 - 1),
)
_FLOATS: Final = (
    *(0.0, -0.0, 1.0, -1.0, 1e-320, 1e-9, 1e9, 1e18, 1e19, 1e154, 1e308, -1e308),
    *(float("nan"), float("inf"), float("-inf")),
)
_WORDS: Final = (
    *(b"", b" ", b"\0", b"\n", b"\r\n", b"\n\n", b",", b'"', b"'", b"-", b".", b"/"),
    *(b"null", b"true", b"[]", b"{}", b'""', b"''", b"NaN", b"Infinity", b"inf", b"_"),
    *(b"-1", b"1e999", b"-1e999", b"1e-999", b"0x10", b"1_0", b"00", b"-0", b"1.5"),
    *(b"9" * 19, b"9" * 20, b"-" + b"9" * 20, b"9" * 400, b"9" * 5000),
    *(
        b"0x" + b"f" * 5000,
        b"1979-05-27T07:32:00Z",
        b"0001-01-01",
        b"-----BEGIN X-----",
    ),
    *(b"\\ud800", b"\\u0000", b"\xff", b"\xed\xa0\x80", b"\xef\xbb\xbf", b"\xc3\x28"),
    *(
        word.encode()
        for word in ("\u2028", "\u0663", "\ufdfa", "\U0001f600", "İ", "号")
    ),
    *(b"..", b"../../etc/passwd", b"%00", b"%ff", b"http://[", b"a.b.c", b"a=1", b"#"),
)
_DIGITS: Final = re.compile(rb"-?[0-9]+")
_TOKEN: Final = re.compile(rb'"[^"\n]*"|[A-Za-z0-9_.+-]+')
_DEPTHS: Final = (2, 99, 101, 190, 500, 990, 1010, 5000, 20_000)

_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5


def mutate(random: Random, samples: Sequence[bytes]) -> bytes:
    """Return one of the samples after a few changes."""
    data = random.choice(samples)
    for _ in range(random.choice((1, 1, 1, 2, 3, 4))):
        data = random.choice(_CHANGES)(random, data, samples)
        data = data[: max(LONGEST, *map(len, samples))]
    return data


# -- of any bytes ----------------------------------------------------------------------


def _place(random: Random, data: bytes) -> int:
    return random.randint(0, len(data))


def _part(random: Random, data: bytes) -> tuple[int, int]:
    start = _place(random, data)
    length = random.choice((1, 2, 4, 8, 16, 32, 64, 256, 512, len(data)))
    return start, min(start + length, len(data))


def _flip(random: Random, data: bytes, _: Sequence[bytes]) -> bytes:
    if not data:
        return data
    at, bit = random.randrange(len(data)), random.randrange(8)
    return data[:at] + bytes((data[at] ^ 1 << bit,)) + data[at + 1 :]


def _overwrite(random: Random, data: bytes, _: Sequence[bytes]) -> bytes:
    """Write a number where a length, a size or an offset may stand."""
    width = random.choice((1, 2, 4, 8))
    value = random.choice(_INTEGERS) % (1 << 8 * width)
    at = _place(random, data)
    number = value.to_bytes(width, random.choice(("big", "little")))
    return data[:at] + number + data[at + width :]


def _cut(random: Random, data: bytes, _: Sequence[bytes]) -> bytes:
    return data[: _place(random, data)]


def _drop(random: Random, data: bytes, _: Sequence[bytes]) -> bytes:
    start, end = _part(random, data)
    return data[:start] + data[end:]


def _repeat(random: Random, data: bytes, _: Sequence[bytes]) -> bytes:
    start, end = _part(random, data)
    times = random.choice((2, 3, 64, 1000))
    return data[:start] + data[start:end] * times + data[end:]


def _insert(random: Random, data: bytes, _: Sequence[bytes]) -> bytes:
    at = _place(random, data)
    new = random.choice(
        (random.choice(_WORDS), random.randbytes(random.randint(1, 40)))
    )
    return data[:at] + new + data[at:]


def _splice(random: Random, data: bytes, samples: Sequence[bytes]) -> bytes:
    other = random.choice(samples)
    start, end = _part(random, other)
    at = _place(random, data)
    return data[:at] + other[start:end] + data[random.choice((at, len(data))) :]


def _noise(random: Random, data: bytes, _: Sequence[bytes]) -> bytes:
    del data
    return random.randbytes(random.choice((0, 1, 2, 16, 33, 200, 1000)))


# -- of texts --------------------------------------------------------------------------


def _replace_match(random: Random, data: bytes, pattern: re.Pattern[bytes]) -> bytes:
    found = list(pattern.finditer(data))
    if not found:
        return data
    match = random.choice(found)
    return data[: match.start()] + random.choice(_WORDS) + data[match.end() :]


def _number(random: Random, data: bytes, _: Sequence[bytes]) -> bytes:
    return _replace_match(random, data, _DIGITS)


def _token(random: Random, data: bytes, _: Sequence[bytes]) -> bytes:
    return _replace_match(random, data, _TOKEN)


def _line(random: Random, data: bytes, _: Sequence[bytes]) -> bytes:
    lines = data.split(b"\n")
    line = lines.pop(random.randrange(len(lines)))
    for _copy in range(random.choice((0, 1, 2, 300))):
        lines.insert(random.randint(0, len(lines)), line)
    return b"\n".join(lines)


def _nest(random: Random, data: bytes, _: Sequence[bytes]) -> bytes:
    """Put something deep into JSON or TOML, closed or not."""
    depth = random.choice(_DEPTHS)
    opening, closing = random.choice(
        ((b"[", b"]"), (b'{"a":', b"}"), (b"{a=", b"}"), (b"a.", b"a=1"), (b"(", b")"))
    )
    deep = opening * depth + b"1" + random.choice((closing * depth, closing, b""))
    found = list(_TOKEN.finditer(data))
    start, end = random.choice(found).span() if found else (0, 0)
    return data[:start] + deep + data[end:]


# -- of protobuf messages --------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Field:
    number: int
    kind: int
    value: int | bytes

    def encoded(self, length: int | None = None) -> bytes:
        """Return the field; ``length`` is what it claims to be long."""
        tag = _varint(self.number << 3 | self.kind)
        if isinstance(self.value, int):
            return tag + _varint(self.value)
        if self.kind == _BYTES:
            return (
                tag
                + _varint(len(self.value) if length is None else length)
                + self.value
            )
        return tag + self.value


def _varint(value: int) -> bytes:
    encoded = bytearray()
    while value > 127:
        encoded.append(value & 127 | 128)
        value >>= 7
    return bytes((*encoded, value))


def _read_varint(data: bytes, at: int) -> tuple[int, int]:
    """Return a number and where it ends; raises ValueError."""
    value = 0
    for shift in range(0, 70, 7):
        if at >= len(data):
            break
        value |= (data[at] & 127) << shift
        at += 1
        if data[at - 1] < 128:
            return value, at
    raise ValueError


def _fields(data: bytes) -> list[_Field]:
    """Return the fields of a message; raises ValueError if it is none."""
    fields: list[_Field] = []
    at = 0
    while at < len(data):
        tag, at = _read_varint(data, at)
        kind = tag & 7
        if kind == _VARINT:
            value, at = _read_varint(data, at)
            fields.append(_Field(tag >> 3, kind, value))
            continue
        if kind == _BYTES:
            length, at = _read_varint(data, at)
        elif kind in {_FIXED32, _FIXED64}:
            length = 4 if kind == _FIXED32 else 8
        else:
            raise ValueError
        if at + length > len(data):
            raise ValueError
        fields.append(_Field(tag >> 3, kind, data[at : at + length]))
        at += length
    return fields


def _structured(random: Random, data: bytes, samples: Sequence[bytes]) -> bytes:
    """Change one field of a message, or of a message in it, or one part of a text."""
    try:
        fields = _fields(data)
    except ValueError:
        return random.choice(_OF_TEXT)(random, data, samples)
    if not fields:
        return _Field(
            random.randint(1, 20), _VARINT, random.choice(_INTEGERS)
        ).encoded()
    at = random.randrange(len(fields))
    changed = _changed_field(random, fields[at], samples)
    parts = [field.encoded() for field in fields]
    return b"".join((*parts[:at], changed, *parts[at + 1 :]))


def _changed_field(random: Random, field: _Field, samples: Sequence[bytes]) -> bytes:
    match random.randrange(7):
        case 0:
            return b""
        case 1:
            return field.encoded() * random.choice((2, 3, 100, 3000))
        case 2:
            number = random.choice((*range(1, 21), 2**29 - 1))
            return replace(field, number=number).encoded()
        case 3:
            kind = random.choice((_VARINT, _FIXED64, _BYTES, _FIXED32))
            return _varint(field.number << 3 | kind) + field.encoded()[1:]
        case 4 if isinstance(field.value, bytes):
            return _lying(random, field)
        case _:
            return replace(field, value=_value(random, field, samples)).encoded()


def _lying(random: Random, field: _Field) -> bytes:
    """Claim another length, or put the field into itself as deep as it goes."""
    if random.randrange(2):
        return field.encoded(random.choice(_INTEGERS))
    nested = field
    for _ in range(random.choice((2, 60, 150))):
        nested = replace(nested, value=nested.encoded())
    return nested.encoded()


def _value(random: Random, field: _Field, samples: Sequence[bytes]) -> int | bytes:
    value = field.value
    if isinstance(value, int):
        return random.choice((*_INTEGERS, value ^ 1, value + 1))
    if field.kind == _FIXED32:
        return random.randbytes(4)
    if field.kind == _FIXED64 or (len(value) % 8 == 0 and random.randrange(4) == 0):
        return _doubles(random, value)
    return random.choice((_structured, _structured, *_ANY))(random, value, samples)


def _doubles(random: Random, packed: bytes) -> bytes:
    """Change one of the numbers of a packed field of doubles."""
    if not packed:
        return struct.pack("<d", random.choice(_FLOATS))
    at = 8 * random.randrange(max(1, len(packed) // 8))
    return packed[:at] + struct.pack("<d", random.choice(_FLOATS)) + packed[at + 8 :]


_Change = Callable[[Random, bytes, Sequence[bytes]], bytes]
_ANY: Final[tuple[_Change, ...]] = (
    *(_flip, _overwrite, _cut, _drop, _repeat, _insert, _splice, _noise),
)
_OF_TEXT: Final[tuple[_Change, ...]] = (_number, _token, _line, _nest)
# Half of the changes know what they change.
_CHANGES: Final[tuple[_Change, ...]] = (*_ANY, *(_structured for _ in _ANY))
