"""Signed notes (C2SP signed-note): text, a blank line, signature lines.

A log signs with plain Ed25519 (type 0x01) over the bare text, so its signing domain is
empty; texts of notes have no zero byte and every domain in ``identity`` ends in one, so
no signature passes for the other kind. Witnesses sign in their own way
(``cosignature``).

A note's text is public. Signature lines of unknown keys are ignored, as the
specification demands: witnesses may add theirs.
"""

import base64
import binascii
import hashlib
import re
from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar, Self

from veilscore.keys.errors import InvalidKeyError, ProofError, SignatureError
from veilscore.keys.identity import Signer, VerifyKey

_NO_DOMAIN = b""
_MAX_SIGNATURES = 64  # the specification asks for at least 16
_CONTROL = re.compile(r"[\x00-\x09\x0b-\x1f]")
_SIGNATURE = re.compile(r"— ([^\s+]+) ([A-Za-z0-9+/=]+)")
_VKEY = re.compile(r"([^\s+]+)\+([0-9a-f]{8})\+([A-Za-z0-9+/=]+)")


@dataclass(frozen=True, slots=True)
class NamedKey(ABC):
    """Whose signature lines count: a name and an Ed25519 key.

    Raises InvalidKeyError for a name that cannot stand in a signature line.
    """

    TYPE: ClassVar[bytes]  # of its signatures, one byte
    NOUN: ClassVar[str]  # whose key it is

    name: str
    key: VerifyKey

    def __post_init__(self) -> None:
        """Check the name."""
        if not self.name.isprintable() or set(self.name) & {" ", "+"} or not self.name:
            raise InvalidKeyError(f"{self.name!r} cannot name a {self.NOUN}")

    @classmethod
    def parse(cls, vkey: str) -> Self:
        """Read what ``vkey`` writes.

        Raises:
            InvalidKeyError: not an Ed25519 verifier key of this type.

        """
        found = _VKEY.fullmatch(vkey)
        try:
            encoded = decode_base64(found[3]) if found else b""
        except ProofError:
            found, encoded = None, b""
        if found is None or encoded[:1] != cls.TYPE:
            raise InvalidKeyError(f"this is not a verifier key of a {cls.NOUN}")
        key = cls(found[1], VerifyKey(encoded[1:]))
        if key.key_hash.hex() != found[2]:
            raise InvalidKeyError("a verifier key's checksum is wrong", place=key.name)
        return key

    @property
    def key_hash(self) -> bytes:
        """Four bytes that tell keys of one name apart; they prove nothing."""
        named = self.name.encode() + b"\n" + self.TYPE + self.key.raw
        return hashlib.sha256(named).digest()[:4]

    @property
    def vkey(self) -> str:
        """The verifier key in the one-line form that other tools read."""
        encoded = base64.b64encode(self.TYPE + self.key.raw).decode()
        return f"{self.name}+{self.key_hash.hex()}+{encoded}"

    @abstractmethod
    def verify(self, signature: bytes, text: bytes) -> None:
        """Raise SignatureError unless the signature is over a note of this text."""

    def line(self, signature: bytes) -> str:
        """Return the line of a signature by this key."""
        encoded = base64.b64encode(self.key_hash + signature).decode()
        return f"— {self.name} {encoded}\n"


@dataclass(frozen=True, slots=True)
class NoteKey(NamedKey):
    """Whose checkpoints count: the name and the key of a log."""

    TYPE: ClassVar[bytes] = b"\x01"
    NOUN: ClassVar[str] = "log"

    def verify(self, signature: bytes, text: bytes) -> None:
        """Raise SignatureError unless the signature is over this text."""
        self.key.verify(signature, _NO_DOMAIN, text)


def sign_note(text: str, name: str, signer: Signer) -> str:
    """Return a note of ``text``, which ends in a newline, signed as ``name``."""
    key = NoteKey(name, signer.verify_key)
    return f"{text}\n{key.line(signer.sign(_NO_DOMAIN, text.encode()))}"


def open_note(note: str, key: NamedKey) -> str:
    """Return the text of a note that ``key`` signed.

    Raises:
        ProofError: malformed, not signed by ``key``, or not validly.

    """
    if not signatures_of(note, key):
        raise ProofError(f"the note is not signed by {key.name}")
    return text_of(note)


def signatures_of(note: str, key: NamedKey) -> list[bytes]:
    """Return the signatures by ``key`` on a note, all of them verified.

    Raises:
        ProofError: malformed, or one of them does not verify.

    """
    # A lone surrogate, which UTF-8 cannot hold, must fail as a signature does.
    text = text_of(note).encode(errors="surrogatepass")
    found = [
        signature
        for name, key_hash, signature in _signatures(note)
        if name == key.name and key_hash == key.key_hash
    ]
    for signature in found:
        try:
            key.verify(signature, text)
        except SignatureError as error:
            raise ProofError(f"the signature of {key.name} does not verify") from error
    return found


def only_by(note: str, key: NamedKey) -> str:
    """Return a note with one signature of ``key`` and no other line.

    Raises:
        ProofError: malformed, not signed by ``key``, or not validly.

    """
    signatures = signatures_of(note, key)
    if not signatures:
        raise ProofError(f"the note is not signed by {key.name}")
    return f"{text_of(note)}\n{key.line(signatures[0])}"


def text_of(note: str) -> str:
    """Return the text of a note, of which no signature is verified.

    Raises:
        ProofError: malformed.

    """
    body, blank, signatures = note.rpartition("\n\n")
    if not blank or _CONTROL.search(note) or not signatures.endswith("\n"):
        raise ProofError("this is not a signed note")
    return body + "\n"


def _signatures(note: str) -> Iterator[tuple[str, bytes, bytes]]:
    """Yield (name, key hash, signature) of every line; raises ProofError."""
    lines = note.rpartition("\n\n")[2].split("\n")[:-1]
    if len(lines) > _MAX_SIGNATURES:
        raise ProofError("the note has too many signatures")
    for line in lines:
        found = _SIGNATURE.fullmatch(line)
        if found is None:
            raise ProofError("a signature line of the note is malformed")
        signature = decode_base64(found[2])
        yield found[1], signature[:4], signature[4:]


def decode_base64(text: str) -> bytes:
    """Decode standard base64, in its one canonical spelling.

    Raises:
        ProofError: another spelling, or not base64.

    """
    try:
        data = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError) as error:
        raise ProofError("a text is not base64") from error
    if base64.b64encode(data).decode() != text:
        raise ProofError("a text is not canonical base64")
    return data
