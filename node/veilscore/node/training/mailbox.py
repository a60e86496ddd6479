"""Messages of one run that arrived, and waiting for them.

The link's thread puts messages in; the step's thread takes them out by sender and
kind. Waiting ends early, with the reason, when a party of the run is lost or the
run is over: nobody hangs on a message that will not come.
"""

import threading
from collections import defaultdict, deque

from veilscore.keys.point_set import MAX_PARTS, check_size
from veilscore.models.vertical.row_stream import AHEAD
from veilscore.node.errors import TrainingError
from veilscore.runtime.errors import PeerLostError
from veilscore.v1.training_pb2 import TrainingMessage

# A party may be this far ahead of another, in messages of one kind. Parts of rows are
# the large ones, megabytes each; of sets there may be several, which whoever is behind
# has to keep all the same.
_MAX_WAITING = 64
_MAX_OF_KIND = {"encrypted_rows": AHEAD, "blinded_set": 4 * MAX_PARTS}


class Mailbox:
    """The inbox of one run."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._messages: dict[tuple[str, str], deque[TrainingMessage]] = defaultdict(
            deque
        )
        self._lost: dict[str, str] = {}
        self._ended = ""
        self._discarded = False

    def put(self, sender: str, message: TrainingMessage) -> None:
        """Store a message; raises TrainingError if its sender floods us."""
        kind = message.WhichOneof("body") or "nothing"
        with self._changed:
            if self._discarded:
                return
            if kind == "blinded_set":
                check_size(message.blinded_set.points, sender)
            waiting = self._messages[sender, kind]
            if len(waiting) >= _MAX_OF_KIND.get(kind, _MAX_WAITING):
                raise TrainingError(f"too many messages of kind {kind}", party=sender)
            waiting.append(message)
            self._changed.notify_all()

    def lose(self, party: str, reason: str) -> None:
        """Wake whoever waits for this party, now and later."""
        with self._changed:
            self._lost[party] = reason
            self._changed.notify_all()

    def end(self, reason: str) -> None:
        """Wake everybody: the run is over."""
        with self._changed:
            self._ended = reason
            self._changed.notify_all()

    def discard(self) -> None:
        """Drop all messages, those to come, too: nobody will take one any more."""
        with self._changed:
            self._discarded = True
            self._messages.clear()

    def check_empty(self) -> None:
        """Raise TrainingError naming who sent what nobody has waited for."""
        with self._changed:
            left = [key for key, waiting in self._messages.items() if waiting]
        for sender, kind in left:
            raise TrainingError(
                f"sent more messages of kind {kind} than the step asks for",
                party=sender,
                remedy="update all nodes to one version and start the run again",
            )

    def take(
        self, kind: str, senders: tuple[str, ...], timeout_s: float
    ) -> dict[str, TrainingMessage]:
        """Wait for one message of this kind from every sender.

        Raises PeerLostError naming a sender that is gone, TrainingError when the run
        has ended or ``timeout_s`` passes, naming who did not send.
        """
        with self._changed:
            self._changed.wait_for(
                lambda: self._verdict(kind, senders) is not None, timeout_s
            )
            verdict = self._verdict(kind, senders)
            if isinstance(verdict, Exception):
                raise verdict
            missing = [name for name in senders if not self._messages[name, kind]]
            if missing:
                raise TrainingError(
                    f"did not send {kind} within {timeout_s:.0f} s",
                    party=", ".join(missing),
                    remedy="look at that node's status page and start the run again",
                )
            return {name: self._messages[name, kind].popleft() for name in senders}

    def _verdict(self, kind: str, senders: tuple[str, ...]) -> Exception | bool | None:
        """Return True when all is there, why it never will be, or None: wait on."""
        missing = [name for name in senders if not self._messages[name, kind]]
        if not missing:
            return True
        for name in missing:
            if name in self._lost:
                return PeerLostError(
                    f"was lost during the run: {self._lost[name]}",
                    party=name,
                    remedy="start the run again when that node is back",
                )
        if self._ended:
            return TrainingError(f"the run has ended: {self._ended}")
        return None
