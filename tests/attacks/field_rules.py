"""An allow-list of protobuf fields: whatever is filled in and not on it is a finding.

Labels and points have too little entropy to be recognised, so it is said of every field
that the coordinator can decode what it may hold. A finding names the field and never
quotes it.
"""

import re
import zlib
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, cast

from google.protobuf.message import DecodeError, Message
from google.protobuf.unknown_fields import UnknownFieldSet

from veilscore.keys.linkage import size_bucket

Rule = Callable[[Any], bool]


@dataclass(frozen=True, slots=True)
class Allowed:
    """What a field may hold, and how often.

    A value by its ``rule``; bytes that are a message ``inside``; or a message, of which
    the rule, if there is one, says how its fields go together.
    """

    rule: Rule | None = None
    inside: type[Message] | None = None
    most: int = 1


@dataclass(frozen=True, slots=True)
class AllowList:
    """Fields by their full name, like ``veilscore.v1.Frame.seq``."""

    fields: Mapping[str, Allowed]

    def decode(self, kind: type[Message], data: bytes) -> Iterator[str]:
        """Yield what is wrong with bytes that should be a message of this kind."""
        try:
            message = kind.FromString(data)
        except DecodeError:
            yield f"{kind.DESCRIPTOR.full_name} cannot be decoded"
        else:
            yield from self.check(message)

    def check(self, message: Message) -> Iterator[str]:
        """Yield what a message says beyond what is allowed."""
        name = message.DESCRIPTOR.full_name
        fields = UnknownFieldSet(message)  # its stub has no iterator
        for unknown in (fields[at] for at in range(len(fields))):
            yield f"{name} has an unknown field {unknown.field_number}"
        for field, value in message.ListFields():
            allowed = self.fields.get(field.full_name)
            if allowed is None:
                yield f"{field.full_name} is not on the list"
                continue
            one = isinstance(value, str | bytes | int | float | Message)
            values = [value] if one else list(cast("Collection[object]", value))
            if len(values) > allowed.most:
                yield f"{field.full_name} has {len(values)} values"
            for each in values:
                yield from self._check_value(field.full_name, allowed, each)

    def _check_value(self, name: str, allowed: Allowed, value: object) -> Iterator[str]:
        if isinstance(value, Message):
            if allowed.rule is not None and not allowed.rule(value):
                yield f"{name} has another shape than it may"
            yield from self.check(value)
        elif allowed.inside is not None:
            assert isinstance(value, bytes)
            yield from self.decode(allowed.inside, value)
        elif allowed.rule is None or not allowed.rule(value):
            yield f"{name} holds what it may not"


def one_of(*values: object) -> Allowed:
    """Allow these values only."""
    return Allowed(lambda value: value in values)


def between(least: float, most: float) -> Allowed:
    """Allow numbers within bounds."""
    return Allowed(lambda value: least <= value <= most)


def octets(size: int, most: int = 1) -> Allowed:
    """Allow so many bytes: a digest, a key, a signature, a random id."""
    return Allowed(lambda value: len(value) == size, most=most)


def text(pattern: str) -> Allowed:
    """Allow texts of this form."""
    form = re.compile(pattern)
    return Allowed(lambda value: form.fullmatch(value) is not None)


def message(most: int = 1, shape: Rule | None = None) -> Allowed:
    """Allow a message, whose own fields are on the list; ``shape`` judges it as one."""
    return Allowed(shape, most=most)


def inside(kind: type[Message]) -> Allowed:
    """Allow bytes that are a message of this kind."""
    return Allowed(inside=kind)


def several(allowed: Allowed, most: int) -> Allowed:
    """Allow a list of what is allowed."""
    return Allowed(allowed.rule, allowed.inside, most)


def power_of_two(most: int) -> Allowed:
    """Allow a size that says no more than its number of bits."""
    return Allowed(lambda value: value <= most and value & (value - 1) == 0)


def bucket(most: int) -> Allowed:
    """Allow a size that was rounded up to a power of 1.1."""
    return Allowed(lambda value: value <= most and size_bucket(value) == value)


def is_noise(data: bytes) -> bool:
    """Return whether bytes are as random as what is encrypted or blinded.

    What has a pattern is shortened by zlib, which lengthens noise.
    """
    return len(zlib.compress(data, 9)) >= len(data)
