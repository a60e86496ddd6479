"""Envelopes that come a second time go into the log, at a bounded rate.

Whoever carries envelopes, or their sender, may send an old one again at no cost. It is
refused in any case; the first ones are logged as incidents, by the hash of the envelope
with its sender's signature, and of a flood no more than one a minute.
"""

import hashlib
from collections.abc import Callable
from threading import Lock
from typing import Final

from veilscore.node.receipts import Receipts
from veilscore.v1.audit_pb2 import Incident

REPLAY: Final = "replay-refused"
BURST: Final = 16
EVERY_S: Final = 60.0


class Incidents:
    """The incidents that one party sees; safe to use from several threads."""

    def __init__(self, receipts: Receipts, clock: Callable[[], float]) -> None:
        self._receipts = receipts
        self._clock = clock
        self._turn = Lock()  # guards the two below: a bucket that fills with time
        self._left = float(BURST)
        self._since = clock()

    def replayed(self, envelope: bytes) -> bool:
        """Have an envelope logged that was received before; return whether it is.

        Nobody waits for the log: the event goes with the next ones, or by ``catch_up``.
        Raises LogStoreError.
        """
        if not self._take():
            return False
        evidence = hashlib.sha256(envelope).digest()
        self._receipts.write(Incident(kind=REPLAY, evidence=evidence), correlation="")
        return True

    def _take(self) -> bool:
        with self._turn:
            now = self._clock()
            passed = max(0.0, now - self._since)  # a clock may be set back
            self._since = now
            self._left = min(BURST, self._left + passed / EVERY_S)
            if self._left < 1:
                return False
            self._left -= 1
            return True
