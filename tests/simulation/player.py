"""Plays operations on a federation and drains it; ``judge`` says what came of it."""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from tests.protocol.score_cards import HOLDERS, entity
from tests.protocol.score_world import People
from tests.simulation.federation import HUB, Federation, Message
from tests.simulation.observer import Log, Observer
from tests.simulation.operations import Kind, Operation
from tests.simulation.virtual_threads import Scheduler
from veilscore.fault import Fault
from veilscore.keys.receiving import SCORE, verify_signed_key
from veilscore.keys.sealing import Sealer
from veilscore.node.scoring.answers import Scores
from veilscore.node.scoring.requester import EntityScore
from veilscore.v1.score_pb2 import ScoreMessage, ScoreQuery

BANK: Final = "bank"
WAITS_S: Final = (1, 20, 31, 290, 310, 1900, 4 * 3600 + 60)
CLOCKS_S: Final = (600, -600, 301, -301, 25, -25, 0, 0, 0, 0)
TIMEOUTS_S: Final = (30.0, 30.0, 300.0)
PARTIES: Final = (*HOLDERS, HUB)
_DRAIN_S: Final = 700
_ROUNDS: Final = 4


@dataclass(eq=False, slots=True)
class Call:
    """One request of a caller, and what came of it."""

    names: list[str]
    got: Scores[EntityScore] | None = None
    fault: Fault | None = None
    unproven: bool = False  # the scores came before the request had its receipt


class Player:
    """A federation under a scheduler."""

    def __init__(self, folder: Path, people: People, scheduler: Scheduler) -> None:
        self.scheduler = scheduler
        self.federation = Federation(folder, people, scheduler)
        self.observer = Observer(self.federation)
        self.federation.on_sent = self.observer.on_sent
        self.calls: list[Call] = []
        self.done: Counter[Kind] = Counter()
        self.told: Mapping[str, Log] = {}  # each party's own events at the end

    def play(self, operations: Sequence[Operation]) -> None:
        """Play all of them; what there is nothing for is left out."""
        for operation in operations:
            if _WAYS[operation.kind](self, operation.which, operation.how):
                self.done[operation.kind] += 1
            self.scheduler.settle()

    def drain(self) -> None:
        """Let all be well again, and everything that is open come to its end."""
        federation = self.federation
        federation.troubles.clear()
        federation.ahead.clear()
        self._pass(0)
        for _ in range(_ROUNDS):
            self.deliver_all()
            self._pass(_DRAIN_S)

    def deliver_all(self) -> None:
        """Deliver what is under way, the oldest first, and what follows from it."""
        while self.federation.under_way:
            self.observer.deliver(self.federation.under_way.pop(0))

    def ask(self, names: list[str], timeout_s: float = 30.0) -> Call:
        """Have the bank's caller ask for scores."""
        call = Call(names)
        self.calls.append(call)
        node = self.federation.nodes[BANK]

        def body() -> None:
            try:
                call.got = node.desk.ask(
                    names, purpose="pre_loan", consent="17", timeout_s=timeout_s
                )
            except Fault as fault:
                call.fault = fault
            else:
                wanted = call.got.request.encode()
                call.unproven = any(wanted in leaf for leaf in node.chain.pending())

        self.scheduler.spawn(BANK, body)
        return call

    def _pass(self, seconds: float) -> None:
        for party in HOLDERS:
            if party not in self.federation.up:  # whoever watches over it starts it
                self.federation.start(party)
        self.scheduler.advance(seconds)
        for party in sorted(self.federation.up):
            self.federation.tend(party)

    # -- one way for each operation; each says whether it had something to do --------

    def _ask(self, which: int, how: int) -> bool:
        if BANK not in self.federation.up:
            return False
        names = [entity((which + 7 * at) % 100) for at in range(1 + how % 3)]
        self.ask(names, TIMEOUTS_S[how % len(TIMEOUTS_S)])
        return True

    def _under_way(self, which: int) -> int | None:
        """Return the place of one message under way; often the oldest."""
        count = len(self.federation.under_way)
        return max(0, which - 50) % count if count else None

    def _deliver(self, which: int, how: int) -> bool:
        any_there = bool(self.federation.under_way)
        for _ in range(1 + how % 4):
            at = self._under_way(which)
            if at is not None:
                self.observer.deliver(self.federation.under_way.pop(at))
        return any_there

    def _drop(self, which: int, _: int) -> bool:
        at = self._under_way(which)
        if at is not None:
            self.federation.under_way.pop(at)
        return at is not None

    def _duplicate(self, which: int, how: int) -> bool:
        at, under_way = self._under_way(which), self.federation.under_way
        if at is not None:
            under_way.insert(how % (len(under_way) + 1), under_way[at])
        return at is not None

    def _replay(self, which: int, _: int) -> bool:
        recorded = self.federation.recorded
        if recorded:
            self.observer.deliver(recorded[which % len(recorded)])
        return bool(recorded)

    def _resend(self, which: int, how: int) -> bool:
        """Send an old query again, as a requester can that is not honest."""
        federation = self.federation
        queries = list(self.observer.queries.values())
        if not queries or BANK not in federation.up:
            return False
        query = queries[which % len(queries)]
        holder = query.body.holders[how % len(query.body.holders)]
        try:
            (peer,) = (
                verify_signed_key(key, federation.people.registry, SCORE, self._now())
                for key in federation.keys.keys(SCORE)
                if key.body.count(holder.encode())
            )
        except (Fault, ValueError):
            return False  # it has no key that is good now
        marks = federation.nodes[BANK].ledger.sent
        sealer = Sealer(federation.people.signers[BANK], BANK, marks)
        content = ScoreMessage(query=ScoreQuery(body=query.raw)).SerializeToString()
        envelope = sealer.seal(query.correlation, peer, content)
        message = Message(BANK, holder, envelope)
        federation.under_way.append(message)
        federation.recorded.append(message)
        return True

    def _now(self) -> float:
        return self.federation.clock(BANK)

    def _wait(self, which: int, _: int) -> bool:
        self._pass(WAITS_S[which % len(WAITS_S)])
        return True

    def _clock(self, which: int, how: int) -> bool:
        self.federation.ahead[PARTIES[which % 4]] = CLOCKS_S[how % len(CLOCKS_S)]
        return True

    def _stop(self, which: int, _: int) -> bool:
        party = HOLDERS[which % 3]
        if party in self.federation.up:
            self.federation.stop(party)
            self.scheduler.settle()
        self.federation.start(party)
        return True

    def _crash(self, which: int, how: int) -> bool:
        troubles = self.federation.troubles
        armed = (troubles.crash_before, troubles.crash_after)[how % 2]
        armed.add(HOLDERS[which % 3])
        return True

    def _hub(self, _which: int, _how: int) -> bool:
        self.federation.restart_hub()
        return True

    def _lose_append(self, which: int, _: int) -> bool:
        self.federation.troubles.append_lost.add(HOLDERS[which % 3])
        return True

    def _lose_receipt(self, which: int, _: int) -> bool:
        self.federation.troubles.receipt_lost.add(HOLDERS[which % 3])
        return True

    def _registry(self, _which: int, _how: int) -> bool:
        self.federation.admit_again()
        return True

    ways: Final = (
        (Kind.ASK, _ask),
        (Kind.DELIVER, _deliver),
        (Kind.DROP, _drop),
        (Kind.DUPLICATE, _duplicate),
        (Kind.REPLAY, _replay),
        (Kind.RESEND, _resend),
        (Kind.WAIT, _wait),
        (Kind.CLOCK, _clock),
        (Kind.STOP, _stop),
        (Kind.CRASH, _crash),
        (Kind.HUB, _hub),
        (Kind.LOSE_APPEND, _lose_append),
        (Kind.LOSE_RECEIPT, _lose_receipt),
        (Kind.REGISTRY, _registry),
    )


_WAYS: Final[Mapping[Kind, Callable[[Player, int, int], bool]]] = dict(Player.ways)
