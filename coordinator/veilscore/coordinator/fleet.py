"""The nodes of one run, as the coordinator's training code sees them.

A step is one Flower message to each named node and one reply from each. Flower's
own ``send_and_receive`` sleeps three seconds at a time; this loop sleeps one and is
woken by the notices that travel over the hub.

Who learns what: the coordinator sees payloads of steps, which hold no id, feature,
label or score; those travel between the parties in sealed envelopes.
"""

import threading
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Protocol

import httpx
from flwr.app import ConfigRecord, Message, RecordDict

from veilscore.coordinator.errors import RunError
from veilscore.runtime.awake_clock import AwakeClock
from veilscore.runtime.flower.pace import Pace
from veilscore.runtime.flower.server_task import error_name

_LONGEST_TEXT = 300
# A node says over the hub that it is done before its SuperNode sends the reply. What is
# not here so long afterwards is lost: Flower hands out a reply, too, only once.
REPLY_S = 60.0
# The code of a reply that a node did not give: Flower did, or this loop.
UNAVAILABLE = "node-unavailable"
_HANDED_OUT = "message-unavailable"
# A reply's lifetime ends with its message's but is counted on the node's clock.
# Flower lets clocks differ by 300 s.
_CLOCK_SKEW_S = 600.0


@dataclass(frozen=True, slots=True)
class StepReply:
    """What one node said to one step; ``ok`` tells which fields are filled."""

    party: str
    ok: bool
    payload: bytes
    code: str
    reason: str
    message_id: str  # of the request; the node's audit names the same


class Post(Protocol):
    """What a fleet uses of Flower's ``Grid``."""

    def push_messages(self, messages: Iterable[Message], /) -> Iterable[str]:
        """Send messages; return their ids, in order."""
        ...

    def pull_messages(
        self, message_ids: Iterable[str], /, wanted: Callable[[str], bool]
    ) -> Iterable[Message]:
        """Return the replies there are by now, each only once.

        The rest of one that has begun to come is waited for while it is ``wanted``.
        """
        ...


class Fleet:
    """Calls the nodes of one run. One thread calls; any thread may abort."""

    def __init__(
        self,
        grid: Post,
        run: str,
        node_ids: Mapping[str, int],
        *,
        wake: Callable[[Collection[str], str], None],
        step_done: threading.Event,
    ) -> None:
        self.run = run
        self._grid = grid
        self._node_ids = dict(node_ids)
        self._wake = wake
        self._pace = Pace(poked=step_done)
        self._clock = AwakeClock()
        self._aborted = ""
        self._done: dict[str, float] = {}  # since when a party says so of this step
        self._lost: set[str] = set()  # who will not answer this step
        self._left: set[str] = set()  # who will answer no step any more
        self._cut_off = False  # from the SuperLink while replies were under way

    def parties(self) -> tuple[str, ...]:
        """Return the names of the nodes, sorted."""
        return tuple(sorted(self._node_ids))

    def note_done(self, party: str) -> None:
        """Note that a party says that its reply is on its way."""
        self._done.setdefault(party, self._clock())
        self._pace.poked.set()

    def note_lost(self, party: str) -> None:
        """Note that a party's message or reply is gone: it counts as unavailable."""
        self._lost.add(party)
        self._pace.poked.set()

    def note_left(self, party: str) -> None:
        """Note that the run goes on without a party: it counts as unavailable."""
        self._left.add(party)
        self._pace.poked.set()

    def abort(self, reason: str) -> None:
        """Make this call and all later ones raise RunError."""
        self._aborted = reason
        self._pace.poked.set()

    def call(
        self,
        step: str,
        payloads: Mapping[str, bytes],
        timeout_s: float,
        judge: Callable[[StepReply], object] | None = None,
        late: Callable[[RunError], object] | None = None,
    ) -> dict[str, StepReply]:
        """Send each named party its payload and wait for all replies.

        Raises RunError if a party is not in the fleet, if one does not answer in
        time, and if the run was aborted or stopped. What a node answers, also that
        it refuses or is gone, is a reply. ``judge`` sees each as it comes and ends
        the call by raising: other nodes may be waiting for the one that failed. With
        ``late``, who does not answer in time counts as unavailable after a call of
        it, which may raise, too.
        """
        deadline = self._clock() + timeout_s
        self._check()
        self._done.clear()
        self._lost.clear()
        self._cut_off = False
        waiting = self._push(step, payloads, timeout_s)
        self._wake(tuple(payloads), step)
        replies: dict[str, StepReply] = {}
        while waiting:
            self._check()
            if self._clock() > deadline:
                silent = partial(_silent, step, timeout_s)
                self._give_up(set(waiting.values()), silent, late)
            self._check_arrived(step, waiting.values(), late)
            for reply in self._replies(waiting):
                replies[reply.party] = reply
                if judge is not None:
                    judge(reply)
            if waiting:
                self._pace.wait()
        return replies

    @property
    def _gone(self) -> Collection[str]:
        """Who will not answer this call."""
        return self._lost | self._left

    def _check(self) -> None:
        if self._aborted:
            raise RunError(self._aborted)

    def _replies(self, waiting: dict[str, str]) -> Iterator[StepReply]:
        """Yield what there is by now, taking it out of the parties by message."""
        for message in self._pull(waiting):
            self._check()
            message_id = message.metadata.reply_to_message_id
            party = waiting.get(message_id)
            if party is None:
                continue
            reply = _read(party, message_id, message)
            if reply.code == _HANDED_OUT:
                if party in self._gone:
                    continue  # see below
                if self._cut_off:
                    raise _lost_with_superlink([party])
            del waiting[message_id]
            yield reply
        for message_id, party in list(waiting.items()):
            if party in self._gone:
                del waiting[message_id]
                why = f"{party}: its SuperNode lost a message of Flower"
                yield _failure(party, message_id, UNAVAILABLE, why)

    def _check_arrived(
        self,
        step: str,
        parties: Iterable[str],
        late: Callable[[RunError], object] | None,
    ) -> None:
        now = self._clock()
        lost = [name for name in parties if now > self._done.get(name, now) + REPLY_S]
        if lost and self._cut_off:
            raise _lost_with_superlink(lost)
        if lost:
            self._give_up(lost, partial(_swallowed, step), late)

    def _give_up(
        self,
        parties: Collection[str],
        why: Callable[[str], RunError],
        late: Callable[[RunError], object] | None,
    ) -> None:
        """Wait no more for these."""
        if late is None:
            raise why(", ".join(sorted(parties)))
        for party in sorted(set(parties) - self._lost):
            late(why(party))
        self._lost.update(parties)

    def _push(
        self, step: str, payloads: Mapping[str, bytes], timeout_s: float
    ) -> dict[str, str]:
        """Return the parties by the id of the message each was sent."""
        strangers = sorted(payloads.keys() - self._node_ids)
        if strangers:
            raise RunError("not a node of this run", party=", ".join(strangers))
        messages = [
            Message(
                RecordDict(
                    {
                        "step": ConfigRecord(
                            {"run": self.run, "step": step, "payload": payload}
                        )
                    }
                ),
                self._node_ids[party],
                "query.step",
                ttl=timeout_s + _CLOCK_SKEW_S,
                group_id=step,
            )
            for party, payload in payloads.items()
        ]
        try:
            pushed = list(self._grid.push_messages(messages))
        except httpx.HTTPError as error:
            raise _superlink_error(error) from error
        if len(pushed) != len(messages) or not all(pushed):
            raise RunError(f"the SuperLink did not take the messages of step {step}")
        return dict(zip(pushed, payloads, strict=True))

    def _pull(self, waiting: Mapping[str, str]) -> Collection[Message]:
        def wanted(message_id: str) -> bool:
            return not self._aborted and waiting[message_id] not in self._gone

        try:
            return list(self._grid.pull_messages(waiting, wanted))
        except httpx.TransportError:
            self._cut_off = True
            return ()  # the SuperLink comes back by itself; the deadline decides
        except httpx.HTTPError as error:
            raise _superlink_error(error) from error


def _silent(step: str, timeout_s: float, party: str) -> RunError:
    return RunError(
        f"no answer to step {step} within {timeout_s:g} s",
        party=party,
        remedy="See whether the node runs and what its log says.",
    )


def _swallowed(step: str, party: str) -> RunError:
    return RunError(
        f"the reply to step {step} is done and did not arrive",
        party=party,
        remedy="Start the run again; if it recurs, read flower/supernode.log at that "
        "node and flower/superlink.log here.",
    )


def _lost_with_superlink(parties: Iterable[str]) -> RunError:
    return RunError(
        f"the reply of {', '.join(sorted(parties))} was lost with the SuperLink",
        remedy="Start the run again; if it recurs, read the end of "
        "flower/superlink.log.",
    )


def _superlink_error(error: httpx.HTTPError) -> RunError:
    if isinstance(error, httpx.HTTPStatusError) and error.response.status_code in (
        httpx.codes.UNAUTHORIZED,
        httpx.codes.FORBIDDEN,
    ):
        return RunError("the run was stopped")
    return RunError(f"the SuperLink failed ({type(error).__name__})")


def _read(party: str, message_id: str, message: Message) -> StepReply:
    """Return a node's reply; nothing in it is trusted."""
    if message.has_error():
        error = message.error
        name = error_name(error.code)
        # Flower's own sentence, or the type of an exception on the node.
        why = (error.reason or name)[:_LONGEST_TEXT]
        return _failure(party, message_id, name, f"{party}: {why}")
    record = message.content.config_records.get("reply", ConfigRecord())
    ok, payload = record.get("ok"), record.get("payload")
    code, reason = record.get("code"), record.get("reason")
    if not (
        isinstance(ok, bool)
        and isinstance(payload, bytes)
        and isinstance(code, str)
        and isinstance(reason, str)
    ):
        why = f"{party}: the reply is malformed"
        return _failure(party, message_id, "malformed", why)
    if not ok:
        return _failure(party, message_id, code[:_LONGEST_TEXT], reason[:_LONGEST_TEXT])
    return StepReply(party, ok, payload, "", "", message_id)


def _failure(party: str, message_id: str, code: str, reason: str) -> StepReply:
    return StepReply(party, False, b"", code, reason, message_id)  # noqa: FBT003 - ok
