"""Runs the scripts of all parties of one step in this process, message by message."""

from collections import defaultdict, deque
from collections.abc import Mapping
from dataclasses import dataclass, field

from veilscore.models.script import Arrived, Await, Progress, Script, Send
from veilscore.v1.training_pb2 import TrainingMessage

_START = Await("nothing", ())


class DeadlockError(AssertionError):
    """Every party waits for somebody."""


class LeftOverError(AssertionError):
    """A message that its recipient never waited for."""


@dataclass
class Talk:
    """One party's script, of which a test plays everybody else."""

    script: Script
    waits: Await | None = _START  # None when it has ended
    shown: list[Progress] = field(default_factory=list[Progress])
    _started: bool = False

    def begin(self) -> list[Send]:
        """Let it begin; return what it sends before it first waits, or ends."""
        return self.tell({})

    def tell(self, arrived: Arrived) -> list[Send]:
        """Bring what it waits for; return what it sends until it waits again."""
        sent: list[Send] = []
        try:
            action = self.script.send(arrived) if self._started else next(self.script)
            self._started = True
            while not isinstance(action, Await):
                if isinstance(action, Send):
                    sent.append(action)
                else:
                    self.shown.append(action)
                action = self.script.send({})
            self.waits = action
        except StopIteration:
            self.waits = None
        return sent


def conduct(scripts: Mapping[str, Script]) -> list[tuple[str, str, TrainingMessage]]:
    """Drive all scripts to their end; returns (sender, recipient, message) in order.

    Raises AssertionError if they wait for each other, leave a message unread, or show
    progress that goes back or does not reach its end.
    """
    transcript: list[tuple[str, str, TrainingMessage]] = []
    inbox: dict[tuple[str, str, str], deque[TrainingMessage]] = defaultdict(deque)
    talks = {party: Talk(script) for party, script in scripts.items()}
    while any(talk.waits for talk in talks.values()):
        moved = False
        for party, talk in talks.items():
            if talk.waits is None:
                continue
            keys = [(party, sender, talk.waits.kind) for sender in talk.waits.senders]
            if not all(inbox[key] for key in keys):
                continue
            moved = True
            for action in talk.tell({key[1]: inbox[key].popleft() for key in keys}):
                wire = TrainingMessage.FromString(action.message.SerializeToString())
                kind = wire.WhichOneof("body") or ""
                inbox[action.to, party, kind].append(wire)
                transcript.append((party, action.to, wire))
        if not moved:
            raise DeadlockError({party: talk.waits for party, talk in talks.items()})
    if left := {key: len(waiting) for key, waiting in inbox.items() if waiting}:
        raise LeftOverError(left)
    for talk in talks.values():
        done = [(progress.total, progress.done) for progress in talk.shown]
        assert done == sorted(done)
        assert not done or done[-1][0] == done[-1][1]
    return transcript
