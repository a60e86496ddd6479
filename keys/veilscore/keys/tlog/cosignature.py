"""Cosignatures (C2SP tlog-cosignature): a witness says what it has seen of a log.

A cosignature says: at this time, this was the largest tree I had seen of this log, and
it continued every earlier one I saw. Enough of them under one checkpoint show that the
log has not shown somebody else another one (``log_policy`` says how many are enough).
Ed25519 only (type 0x04). The message does not name the witness, so each has a key of
its own, which signs nothing but this and evidence.

Whoever reads a cosignature learns that the witness exists and when it looked.
"""

import struct
from dataclasses import dataclass
from typing import ClassVar

from veilscore.keys.errors import SignatureError
from veilscore.keys.identity import Signer
from veilscore.keys.tlog.note import NamedKey, signatures_of

_TIME = struct.Struct(">Q")
_LATEST = 2**63 - 1
_SIGNATURE_SIZE = 64


@dataclass(frozen=True, slots=True)
class WitnessKey(NamedKey):
    """Whose cosignatures count: the name and the key of a witness."""

    TYPE: ClassVar[bytes] = b"\x04"
    NOUN: ClassVar[str] = "witness"

    def verify(self, signature: bytes, text: bytes) -> None:
        """Raise SignatureError unless this is a cosignature of a note of this text."""
        if len(signature) != _TIME.size + _SIGNATURE_SIZE or _time(signature) > _LATEST:
            raise SignatureError("this is not a cosignature")
        self.key.verify(signature[_TIME.size :], _header(_time(signature)), text)


def cosign(text: str, name: str, signer: Signer, now_s: int) -> str:
    """Return the line by which a witness cosigns the checkpoint of this text."""
    signature = signer.sign(_header(now_s), text.encode())
    return WitnessKey(name, signer.verify_key).line(_TIME.pack(now_s) + signature)


def cosigned_at(note: str, witness: WitnessKey) -> int | None:
    """Return when a witness cosigned a checkpoint, or None if it did not.

    In seconds since 1970, by the clock of the witness; the latest if it did twice.

    Raises:
        ProofError: malformed, or a cosignature of this witness does not verify.

    """
    return max(map(_time, signatures_of(note, witness)), default=None)


def _header(time_s: int) -> bytes:
    return f"cosignature/v1\ntime {time_s}\n".encode()


def _time(signature: bytes) -> int:
    time: int = _TIME.unpack_from(signature)[0]
    return time
