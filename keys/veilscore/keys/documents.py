"""JSON files that one party signs and another reads: registries, cards, kits.

A document is a JSON object with its signer's public key and a signature over the
canonical form (sorted keys, no spaces, ASCII) of everything else. People may read it
and mail may change its line ends; whatever changes its meaning breaks the signature.
The reader verifies first and then reads every field by name and type.
"""

import hmac
import json
from collections.abc import Mapping
from typing import Final, Self, TypeVar, cast

from veilscore.keys.errors import RegistryError
from veilscore.keys.identity import Signer, VerifyKey

_FORMAT: Final = 1
_MAX_BYTES: Final = 4 << 20

_T = TypeVar("_T")


class Fields:
    """A JSON object read field by field; raises RegistryError on any surprise."""

    def __init__(self, value: object, place: str) -> None:
        self._place = place
        if not isinstance(value, dict):
            raise self._malformed("a JSON object is missing")
        self._values = dict(cast("dict[str, object]", value))

    def text(self, name: str) -> str:
        """Take a string."""
        return self._encodable(self._take(name, str), name)

    def number(self, name: str) -> int:
        """Take an integer."""
        return self._take(name, int)

    def octets(self, name: str, length: int | None = None) -> bytes:
        """Take bytes, or just ``length`` of them, in lower-case hexadecimal digits."""
        text = self.text(name)
        try:
            value = bytes.fromhex(text)
        except ValueError as error:
            raise self._malformed(f"{name!r} is not hexadecimal") from error
        if value.hex() != text or length not in (None, len(value)):
            wanted = "bytes" if length is None else f"{length} bytes"
            raise self._malformed(f"{name!r} is not {wanted} in hexadecimal")
        return value

    def texts(self, name: str) -> list[str]:
        """Take a list of strings."""
        values = cast("list[object]", self._take(name, list))
        return [self._encodable(value, name) for value in values]

    def numbers(self, name: str) -> list[int]:
        """Take a list of integers."""
        values = cast("list[object]", self._take(name, list))
        return [self._expect(value, int, name) for value in values]

    def values(self, name: str) -> list[object]:
        """Take a list of anything that JSON can hold."""
        return cast("list[object]", self._take(name, list))

    def objects(self, name: str) -> list[Self]:
        """Take a list of JSON objects."""
        values = cast("list[object]", self._take(name, list))
        return [type(self)(value, self._place) for value in values]

    def mapping(self, name: str) -> dict[str, str]:
        """Take a JSON object whose values are strings."""
        values = cast("dict[str, object]", self._take(name, dict))
        return {
            self._encodable(key, name): self._encodable(value, name)
            for key, value in values.items()
        }

    def end(self) -> None:
        """Refuse fields that nobody took."""
        if self._values:
            raise self._malformed(f"{min(self._values)[:40]!r} is an unknown field")

    def _take(self, name: str, kind: type[_T]) -> _T:
        if name not in self._values:
            raise self._malformed(f"{name!r} is missing")
        return self._expect(self._values.pop(name), kind, name)

    def _expect(self, value: object, kind: type[_T], name: str) -> _T:
        # not isinstance: true is no number here
        if type(value) is not kind:
            raise self._malformed(f"{name!r} must be of type {kind.__name__}")
        return value

    def _encodable(self, value: object, name: str) -> str:
        text = self._expect(value, str, name)
        try:
            text.encode()  # JSON can smuggle half a surrogate pair into a string
        except UnicodeEncodeError as error:
            raise self._malformed(f"{name!r} is not Unicode text") from error
        return text

    def _malformed(self, what: str) -> RegistryError:
        return RegistryError(what, place=self._place)


def sign_document(body: Mapping[str, object], domain: bytes, signer: Signer) -> bytes:
    """Return the file that holds ``body``, the signer's public key and signature."""
    signed = {
        **body,
        "format": _FORMAT,
        "public_key": signer.verify_key.raw.hex(),
    }
    signature = signer.sign(domain, _canonical(signed))
    return _written({**signed, "signature": signature.hex()})


def is_as_written(data: bytes, place: str) -> bool:
    """Say whether a document is in the one spelling that ``sign_document`` writes.

    Others say the same and verify as well; raises RegistryError if it is not JSON.
    """
    return _written(_parse(data, place)) == data


def read_object(data: bytes, place: str) -> Fields:
    """Read a JSON object that nobody has signed; raises RegistryError."""
    return Fields(_parse(data, place), place)


def open_document(
    data: bytes, domain: bytes, place: str, pinned_fingerprint: bytes | None
) -> tuple[Fields, VerifyKey]:
    """Verify a file and return its other fields and its signer.

    With no pinned fingerprint the document only proves that its author holds the
    key in it. Raises RegistryError, SignatureError or InvalidKeyError.
    """
    values = _parse(data, place)
    envelope = Fields(values, place)
    signature = envelope.octets("signature", 64)
    key = VerifyKey(envelope.octets("public_key", 32))
    if envelope.number("format") != _FORMAT:
        raise RegistryError(f"only format {_FORMAT} can be read", place=place)
    if pinned_fingerprint is not None and not hmac.compare_digest(
        key.fingerprint, pinned_fingerprint
    ):
        raise RegistryError(
            f"signed by key {key.fingerprint.hex()}, not by the pinned one",
            place=place,
            remedy="Do not use the file; compare the coordinator's fingerprint by "
            "telephone or on paper.",
        )
    del values["signature"]
    key.verify(signature, domain, _canonical(values))
    return envelope, key


def _written(values: Mapping[str, object]) -> bytes:
    return json.dumps(values, indent=2, sort_keys=True).encode() + b"\n"


def _canonical(values: Mapping[str, object]) -> bytes:
    return json.dumps(values, sort_keys=True, separators=(",", ":")).encode()


def _parse(data: bytes, place: str) -> dict[str, object]:
    if len(data) > _MAX_BYTES:
        raise RegistryError(f"the file is over {_MAX_BYTES} bytes long", place=place)
    try:
        values: object = json.loads(data, object_pairs_hook=_distinct)
    except (ValueError, RecursionError) as error:
        raise RegistryError("the file is not JSON", place=place) from error
    if not isinstance(values, dict):
        raise RegistryError("the file is not a JSON object", place=place)
    return cast("dict[str, object]", values)


def _distinct(pairs: list[tuple[str, object]]) -> dict[str, object]:
    values = dict(pairs)
    if len(values) != len(pairs):
        raise ValueError("a field appears twice")
    return values
