"""Runs the scripts of all parties of one step in this process, message by message."""

from collections import defaultdict, deque
from collections.abc import Mapping

from veilscore.models.vertical.script import Await, Script, Send
from veilscore.v1.training_pb2 import TrainingMessage


class DeadlockError(AssertionError):
    """Every party waits for somebody."""


def conduct(scripts: Mapping[str, Script]) -> list[tuple[str, str, TrainingMessage]]:
    """Drive all scripts to their end; returns (sender, recipient, message) in order."""
    transcript: list[tuple[str, str, TrainingMessage]] = []
    inbox: dict[tuple[str, str, str], deque[TrainingMessage]] = defaultdict(deque)
    waiting = dict.fromkeys(scripts, Await("nothing", ()))
    started: set[str] = set()
    while waiting:
        moved = False
        for party in list(waiting):
            wanted = waiting[party]
            keys = [(party, sender, wanted.kind) for sender in wanted.senders]
            if not all(inbox[key] for key in keys):
                continue
            moved = True
            arrived = {key[1]: inbox[key].popleft() for key in keys}
            try:
                script = scripts[party]
                action = script.send(arrived) if party in started else next(script)
                started.add(party)
                while isinstance(action, Send):
                    kind = action.message.WhichOneof("body") or ""
                    wire = TrainingMessage.FromString(
                        action.message.SerializeToString()
                    )
                    inbox[action.to, party, kind].append(wire)
                    transcript.append((party, action.to, wire))
                    action = next(script)
                waiting[party] = action
            except StopIteration:
                del waiting[party]
        if waiting and not moved:
            raise DeadlockError(f"all wait: {waiting}")
    return transcript
