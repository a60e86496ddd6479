"""No receipt, no score: events go to the coordinator's log and come back proven.

An event is signed and on disk before it is sent, and counts as recorded only once the
log has proved that it holds it. What could not be sent stays pending and goes first
the next time, or by ``catch_up``, so the log gets a party's events complete and in
order. Events that several threads record at the same time travel together.
"""

from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from threading import Lock

from veilscore.keys.errors import ProofError
from veilscore.keys.tlog.chain import ActorChain
from veilscore.keys.tlog.events import MOST_TOGETHER, Detail
from veilscore.keys.tlog.note import NoteKey
from veilscore.keys.tlog.tlog_proof import TlogProof
from veilscore.v1.hub_pb2 import AppendResponse

_REMEMBERED = 20  # events for the status page


@dataclass(frozen=True, slots=True)
class Recorded:
    """An event that the log has proved to hold."""

    index: int
    leaf: bytes


class Receipts:
    """Records one party's events; one object a chain, used by any of its threads.

    ``append`` hands leaves to the coordinator, ``log`` is whose signature counts.
    """

    def __init__(
        self,
        chain: ActorChain,
        append: Callable[[Sequence[bytes]], AppendResponse],
        log: NoteKey,
        clock: Callable[[], float],
    ) -> None:
        self._last: deque[Recorded] = deque(maxlen=_REMEMBERED)
        self._chain = chain
        self._append = append
        self._log = log
        self._clock = clock
        self._turn = Lock()  # the log takes a party's events in their order only

    def record(self, *details: Detail, correlation: str) -> None:
        """Append events, all or none, and check the log's proofs of them.

        Raises LogStoreError if they may not even be on disk here, ProofError if the log
        does not prove that it holds them, and what ``append`` raises.
        """
        self.prove(self.write(*details, correlation=correlation))

    def write(self, *details: Detail, correlation: str) -> bytes:
        """Sign events and have them on disk; return the last, for ``prove``.

        Within a transaction of the file they are written with it. Raises LogStoreError
        if they may not be on disk.
        """
        now_ms = int(self._clock() * 1000)
        return self._chain.extend(details, correlation, now_ms)[-1]

    def prove(self, leaf: bytes) -> None:
        """Have the log prove that it holds an event and all before it.

        Raises ProofError if it does not, and what ``append`` raises.
        """
        with self._turn:
            # Whoever had the turn before may have sent it along.
            if leaf in self._chain.pending():
                self._send_pending()

    def catch_up(self) -> None:
        """Send the events that the log could not take; raises what ``record`` does."""
        with self._turn:
            self._send_pending()

    def _send_pending(self) -> None:
        while leaves := self._chain.pending()[:MOST_TOGETHER]:
            response = self._append(leaves)
            if len(response.proofs) != len(leaves):
                raise ProofError("the log did not prove every event it was sent")
            for leaf, sent in zip(leaves, response.proofs, strict=True):
                proof = TlogProof(sent.index, tuple(sent.path), sent.checkpoint)
                proof.verify(leaf, self._log)
                self._chain.confirm(leaf)
                self._last.append(Recorded(sent.index, leaf))

    def last(self) -> list[Recorded]:
        """Return the newest recorded events, the newest first."""
        return list(reversed(self._last))
