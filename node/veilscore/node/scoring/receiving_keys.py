"""The node's receiving keys for scores: fresh every few hours, kept until they expire.

Everybody sees the public halves. The private halves are in the keystore, so that a
restarted node can open what was sealed to it, and are dropped when they expire: the
passphrase stolen later opens nothing recorded before.
"""

import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass, field
from threading import Lock
from typing import Final

from veilscore.fault import Fault
from veilscore.keys.errors import InvalidKeyError, LogStoreError
from veilscore.keys.identity import Signer
from veilscore.keys.keystore import Keystore
from veilscore.keys.paillier.public import PublicKey
from veilscore.keys.receiving import SCORE, ReceivingKeys
from veilscore.v1.hub_pb2 import SignedKey

LIFE_S: Final = 8 * 3600
_RENEWED_BEFORE_S: Final = LIFE_S // 2
_CLOCKS_APART_S: Final = 300  # a new key is also valid on a clock that is behind
_NAME: Final = "score-receiving-keys"
_VERSION: Final = 1


@dataclass(frozen=True, slots=True)
class _Period:
    keys: ReceivingKeys = field(repr=False)
    not_before: int
    not_after: int


class ScoreKeys:
    """The keys of one party; ``by_id`` and ``by_digest`` hold those still valid.

    ``paillier`` is the party's Paillier key if it asks for scores, and must be the same
    after a restart for keys made before it to be found.
    """

    def __init__(
        self, keystore: Keystore, signer: Signer, party: str, paillier: PublicKey | None
    ) -> None:
        self.by_id: dict[bytes, ReceivingKeys] = {}
        self.by_digest: dict[bytes, ReceivingKeys] = {}
        self._keystore = keystore
        self._signer = signer
        self._party = party
        self._paillier = paillier
        self._turn = Lock()
        self._periods: list[_Period] = []
        if _NAME in keystore.names():
            self._periods = _decode(keystore.get(_NAME))
        for period in self._periods:
            self._index(period)

    def current(self, now: float, announce: Callable[[SignedKey], object]) -> SignedKey:
        """Return the signed key to hand in; a fresh one if the last is half used up.

        ``announce`` gets a fresh key before it is stored: one that was announced and
        is never used does no harm, the reverse would be a hidden key. It raises
        LogStoreError if it could not even note the key on disk, and any other Fault
        if it will be announced later.
        """
        with self._turn:
            if self._periods:
                newest = self._periods[-1]
                if newest.not_after - now > _RENEWED_BEFORE_S:
                    return self._signed(newest)
            start = int(now)
            fresh = _Period(
                ReceivingKeys.generate(), start - _CLOCKS_APART_S, start + LIFE_S
            )
            signed = self._signed(fresh)
            try:
                announce(signed)
            except LogStoreError:
                raise
            except Fault:
                self._keep(fresh, now)
                raise
            self._keep(fresh, now)
            return signed

    def _keep(self, fresh: _Period, now: float) -> None:
        kept = [period for period in self._periods if period.not_after > now]
        dropped = [period for period in self._periods if period.not_after <= now]
        self._keystore.put(_NAME, _encode([*kept, fresh]))
        self._periods = [*kept, fresh]
        for period in dropped:
            digest = self._digest(period)
            del self.by_id[digest[:8]], self.by_digest[digest]
        self._index(fresh)

    def _index(self, period: _Period) -> None:
        digest = self._digest(period)
        self.by_id[digest[:8]] = self.by_digest[digest] = period.keys

    def _digest(self, period: _Period) -> bytes:
        return hashlib.sha256(self._signed(period).body).digest()

    def _signed(self, period: _Period) -> SignedKey:
        return period.keys.signed(
            self._signer,
            self._party,
            SCORE,
            paillier=self._paillier,
            not_before=period.not_before,
            not_after=period.not_after,
        )


def _encode(periods: list[_Period]) -> bytes:
    rows = [
        (period.keys.private_bytes().hex(), period.not_before, period.not_after)
        for period in periods
    ]
    return bytes((_VERSION,)) + json.dumps(rows).encode()


def _decode(blob: bytes) -> list[_Period]:
    if blob[0] != _VERSION:
        raise InvalidKeyError(
            f"receiving keys of version {blob[0]}, expected {_VERSION}",
            place=_NAME,
            remedy="Use the release of the program that stored them.",
        )
    rows: list[tuple[str, int, int]] = json.loads(blob[1:])
    return [
        _Period(ReceivingKeys.from_private_bytes(bytes.fromhex(keys)), start, end)
        for keys, start, end in rows
    ]
