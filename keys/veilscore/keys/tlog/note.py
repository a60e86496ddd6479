"""Signed notes (C2SP signed-note): text, a blank line, signature lines.

Only Ed25519 notes (type 0x01) are made and read. A note is signed over its bare
text, so its signing domain is empty; texts of notes have no zero byte and every
domain in ``identity`` ends in one, so no signature passes for the other kind.

A note's text is public. Signature lines of unknown keys are ignored, as the
specification demands: witnesses may add theirs.
"""

import base64
import binascii
import hashlib
import re
from dataclasses import dataclass

from veilscore.keys.errors import InvalidKeyError, ProofError, SignatureError
from veilscore.keys.identity import Signer, VerifyKey

_ED25519 = b"\x01"
_NO_DOMAIN = b""
_MAX_SIGNATURES = 64  # the specification asks for at least 16
_CONTROL = re.compile(r"[\x00-\x09\x0b-\x1f]")
_SIGNATURE = re.compile(r"— ([^\s+]+) ([A-Za-z0-9+/=]+)")
_VKEY = re.compile(r"([^\s+]+)\+([0-9a-f]{8})\+([A-Za-z0-9+/=]+)")


@dataclass(frozen=True, slots=True)
class NoteKey:
    """Whose signature counts: the name and the key of a log.

    Raises InvalidKeyError for a name that cannot stand in a signature line.
    """

    name: str
    key: VerifyKey

    def __post_init__(self) -> None:
        """Check the name."""
        if not self.name.isprintable() or set(self.name) & {" ", "+"} or not self.name:
            raise InvalidKeyError(f"{self.name!r} cannot name a log")

    @classmethod
    def parse(cls, vkey: str) -> "NoteKey":
        """Read what ``vkey`` writes.

        Raises:
            InvalidKeyError: not an Ed25519 verifier key.

        """
        found = _VKEY.fullmatch(vkey)
        try:
            encoded = decode_base64(found[3]) if found else b""
        except ProofError as error:
            raise InvalidKeyError("this is not a verifier key of a log") from error
        if found is None or encoded[:1] != _ED25519:
            raise InvalidKeyError("this is not a verifier key of a log")
        key = cls(found[1], VerifyKey(encoded[1:]))
        if key.key_hash.hex() != found[2]:
            raise InvalidKeyError("a verifier key's checksum is wrong", place=key.name)
        return key

    @property
    def key_hash(self) -> bytes:
        """Four bytes that tell keys of one name apart; they prove nothing."""
        named = self.name.encode() + b"\n" + _ED25519 + self.key.raw
        return hashlib.sha256(named).digest()[:4]

    @property
    def vkey(self) -> str:
        """The verifier key in the one-line form that other tools read."""
        encoded = base64.b64encode(_ED25519 + self.key.raw).decode()
        return f"{self.name}+{self.key_hash.hex()}+{encoded}"


def sign_note(text: str, name: str, signer: Signer) -> str:
    """Return a note of ``text``, which ends in a newline, signed as ``name``."""
    key = NoteKey(name, signer.verify_key)
    signature = key.key_hash + signer.sign(_NO_DOMAIN, text.encode())
    return f"{text}\n— {name} {base64.b64encode(signature).decode()}\n"


def open_note(note: str, key: NoteKey) -> str:
    """Return the text of a note that ``key`` signed.

    Raises:
        ProofError: malformed, not signed by ``key``, or not validly.

    """
    body, blank, signatures = note.rpartition("\n\n")
    lines = signatures.split("\n")
    if not blank or _CONTROL.search(note) or lines.pop():
        raise ProofError("this is not a signed note")
    if len(lines) > _MAX_SIGNATURES:
        raise ProofError("the note has too many signatures")
    text = body + "\n"
    signed = False
    for line in lines:
        found = _SIGNATURE.fullmatch(line)
        if found is None:
            raise ProofError("a signature line of the note is malformed")
        signature = decode_base64(found[2])
        if found[1] == key.name and signature[:4] == key.key_hash:
            _verify(text, signature[4:], key)
            signed = True
    if not signed:
        raise ProofError(f"the note is not signed by {key.name}")
    return text


def _verify(text: str, signature: bytes, key: NoteKey) -> None:
    # A lone surrogate, which UTF-8 cannot hold, must fail as a signature does.
    data = text.encode(errors="surrogatepass")
    try:
        key.key.verify(signature, _NO_DOMAIN, data)
    except SignatureError as error:
        raise ProofError(f"the signature of {key.name} does not verify") from error


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
