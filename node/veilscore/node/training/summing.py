"""A member's side of the sums of a horizontal run.

It hands in one vector under masks and learns the sum of all members' vectors and whose
are in it. The coordinator learns neither vector nor sum; what else it may do is up to
``veilscore.keys.aggregation``, whose refusals end the run at this node.

What a member refuses because of earlier rounds it remembers for one run, in memory: a
node that was started again takes no part in what is left of the run.
"""

import hashlib
import logging
from collections.abc import Callable, Generator, Mapping
from dataclasses import dataclass, field
from typing import Final

from veilscore.keys.aggregation.history import RoundHistory
from veilscore.keys.aggregation.member import Aggregate, Member
from veilscore.keys.aggregation.terms import LONGEST, Pinned, Terms
from veilscore.keys.aggregation.wire import Kind, kind_of
from veilscore.keys.errors import UnheardError
from veilscore.models.horizontal.ports import Words
from veilscore.models.script import Action, Arrived, Send, receive
from veilscore.node.errors import RefusedError, TrainingError
from veilscore.node.training.surroundings import Surroundings
from veilscore.v1.training_pb2 import (
    RunContract,
    SumBegins,
    SumMessage,
    SumWanted,
    TrainingMessage,
)

_LOG = logging.getLogger(__name__)

# So many times longer than for a message: others may have more rows to train on.
_PATIENCE: Final = 7

_Answer = Callable[[bytes], bytes | Aggregate]


@dataclass(slots=True)
class Sums:
    """All sums of one run, one after the other; ``contract_bytes`` as everybody has it.

    ``made`` holds the SHA-256 of every sum so far, as the coordinator signed it.
    """

    around: Surroundings
    contract: RunContract
    contract_bytes: bytes
    made: list[bytes] = field(default_factory=list[bytes])
    _history: RoundHistory = field(init=False)

    def __post_init__(self) -> None:
        """Remember nothing yet."""
        noise = self.contract.horizontal.HasField("privacy")
        self._history = RoundHistory(noise=noise)

    def add(
        self, label: str, words: Words, *, whole: bool = False
    ) -> Generator[Action, Arrived, Words]:
        """Add up a vector with all members', which have it under the same label.

        Of a ``whole`` sum nobody may be missing. Raises MisconductError with evidence,
        DropoutError if the sum is made without this member, RefusedError for an attempt
        that is not at this sum, TrainingError for a vector that no envelope carries.
        """
        if words.size > LONGEST:
            raise TrainingError(
                f"the sum {label!r} has {words.size:,} words, and no envelope carries "
                f"more than {LONGEST:,}",
                party=self.around.party,
                place=f"run {self.contract.run}",
                remedy="Ask the coordinator's operator for a run over fewer columns.",
            )
        yield self._tell(SumMessage(wanted=SumWanted(label=label, length=words.size)))
        attempt: _Attempt | None = None
        try:
            while True:
                message = yield from self._hear()
                match message.sum.WhichOneof("body"):
                    case "begins":
                        if attempt is not None:
                            attempt.member.forget()
                        attempt = self._begin(message.sum.begins, words, whole=whole)
                        yield self._tell(SumMessage(signed=attempt.member.advertise()))
                    case "signed" if attempt is not None:
                        answer = attempt.answer(message.sum.signed)
                        if isinstance(answer, Aggregate):
                            self.made.append(answer.digest)
                            return answer.total
                        if answer:
                            yield self._tell(SumMessage(signed=answer))
                    case _:
                        raise self._refused("says what no sum asks for")
        finally:
            if attempt is not None:
                attempt.member.forget()

    def _hear(self) -> Generator[Action, Arrived, TrainingMessage]:
        coordinator = self.around.coordinator
        arrived = yield from receive("sum", (coordinator,), parts=_PATIENCE)
        return arrived[coordinator]

    def _begin(self, begins: SumBegins, words: Words, *, whole: bool) -> "_Attempt":
        if begins.round != len(self.made) + 1:
            raise self._refused(f"begins with sum {begins.round} out of turn")
        around = self.around
        coordinator = around.registry.party(around.coordinator)
        try:
            terms = Terms(
                run=self.contract.run,
                round=begins.round,
                attempt=begins.attempt,
                roster=tuple(
                    Pinned(each.party, around.registry.party(each.party).key)
                    for each in self.contract.roster
                ),
                aggregator=Pinned(coordinator.name, coordinator.key),
                contract=hashlib.sha256(self.contract_bytes).digest(),
                length=words.size,
                colluders=self.contract.horizontal.colluding,
                whole=whole,
            )
        except ValueError as error:
            raise self._refused("begins with what is no attempt") from error
        member = Member(terms, around.party, around.signer, self._history)
        return _Attempt(member, words)

    def _tell(self, message: SumMessage) -> Send:
        return Send(self.around.coordinator, TrainingMessage(sum=message))

    def _refused(self, what: str) -> RefusedError:
        return RefusedError(
            what,
            party=self.around.coordinator,
            place=f"run {self.contract.run}, sum {len(self.made) + 1}",
            remedy="Let coordinator and members use the same release, and start the "
            "run again.",
        )


class _Attempt:
    """One attempt at a sum: what a member answers to what the coordinator says."""

    def __init__(self, member: Member, words: Words) -> None:
        self.member = member
        self._answers: Mapping[Kind, _Answer] = {
            Kind.KEY_LIST: member.share_keys,
            Kind.SHARE_LIST: lambda shares: member.mask_input(shares, words),
            Kind.SURVIVORS: member.agree,
            Kind.AGREEMENT_LIST: member.reveal_shares,
            Kind.TOTAL: member.finish,
        }

    def answer(self, signed: bytes) -> bytes | Aggregate:
        """Answer a message of the coordinator; nothing to one that does not count.

        A message of a step that is over goes to its method, too: two different ones
        convict who signed them.
        """
        kind = kind_of(signed)
        answer = None if kind is None else self._answers.get(kind)
        if answer is None:
            _LOG.info("not heard: the coordinator says nothing that a member answers")
            return b""
        try:
            return answer(signed)
        except UnheardError as error:
            _LOG.info("not heard: %s", error)
            return b""
