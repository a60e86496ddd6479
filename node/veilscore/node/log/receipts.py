"""No receipt, no score: events go to the coordinator's log and come back proven.

An event is signed and on disk before it is sent, and counts as recorded only once the
log has proved that it holds it, under a checkpoint that the node's own policy accepts,
and that proof is on disk. What could not be sent stays pending and goes first the next
time, or by ``catch_up``, so the log gets a party's events complete and in order. Events
that several threads record at the same time travel together.

While too few witnesses cosign, what the log alone has signed is enough for a time of
grace; the events stay pending meanwhile, which makes them a signed spool. When the
oldest of them has waited that long nothing is recorded any more, whatever the log says.
"""

import math
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from threading import Lock

from veilscore.keys.errors import ProofError, QuorumError
from veilscore.keys.tlog.chain import ActorChain
from veilscore.keys.tlog.events import MOST_TOGETHER, Detail, read_event
from veilscore.keys.tlog.log_policy import LogPolicy
from veilscore.keys.tlog.tlog_proof import TlogProof
from veilscore.v1.hub_pb2 import AppendResponse

SOON_S = 15.0
"""An event that nobody waits for goes by ``catch_up``, every 5 s; that is no fault."""
_REMEMBERED = 20  # events for the status page


@dataclass(frozen=True, slots=True)
class Recorded:
    """An event that the log has proved to hold."""

    index: int
    leaf: bytes


class Receipts:
    """Records one party's events; one object a chain, used by any of its threads.

    ``append`` hands leaves to the coordinator, ``policy`` says whose checkpoints count,
    and ``grace_s`` how long the log's own word may stand for them.
    """

    def __init__(
        self,
        chain: ActorChain,
        append: Callable[[Sequence[bytes]], AppendResponse],
        policy: LogPolicy,
        clock: Callable[[], float],
        *,
        grace_s: float = 0,
    ) -> None:
        self._last: deque[Recorded] = deque(maxlen=_REMEMBERED)
        self._chain = chain
        self._append = append
        self._policy = policy
        self._clock = clock
        self._grace_s = grace_s
        self._turn = Lock()  # the log takes a party's events in their order only
        # Pending events that the log has signed for, and when we made them.
        self._unwitnessed: dict[bytes, float] = {}

    def record(self, *details: Detail, correlation: str) -> None:
        """Append events, all or none, and check the log's proofs of them.

        Raises LogStoreError if they or their proofs may not even be on disk here,
        ProofError if the log does not prove that it holds them, QuorumError if
        witnesses have not cosigned for too long, and what ``append`` raises.
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

        Raises what ``record`` does.
        """
        with self._turn:
            pending = self._chain.pending()
            # Whoever had the turn before may have sent it along.
            if leaf in pending:
                self._send_new(pending)
                self._check_grace()

    def catch_up(self) -> None:
        """Send all events that have no receipt; raises what ``record`` does."""
        with self._turn:
            self._send_new(self._chain.pending())
            self._ask_again()
            self._check_grace()

    def waits(self) -> bool:
        """Whether the log has not signed for an event in ``SOON_S``."""
        now, signed = self._clock(), set(self._unwitnessed)
        return any(
            abs(now - self._signed_s(leaf)) >= SOON_S
            for leaf in self._chain.pending()
            if leaf not in signed
        )

    @property
    def unwitnessed(self) -> int:
        """How many events the log has signed for and witnesses have not."""
        return len(self._unwitnessed)

    @property
    def overdue(self) -> bool:
        """Whether nothing is recorded because the time of grace is over."""
        return self.unwitnessed > 0 and self._waited_s() >= self._grace_s

    def _send_new(self, pending: Sequence[bytes]) -> None:
        """Send what of these the log has not signed for."""
        for together in _batches([it for it in pending if it not in self._unwitnessed]):
            self._send_together(together)

    def _ask_again(self) -> None:
        """Ask for the receipts of what witnesses had not cosigned, the oldest first."""
        pending = self._chain.pending()
        for together in _batches([it for it in pending if it in self._unwitnessed]):
            self._send_together(together)
            if together[0] in self._unwitnessed:
                return  # nor have they now

    def _send_together(self, leaves: Sequence[bytes]) -> None:
        response = self._append(leaves)
        if len(response.proofs) != len(leaves):
            raise ProofError("the log did not prove every event it was sent")
        proven: list[tuple[bytes, TlogProof]] = []
        for leaf, sent in zip(leaves, response.proofs, strict=True):
            proof = TlogProof(sent.index, tuple(sent.path), sent.checkpoint)
            proof.verify_in(self._policy.open_signed(proof.checkpoint), leaf)
            if self._policy.is_witnessed(proof.checkpoint):
                proven.append((leaf, proof))
            else:
                self._unwitnessed.setdefault(leaf, self._signed_s(leaf))
        self._chain.confirm(proven)
        for leaf, proof in proven:
            self._unwitnessed.pop(leaf, None)
            self._last.append(Recorded(proof.index, leaf))

    def _signed_s(self, leaf: bytes) -> float:
        """Return when we made an event, so that a restart gives no new grace."""
        return read_event(leaf).event.time_ms / 1000

    def _check_grace(self) -> None:
        if self._waited_s() >= self._grace_s:
            self._ask_again()  # the witnesses may have come back just now
        waited_s = self._waited_s()
        if waited_s >= self._grace_s:
            raise QuorumError(
                f"for {waited_s:.0f} s too few witnesses have cosigned the log",
                remedy="Ask the coordinator's operator which witnesses do not answer. "
                "Events wait here and nothing is lost.",
            )

    def _waited_s(self) -> float:
        """Return how long the oldest event waits for witnesses."""
        return self._clock() - min(self._unwitnessed.values(), default=math.inf)

    def last(self) -> list[Recorded]:
        """Return the newest recorded events, the newest first."""
        return list(reversed(self._last))


def _batches(leaves: Sequence[bytes]) -> Iterator[Sequence[bytes]]:
    for start in range(0, len(leaves), MOST_TOGETHER):
        yield leaves[start : start + MOST_TOGETHER]
