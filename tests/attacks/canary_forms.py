"""Planted secrets, and every form in which one could leave its institution.

A canary is 16 random letters and digits that stand for an id, a level, a column's name
or a consent reference; a planted number is a feature with a random mantissa. Each form
has at least 8 bytes, so that in a whole run none appears by chance. Two numbers of 32
bits are sought side by side for the same reason (``leak_scanner``).
"""

import hashlib
import secrets
import string
import struct
from base64 import b64encode, urlsafe_b64encode
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice

from veilscore.keys.entity_ids import EntityKind, normalise
from veilscore.keys.linkage import hash_to_group

_LETTERS = string.ascii_letters + string.digits
_SHORTEST = 8  # bytes: the product shortens digests to 8, 16 or not at all
_PART, _PARTS, _DISTINCT = 8, 4, 3  # words of a part, parts, values in one at least
_DIGITS = 14  # characters of a number in decimal

Form = tuple[str, bytes]


@dataclass(frozen=True, slots=True)
class Canary:
    """A text that must stay at home; ``what`` says whose and which."""

    what: str
    text: str

    def forms(self) -> Iterator[Form]:
        """Yield the text and its digest in every spelling."""
        yield from spelt("text", self.text.encode())
        for encoding in ("utf-16-le", "utf-16-be"):
            yield encoding, self.text.encode(encoding)
        yield from _digested("sha256", self.text.encode())


@dataclass(frozen=True, slots=True)
class CanaryId(Canary):
    """An id, which must not leave as a point without a key either.

    A typed id holds the id, so only what is made of it is another form.
    """

    def forms(self) -> Iterator[Form]:
        """Yield the id, its digests and its point in every spelling."""
        yield from Canary.forms(self)
        typed = normalise(EntityKind.OPAQUE, self.text)
        yield from _digested("sha256 of the typed id", typed.encode())
        yield from spelt("unblinded point", hash_to_group(typed)[:_SHORTEST])


@dataclass(frozen=True, slots=True)
class CanaryWords(Canary):
    """A part of a vector that a member adds up under masks; ``text`` is its hex."""

    @classmethod
    def of(cls, what: str, vector: bytes) -> "Iterator[CanaryWords]":
        """Yield the first parts of a vector of 64-bit words that are unlike others."""
        size = 8 * _PART
        parts = (vector[at : at + size] for at in range(0, len(vector), size))
        telling = (part for part in parts if part[0] and len(_words(part)) > _DISTINCT)
        for part in islice(telling, _PARTS):
            yield cls(what, part.hex())

    def forms(self) -> Iterator[Form]:
        """Yield the words in both orders of bytes, and their digest."""
        octets = bytes.fromhex(self.text)
        yield from spelt("words little-endian", octets)
        yield from _digested("sha256 of words", octets)
        yield from spelt("words big-endian", b"".join(_reversed_words(octets)))


@dataclass(frozen=True, slots=True)
class CanaryNumber:
    """A feature of one row."""

    what: str
    value: float

    def forms(self) -> Iterator[Form]:
        """Yield the number as its file has it, its 64 bits and the digests of all.

        Bits and digests are spelt in every way.
        """
        decimal = repr(self.value)
        yield "decimal", decimal[:_DIGITS].encode()
        yield from _digested("sha256 of the decimal", decimal.encode())
        for name, octets in self._packed("d"):
            yield from spelt(f"float64 {name}", octets)
            yield from _digested(f"sha256 of float64 {name}", octets)
        for name, octets in self._packed("f"):
            yield from _digested(f"sha256 of float32 {name}", octets)

    def short_forms(self) -> Iterator[Form]:
        """Yield the number as 32 bits in both orders."""
        for name, octets in self._packed("f"):
            yield f"float32 {name}", octets

    def _packed(self, width: str) -> Iterator[Form]:
        for name, order in (("little", "<"), ("big", ">")):
            yield f"{name}-endian", struct.pack(order + width, self.value)


def fresh_text() -> str:
    """Return the text of a new canary."""
    return "".join(secrets.choice(_LETTERS) for _ in range(16))


def fresh_number(middle: float = 0.0) -> float:
    """Return a number within 1 of ``middle`` whose mantissa is random."""
    return middle + secrets.SystemRandom().uniform(-1, 1)


def _words(octets: bytes) -> set[bytes]:
    return {octets[at : at + 8] for at in range(0, len(octets), 8)}


def _reversed_words(octets: bytes) -> Iterator[bytes]:
    for at in range(0, len(octets), 8):
        yield octets[at : at + 8][::-1]


def _digested(what: str, octets: bytes) -> Iterator[Form]:
    """Yield the beginning of a plain hash: the product shortens some."""
    yield from spelt(what, hashlib.sha256(octets).digest()[:_SHORTEST])


def spelt(what: str, octets: bytes) -> Iterator[Form]:
    """Yield bytes as they are, in hexadecimal and in base64."""
    yield what, octets
    yield f"{what}, hex", octets.hex().encode()
    yield f"{what}, HEX", octets.hex().upper().encode()
    for name, encode in (("base64", b64encode), ("base64url", urlsafe_b64encode)):
        for before in range(3):
            # The characters that depend on these octets alone, however many stand
            # before them in what was encoded.
            first = -(-8 * before // 6)
            last = 8 * (before + len(octets)) // 6
            encoded = encode(bytes(before) + octets)[first:last]
            yield f"{what}, {name} at {before} modulo 3", encoded
