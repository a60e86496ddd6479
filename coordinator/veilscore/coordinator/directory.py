"""The receiving keys that parties handed in, the newest of each for each purpose.

Everybody registered may read them. The hub checks whose they are so that nobody
fills the directory for another; a sender checks every key again before it seals to
it, because the hub is not trusted with that.
"""

import threading
from collections import OrderedDict
from collections.abc import Callable
from typing import Final

from google.protobuf.message import DecodeError

from veilscore.keys.errors import InvalidKeyError, ReplayError
from veilscore.v1 import hub_pb2

# A body holds an HPKE key of 1216 bytes and a modulus of at most 1024.
MAX_KEY_BYTES: Final = 16 * 1024
# Purposes kept a party: its runs that are not over, and some that are.
MAX_PURPOSES: Final = 256

VerifyKey = Callable[[hub_pb2.SignedKey, str, str], object]
"""Raises a Fault unless this party signed the key for this purpose, valid now."""


class KeyDirectory:
    """Thread-safe; keeps nothing on disk, because keys are handed in anew."""

    def __init__(self, verify: VerifyKey) -> None:
        self._verify = verify
        self._lock = threading.Lock()
        self._keys: dict[str, OrderedDict[str, hub_pb2.SignedKey]] = {}

    def publish(self, party: str, key: hub_pb2.SignedKey) -> None:
        """Keep a key; raises what ``verify`` raises, InvalidKeyError, ReplayError."""
        body = _parse(key)
        if body.party != party:
            raise InvalidKeyError("a receiving key of another party", party=party)
        self._verify(key, party, body.purpose)
        with self._lock:
            keys = self._keys.setdefault(party, OrderedDict())
            known = keys.pop(body.purpose, None)
            if known is not None and _parse(known).not_before > body.not_before:
                keys[body.purpose] = known
                raise ReplayError("a newer key was handed in before", party=party)
            keys[body.purpose] = key
            if len(keys) > MAX_PURPOSES:
                keys.popitem(last=False)

    def keys(self, purpose: str) -> list[hub_pb2.SignedKey]:
        """Return every party's newest key for a purpose, by party name."""
        with self._lock:
            return [
                keys[purpose]
                for _, keys in sorted(self._keys.items())
                if purpose in keys
            ]


def _parse(key: hub_pb2.SignedKey) -> hub_pb2.ReceivingKey:
    if key.ByteSize() > MAX_KEY_BYTES:
        raise InvalidKeyError("a receiving key is too large")
    try:
        return hub_pb2.ReceivingKey.FromString(key.body)
    except DecodeError as error:
        raise InvalidKeyError("this is not a receiving key") from error
