"""Has witnesses cosign the log: what is not cosigned by a quorum is not final.

Rounds follow each other: the newest checkpoint goes to all witnesses at once, and the
next one when enough have cosigned it; what was appended meanwhile is covered by that.
One witness is asked by one thread. A witness that shows a checkpoint which this log has
signed and does not continue ends everything: then the log was rolled back, or there are
two of it. Its word alone ends nothing.

Witnesses learn how large the log is and when it grows.
"""

import logging
import threading
import time
from typing import Final

from veilscore.fault import Fault
from veilscore.keys.errors import ContradictedLogError, LogPolicyError
from veilscore.keys.tlog.checkpoint import open_checkpoint
from veilscore.keys.tlog.log_policy import LogPolicy
from veilscore.keys.tlog.store import LogStore
from veilscore.runtime.errors import WireError
from veilscore.runtime.witness.client import AheadError, WitnessClient

_log = logging.getLogger(__name__)

_AGAIN_S: Final = 1.0  # before a witness that failed is asked again
_STOP_S: Final = 6.0  # a request under way has five


class Cosigning:
    """The rounds of one log, from ``start`` until ``close``.

    Raises LogPolicyError for a policy without this log, or with a witness that has no
    address.
    """

    def __init__(self, store: LogStore, policy: LogPolicy) -> None:
        if policy.logs.get(store.key.name) != store.key:
            raise LogPolicyError(
                "the log policy does not name this log",
                remedy=f"Add the line: log {store.key.vkey}",
            )
        for name, witness in policy.witnesses.items():
            if policy.needs_witnesses and not witness.url:
                raise LogPolicyError(
                    f"the witness {name} has no address",
                    remedy="Add to its line the address that `veilscore witness init` "
                    "printed.",
                )
        self._store = store
        self._policy = policy
        self._changed = threading.Condition()
        # All of the following is guarded by it.
        self._closing = False
        self._target = ""  # the checkpoint of this round; empty: there is no round
        self._size = 0  # its entries
        self._lines: dict[str, str] = {}  # of who has cosigned it
        self._final = open_checkpoint(store.checkpoint(), store.key).size
        self._faults: dict[str, Fault] = {}  # of those who could not
        self._kept = True  # whether the last cosigned checkpoint could be kept
        self._contradicted: ContradictedLogError | None = None
        asked = policy.witnesses if policy.needs_witnesses else ()
        self._threads = [
            threading.Thread(
                target=self._ask, args=(name,), name=f"witness {name}", daemon=True
            )
            for name in asked
        ]

    def start(self) -> None:
        """Begin with what is not final yet."""
        if not self._policy.needs_witnesses:
            self._store.finalise(self._store.signed())
            self._final = self._store.size
        with self._changed:
            self._begin_round()
        for thread in self._threads:
            thread.start()

    def close(self) -> None:
        """End the round under way without its result."""
        with self._changed:
            self._closing = True
            self._changed.notify_all()
        deadline = time.monotonic() + _STOP_S
        for thread in self._threads:
            if thread.is_alive():
                thread.join(max(0.0, deadline - time.monotonic()))

    def check(self) -> None:
        """Raise ContradictedLogError if a witness has seen another log than this."""
        with self._changed:
            if self._contradicted is not None:
                raise self._contradicted

    def faults(self) -> list[str]:
        """Say what is wrong: a contradiction first, then who could not cosign."""
        with self._changed:
            found = [f"{name}: {fault.what}" for name, fault in self._faults.items()]
            if not self._kept:
                found.insert(0, "cosigned checkpoints cannot be kept")
            if self._contradicted is not None:
                found.insert(0, self._contradicted.what)
            return found

    def cover(self) -> None:
        """Have what was appended just now cosigned in the next round."""
        if self._policy.needs_witnesses:
            with self._changed:
                self._begin_round()

    def wait(self, size: int, timeout_s: float) -> bool:
        """Wait until a final checkpoint covers ``size`` entries; return whether.

        Returns at once while too few witnesses answer. Raises ContradictedLogError.
        """
        if not self._policy.needs_witnesses:
            return True
        with self._changed:
            self._changed.wait_for(
                lambda: (
                    self._final >= size
                    or self._contradicted is not None
                    or not self._possible()
                ),
                timeout_s,
            )
            final = self._final
        self.check()
        return final >= size

    def _possible(self) -> bool:
        there = self._policy.witnesses.keys() - self._faults.keys()
        return not self._closing and self._policy.is_quorum(there)

    def _begin_round(self) -> None:
        """Let the newest checkpoint be cosigned, unless another is under way."""
        if not self._target and self._final < self._store.size:
            self._target = self._store.signed()
            self._size = open_checkpoint(self._target, self._store.key).size
            self._lines.clear()
            self._changed.notify_all()

    def _ask(self, name: str) -> None:
        """Ask one witness, round after round."""
        witness = self._policy.witnesses[name]
        client = WitnessClient(name, witness, self._store)
        while target := self._next(name):
            try:
                line = client.cosign(*target)
            except ContradictedLogError as error:
                self._contradict(error)
            except AheadError:
                self._overtake(target[0])
            except Fault as fault:
                self._fail(name, fault)
            except Exception as error:  # noqa: BLE001 - whatever it answers, it is asked again
                self._fail(name, WireError(f"answers oddly ({type(error).__name__})"))
            else:
                self._take(name, target[0], line)
        client.close()

    def _next(self, name: str) -> tuple[str, int] | None:
        """Wait for a checkpoint that this witness has not cosigned; None at the end."""
        with self._changed:
            self._changed.wait_for(
                lambda: (
                    self._closing
                    or (
                        self._target
                        and name not in self._lines
                        and self._contradicted is None
                    )
                )
            )
            return None if self._closing else (self._target, self._size)

    def _take(self, name: str, note: str, line: str) -> None:
        with self._changed:
            if self._faults.pop(name, None):
                _log.info("the witness %s cosigns again", name)
            if note != self._target:
                return  # the others were enough; the next round has begun
            self._lines[name] = line
            if self._policy.is_quorum(self._lines):
                self._finish_round()
            self._changed.notify_all()

    def _finish_round(self) -> None:
        """Keep the cosigned checkpoint, and begin with what came meanwhile."""
        try:
            self._store.finalise(self._target + "".join(self._lines.values()))
            self._final, kept = self._size, True
        except Fault as fault:  # the disk; the next round tries again
            kept = False
            if self._kept:
                _log.error("a cosigned checkpoint cannot be kept: %s", fault)
        self._target, self._kept = "", kept
        if not kept:
            self._changed.wait_for(lambda: self._closing, _AGAIN_S)
        self._try_round()

    def _overtake(self, note: str) -> None:
        """Give a round up for the newest checkpoint, if it is still under way."""
        with self._changed:
            if note == self._target:
                self._target = ""
                self._try_round()

    def _try_round(self) -> None:
        try:
            self._begin_round()
        except Fault as fault:  # the disk, too; whoever appends begins it
            _log.error("the log cannot show its newest checkpoint: %s", fault)

    def _fail(self, name: str, fault: Fault) -> None:
        with self._changed:
            if name not in self._faults:
                _log.warning("%s", fault)
            self._faults[name] = fault
            self._changed.notify_all()
            self._changed.wait_for(lambda: self._closing, _AGAIN_S)

    def _contradict(self, error: ContradictedLogError) -> None:
        _log.error("%s", error)
        with self._changed:
            self._contradicted = error
            self._changed.notify_all()
