"""The file of one card: a version byte, canonical JSON, a SHA-256 of both.

The file holds a holder's bins and points and stays with that holder; others learn
its digest only. A file is accepted only if writing its content again gives the
same bytes, so equal cards have equal digests and nothing can hide in a file.
"""

import hashlib
import json
from dataclasses import asdict
from typing import Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from veilscore.models.errors import CardFileError, ModelsError
from veilscore.models.scorecard import Card

VERSION = 1

_DIGEST_BYTES = 32
_REMEDY = "Restore the file from a backup or train the model again"


class _Document(BaseModel):
    model_config = ConfigDict(strict=True, extra="forbid", allow_inf_nan=False)

    odds: Literal["good:bad"] = "good:bad"
    card: Card


def digest(data: bytes) -> bytes:
    """Return the SHA-256 by which others refer to a card file."""
    return hashlib.sha256(data).digest()


def encode(card: Card) -> bytes:
    """Return the one file of a card.

    Raises ``CardFileError`` if the card holds what a reader would refuse, such as
    a number that is not finite.
    """
    try:
        # Written as it will be read: odds of 20 become 20.0.
        card = _Document.model_validate_json(_canonical(card)).card
        body = bytes([VERSION]) + _canonical(card)
    except ValueError as error:
        raise CardFileError(
            "the card holds a number that is not finite or a text that is no text",
            party=card.holder,
            remedy="Train the model again",
        ) from error
    return body + digest(body)


def decode(data: bytes) -> Card:
    """Return the card of a file; raises ``CardFileError`` for any flaw in it."""
    body, checksum = data[:-_DIGEST_BYTES], data[-_DIGEST_BYTES:]
    if not body:
        raise CardFileError("the card file is too short", remedy=_REMEDY)
    if body[0] != VERSION:
        raise CardFileError(
            f"the card file has version {body[0]}, expected {VERSION}",
            remedy="Use the release of the program that wrote the file",
        )
    if digest(body) != checksum:
        raise CardFileError("the card file is damaged", remedy=_REMEDY)
    try:
        card = _Document.model_validate_json(body[1:]).card
    except (ValidationError, ModelsError) as error:
        raise CardFileError("the card file makes no card", remedy=_REMEDY) from error
    if encode(card) != data:
        raise CardFileError("the card file is not canonical", remedy=_REMEDY)
    return card


def _canonical(card: Card) -> bytes:
    return json.dumps(
        {"odds": "good:bad", "card": asdict(card)},
        sort_keys=True,
        separators=(",", ":"),
        ensure_ascii=False,
        allow_nan=False,
    ).encode()
