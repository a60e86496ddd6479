"""Spreads an event out into names and values that a person can read.

Every field is shown, empty ones too: what an event does not say is worth knowing. The
contract and the manifest inside an event are decoded as well if they are what they
should be, and shown as bytes if not.
"""

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from typing import Final, cast

from google.protobuf.message import DecodeError, Message

from veilscore.v1.audit_pb2 import Event
from veilscore.v1.score_pb2 import ModelManifest
from veilscore.v1.training_pb2 import RunContract

_DOCUMENTS: Final[dict[str, type[Message]]] = {
    "contract_body": RunContract,
    "manifest": ModelManifest,
}
_DETAILS: Final = {field.name for field in Event.DESCRIPTOR.oneofs[0].fields}


@dataclass(frozen=True, slots=True)
class ShownField:
    """One field: a value, the fields of a document, or a row for each message."""

    name: str
    value: str | int | float | bool = ""
    is_hex: bool = False
    inner: tuple["ShownField", ...] = ()
    rows: tuple[tuple["ShownField", ...], ...] = ()


def spread_envelope(event: Event) -> tuple[ShownField, ...]:
    """Return what every event says: who, when, after what."""
    return _spread(event, skip=_DETAILS)


def spread_detail(event: Event) -> tuple[ShownField, ...]:
    """Return what this kind of event says."""
    name = event.WhichOneof("detail")
    return _spread(cast("Message", getattr(event, name))) if name else ()


def _spread(message: Message, skip: Collection[str] = ()) -> tuple[ShownField, ...]:
    return tuple(
        _show(field.name, _value(message, field.name))
        for field in message.DESCRIPTOR.fields
        if field.name not in skip
    )


def _value(message: Message, name: str) -> object:
    """Return what a field holds; of a message that is absent, an empty text."""
    value = cast("object", getattr(message, name))
    absent = isinstance(value, Message) and not message.HasField(name)
    return "" if absent else value


def _show(name: str, value: object) -> ShownField:
    match value:
        case bytes():
            document = _decode(name, value)
            if document is None:
                return ShownField(name, value.hex(), is_hex=True)
            return ShownField(name, inner=_spread(document))
        case str() | int() | float():
            return ShownField(name, value)
        case Message():
            return ShownField(name, inner=_spread(value))
        case _:  # a repeated field
            items = list(cast("Iterable[object]", value))
            texts = ", ".join(item for item in items if isinstance(item, str))
            rows = tuple(_spread(item) for item in items if isinstance(item, Message))
            return ShownField(name, texts, rows=rows)


def _decode(name: str, data: bytes) -> Message | None:
    kind = _DOCUMENTS.get(name)
    if kind is None or not data:
        return None
    try:
        document = kind.FromString(data)
    except DecodeError:
        return None
    document.DiscardUnknownFields()
    whole = document.SerializeToString(deterministic=True) == data
    return document if whole else None
