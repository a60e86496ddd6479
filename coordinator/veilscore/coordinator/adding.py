"""The sums of a horizontal run: adds up vectors that the coordinator cannot read.

When all members that are still in have a vector of the same sum ready, it is added up
as ``keys.aggregation`` says. Learns: how long the vector is, who is how slow, who is
missing, and sums that are noise without the members' secret.

No member is waited for longer than a phase. Who is late makes the attempt fail, or, as
soon as there are enough members without it (``Terms.fewest``), is left out, and has
left the run. An attempt that fails is followed by another one with fresh keys, unless
shares may have left.

No socket, clock or thread: times are seconds of one clock, given by the caller. What a
method returns is to be done in its order. All that affects the order is here.
"""

import logging
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

from veilscore.coordinator.errors import RunError
from veilscore.fault import Fault
from veilscore.keys.aggregation.aggregator import Aggregator
from veilscore.keys.aggregation.terms import LONGEST, Terms
from veilscore.keys.aggregation.wire import Kind, digest
from veilscore.keys.errors import MisconductError, UnheardError
from veilscore.keys.identity import Signer
from veilscore.v1.aggregation_pb2 import AggregationBody, SignedAggregation
from veilscore.v1.audit_pb2 import SumMade
from veilscore.v1.training_pb2 import SumBegins, SumMessage, SumWanted

_log = logging.getLogger(__name__)

PHASE_S: Final = 60.0  # for all members' message of one step of an attempt
ATTEMPTS: Final = 3
_LABEL: Final = 64  # characters of a sum's name

# What members send, and how a step that all of it came in ends.
_STEPS: Final[Mapping[Kind, Callable[[Aggregator], bytes]]] = {
    Kind.KEYS: Aggregator.key_list,
    Kind.SHARES: Aggregator.share_list,
    Kind.MASKED: Aggregator.survivor_set,
    Kind.AGREEMENT: Aggregator.agreement_list,
    Kind.REVEALED: Aggregator.total,
}
MOST_PHASES: Final = ATTEMPTS * len(_STEPS)  # of one sum


@dataclass(frozen=True, slots=True)
class Say:
    """A message for each of these members."""

    to: tuple[str, ...]
    message: SumMessage


@dataclass(frozen=True, slots=True)
class LeftOut:
    """The run goes on without a member, because of this."""

    party: str
    fault: Fault


@dataclass(frozen=True, slots=True)
class Caught:
    """A party broke the rules: the evidence is kept before anything is told."""

    terms: Terms
    error: MisconductError


@dataclass(frozen=True, slots=True)
class Over:
    """The run cannot go on, because of this."""

    fault: Fault


Outcome = Say | SumMade | LeftOut | Caught | Over


class _Attempt:
    """One attempt at a sum, and the step it is at."""

    def __init__(self, terms: Terms, signer: Signer) -> None:
        self.terms = terms
        self.aggregator = Aggregator(terms, signer)
        self._steps = iter(_STEPS.items())
        self.step, self._end = next(self._steps)
        self._survivors: tuple[str, ...] = ()

    def close(self) -> tuple[SumMessage, SumMade | None]:
        """End the step; return what members are told, and the sum after the last one.

        Raises MisconductError if a member's shares do not fit together.
        """
        said = self._end(self.aggregator)
        body = SignedAggregation.FromString(said).body
        made = None
        if self.step is Kind.MASKED:
            content = AggregationBody.FromString(body)
            self._survivors = tuple(content.survivors.members)
        if self.step is Kind.REVEALED:
            made = SumMade(
                round=self.terms.round,
                attempt=self.terms.attempt,
                members=sorted(self._survivors),
                total=digest(body),
            )
        else:
            self.step, self._end = next(self._steps)
        return SumMessage(signed=said), made


class Adding:
    """All sums of one run, one after the other.

    ``terms`` are those of any attempt of the run: sums, attempts and lengths are
    counted here. After an ``Over`` nothing happens any more.
    """

    def __init__(self, terms: Terms, signer: Signer, phase_s: float = PHASE_S) -> None:
        self._terms = terms
        self._signer = signer
        self._phase_s = phase_s
        self._in = list(terms.names)
        self._answered: set[str] = set()  # who has no more sums in this step
        self._wants: dict[str, SumWanted] = {}  # of the sum that is due or under way
        self._attempt: _Attempt | None = None
        self._round = 0
        self._step_ends = math.inf
        self._phase_ends = math.inf
        self._over = False

    @property
    def members(self) -> tuple[str, ...]:
        """Who is still in."""
        return tuple(self._in)

    @property
    def idle(self) -> bool:
        """Whether no member waits for a sum."""
        return self._over or not self._wants

    @property
    def due(self) -> float:
        """When to ``wake`` this."""
        if self.idle:
            return math.inf
        return self._phase_ends if self._attempt else self._step_ends

    # -- told by the caller ------------------------------------------------------

    def begin_step(self, ends: float, *, whole: bool = False) -> None:
        """Note that a step begins, after which nobody is waited for any more.

        Of its sums nobody may be missing if they are ``whole``.
        """
        self._terms = replace(self._terms, whole=whole)
        self._answered.clear()
        self._step_ends = ends

    def take(self, sender: str, message: SumMessage, now: float) -> list[Outcome]:
        """Take what a party sent; who has left is not heard."""
        if self._over or sender not in self._in:
            _log.info("did not hear %s, which takes no part", sender)
            return []
        match message.WhichOneof("body"):
            case "wanted":
                return list(self._want(sender, message.wanted, now))
            case "signed":
                return list(self._hear(sender, message.signed, now))
            case _:
                return list(self._broke(sender, "sent what no member says", now))

    def answer(self, party: str, now: float) -> list[Outcome]:
        """Note that a member has done the step, and so wants no more sums in it."""
        self._answered.add(party)
        return list(self._go_on(now))

    def leave(self, party: str, now: float) -> list[Outcome]:
        """Note that a party is gone: nobody waits for it any more."""
        if self._over or party not in self._in:
            return []
        self._in.remove(party)
        self._wants.pop(party, None)
        if len(self._in) < self._terms.fewest:
            return [self._end(_too_few(party, len(self._in), self._terms))]
        return list(self._go_on(now))

    def wake(self, now: float) -> list[Outcome]:
        """Go on without whoever is late; call it when ``due`` has come."""
        if now < self.due:
            return []
        if self._attempt is not None:
            return list(self._close(self._attempt, now))
        late = [name for name in self._in if name not in self._wants]
        outcomes = list(self._put_out(late, self._no_vector))
        return outcomes + list(self._go_on(now))

    # -- the order ---------------------------------------------------------------

    def _want(self, sender: str, want: SumWanted, now: float) -> Iterator[Outcome]:
        before = self._wants.get(sender)
        if before == want:
            return
        if before is not None:
            yield from self._broke(sender, "wants two sums at a time", now)
        elif not (1 <= want.length <= LONGEST and 1 <= len(want.label) <= _LABEL):
            yield from self._broke(sender, f"wants a sum of {want.length} words", now)
        else:
            self._wants[sender] = want
            yield from self._go_on(now)

    def _hear(self, sender: str, data: bytes, now: float) -> Iterator[Outcome]:
        attempt = self._attempt
        if attempt is None:
            _log.info("did not hear %s: no sum is under way", sender)
            return
        try:
            attempt.aggregator.take(data)
        except UnheardError as error:
            _log.info("did not hear %s: %s", sender, error)
        except MisconductError as error:
            yield from self._catch(attempt, error, sender)
        yield from self._go_on(now)

    def _catch(
        self, attempt: _Attempt, error: MisconductError, sender: str
    ) -> Iterator[Outcome]:
        """Put out who broke the rules; of two that have one key, who came second."""
        yield Caught(attempt.terms, error)
        if error.party == self._terms.aggregator.name:
            yield self._end(error)  # its key signed what this process did not
            return
        blamed = [name for name in error.party.split(", ") if name in self._in]
        if len(blamed) > 1:
            blamed = [sender]
        yield from self._put_out(blamed, lambda _: error)

    def _go_on(self, now: float) -> Iterator[Outcome]:
        """Do what nobody's message is missing for any more."""
        while self._attempt is not None and not self._late(self._attempt):
            yield from self._close(self._attempt, now)
        if self._attempt is None and not self.idle:
            waiting = {name for name in self._in if name not in self._wants}
            wants = {(want.label, want.length) for want in self._wants.values()}
            if waiting & self._answered or (not waiting and len(wants) > 1):
                yield self._end(self._disagreement())
            elif not waiting:
                self._round += 1
                yield self._begin(1, now)

    def _begin(self, attempt: int, now: float) -> Say:
        length = next(iter(self._wants.values())).length
        terms = replace(self._terms, round=self._round, attempt=attempt, length=length)
        self._attempt = _Attempt(terms, self._signer)
        self._phase_ends = now + self._phase_s
        begins = SumBegins(round=terms.round, attempt=terms.attempt)
        return Say(self.members, SumMessage(begins=begins))

    def _late(self, attempt: _Attempt) -> list[str]:
        return [name for name in attempt.aggregator.missing if name in self._in]

    def _close(self, attempt: _Attempt, now: float) -> Iterator[Outcome]:
        """End a step of the attempt, or the attempt if too few have done the step."""
        late, step = self._late(attempt), attempt.step
        if len(self._in) - len(late) < self._terms.fewest:
            yield self._fail(attempt, late, now)
            return
        try:
            message, made = attempt.close()
        except MisconductError as error:
            yield Caught(attempt.terms, error)
            yield self._end(error)  # shares have left: there is no other attempt
            return
        yield from self._put_out(late, lambda name: _missing(name, step, attempt))
        self._phase_ends = now + self._phase_s
        if made is not None:
            yield made
            self._attempt = None
            self._wants.clear()
        yield Say(self.members, message)

    def _fail(self, attempt: _Attempt, late: Sequence[str], now: float) -> Outcome:
        if attempt.aggregator.spent or attempt.terms.attempt >= ATTEMPTS:
            return self._end(_missing(", ".join(late), attempt.step, attempt))
        _log.info("%s failed without %s", attempt.terms.place, ", ".join(late))
        return self._begin(attempt.terms.attempt + 1, now)

    def _broke(self, sender: str, what: str, now: float) -> Iterator[Outcome]:
        fault = RunError(
            what,
            party=sender,
            place=f"run {self._terms.run}",
            remedy="Update all nodes to one version and start the run again.",
        )
        yield from self._put_out([sender], lambda _: fault)
        yield from self._go_on(now)

    def _put_out(
        self, parties: Sequence[str], why: Callable[[str], Fault]
    ) -> Iterator[Outcome]:
        """Go on without these if the run can; ``why`` says it of one or of several."""
        for party in parties:
            self._in.remove(party)
            self._wants.pop(party, None)
        if parties and len(self._in) < self._terms.fewest:
            yield self._end(why(", ".join(parties)))
        else:
            yield from (LeftOut(party, why(party)) for party in parties)

    def _end(self, fault: Fault) -> Over:
        self._over, self._attempt = True, None
        return Over(fault)

    # -- reasons -----------------------------------------------------------------

    def _no_vector(self, parties: str) -> Fault:
        label = next(iter(self._wants.values())).label
        return RunError(
            f"had nothing for the sum {label!r} when the step's time was over",
            party=parties,
            place=f"run {self._terms.run}",
            remedy="See that node's status page.",
        )

    def _disagreement(self) -> Fault:
        said: dict[str, list[str]] = {}
        for name in self._in:
            if want := self._wants.get(name):
                what = f"{want.label!r} of {want.length} words"
            else:
                what = "no more sum" if name in self._answered else "nothing yet"
            said.setdefault(what, []).append(name)
        return RunError(
            "members of the run want different sums: "
            + "; ".join(f"{what}: {', '.join(names)}" for what, names in said.items()),
            place=f"run {self._terms.run}",
            remedy="Update all nodes to one version and start the run again.",
        )


def _missing(parties: str, step: Kind, attempt: _Attempt) -> Fault:
    return RunError(
        f"its message {str(step)!r} of a sum did not come in time",
        party=parties,
        place=attempt.terms.place,
        remedy="See whether that node runs, what its log says, and the line to it.",
    )


def _too_few(party: str, left: int, terms: Terms) -> Fault:
    return RunError(
        f"has left, and {left} members are left where {terms.fewest} are needed",
        party=party,
        place=f"run {terms.run}",
        remedy="Start the run again when that node is back.",
    )
