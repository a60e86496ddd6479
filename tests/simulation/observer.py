"""Looks over the shoulder of every party, and says what must not happen.

It reads all envelopes with their recipients' keys, and each party's own chain from its
file, as only a test can.
"""

import hashlib
from collections import Counter, defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final, TypeAlias

from tests.simulation.federation import Federation, Message
from tests.unit.tlog.recon_desk import read_chain
from veilscore.keys.errors import SealError
from veilscore.keys.receiving import SCORE, ReceivingKeys
from veilscore.keys.sealing import Opener
from veilscore.keys.tlog.events import OpenedEvent, read_event
from veilscore.node.log.incidents import MOST_A_DAY
from veilscore.node.scoring.checks import MAX_APART_S
from veilscore.node.scoring.post import MAX_BYTES
from veilscore.node.scoring.query import Query
from veilscore.node.scoring.receiving_keys import ScoreKeys
from veilscore.v1.envelope_pb2 import Envelope, EnvelopeHeader
from veilscore.v1.score_pb2 import ScoreMessage

Log: TypeAlias = list[OpenedEvent]
"""Events of one log, or of one party, the oldest first."""

REFUSED_AS: Final = {"clock-skew", "replayed"}


def header_of(message: Message) -> EnvelopeHeader:
    """Return what the hub sees of an envelope."""
    return EnvelopeHeader.FromString(Envelope.FromString(message.data).header)


@dataclass
class Observer:
    """What was seen so far; ``wrong`` holds a sentence for each failure."""

    federation: Federation
    wrong: list[str] = field(default_factory=list[str])
    queries: dict[str, Query] = field(default_factory=dict[str, Query])
    answers: Counter[tuple[str, str]] = field(
        default_factory=Counter[tuple[str, str]]
    )  # by correlation and holder
    refusals: Counter[str] = field(default_factory=Counter[str])  # by code
    incidents: Counter[str] = field(default_factory=Counter[str])  # by party
    _marks: defaultdict[tuple[str, int, str], int] = field(
        default_factory=lambda: defaultdict[tuple[str, int, str], int](int)
    )  # by recipient, its start and sender

    def on_sent(self, message: Message) -> None:
        """Look at an envelope in the moment in which it leaves."""
        try:
            content = self._open(message)
        except SealError:
            return  # its recipient has dropped the key
        correlation = header_of(message).step
        if content.HasField("query"):
            self.queries[correlation] = Query.read(content.query.body)
        elif content.HasField("answer"):
            self._check_answer(message.sender, correlation)
        elif content.HasField("refusal"):
            self.refusals[content.refusal.code] += 1

    def deliver(self, message: Message) -> None:
        """Deliver an envelope and look at what its recipient makes of it."""
        federation, party = self.federation, message.to
        if party not in federation.up:
            return
        header, start = header_of(message), federation.starts[party]
        readable = header.recipient_key in self._keys(party)
        mark = self._marks[party, start, message.sender]
        clock, before = federation.clock(party), len(self.own(party))
        federation.deliver(message)
        if party not in federation.up or federation.starts[party] != start:
            return  # it died of it
        evidence = hashlib.sha256(message.data).digest()
        new = self.own(party)[before:]
        told = [each for each in new if each.event.incident.evidence == evidence]
        self.incidents[party] += len(told)
        if not readable:
            return
        if header.seq > mark:
            self._marks[party, start, message.sender] = header.seq
            if not told and header.step in self.queries and message.sender == "bank":
                self._check_decision(party, header.step, new, clock)
        elif not told and self.incidents[party] < MOST_A_DAY:
            self.wrong.append(f"{party} does not log an envelope that came again")

    def own(self, party: str) -> Log:
        """Return a party's own events."""
        return [
            read_event(each.leaf)
            for each in read_chain(self.federation.nodes[party].events)
        ]

    def _check_answer(self, holder: str, correlation: str) -> None:
        """An answer leaves once, with both events proven, here and in the log."""
        self.answers[correlation, holder] += 1
        if self.answers[correlation, holder] > 1:
            self.wrong.append(f"{holder} answers a request twice")
        logged = self.federation.events(holder, correlation)
        kinds = [each.kind for each in logged]
        if "score_answered" not in kinds or "score_decided" not in kinds:
            self.wrong.append(f"{holder} answers before the log has its events")
        waiting = map(read_event, self.federation.nodes[holder].chain.pending())
        if any(each.event.correlation == correlation for each in waiting):
            self.wrong.append(f"{holder} answers without a receipt")

    def _check_decision(
        self, party: str, correlation: str, new: Log, clock: float
    ) -> None:
        decided = [
            each.event.score_decided
            for each in new
            if each.event.correlation == correlation and each.kind == "score_decided"
        ]
        if not decided:
            self.wrong.append(f"{party} does not decide on a request")
            return
        apart = abs(clock - self.queries[correlation].body.asked)
        codes = {each.code for each in decided}
        if apart > MAX_APART_S and not codes <= REFUSED_AS:
            self.wrong.append(f"{party} takes a clock {apart:.0f} s off: {codes}")
        if apart <= MAX_APART_S and "clock-skew" in codes:
            self.wrong.append(f"{party} refuses a clock {apart:.0f} s off")

    def _open(self, message: Message) -> ScoreMessage:
        party, registry = message.to, self.federation.people.registry
        opener = Opener(party, SCORE, self._keys(party), {}, MAX_BYTES)
        return ScoreMessage.FromString(opener.open(message.data, registry)[1])

    def _keys(self, party: str) -> Mapping[bytes, ReceivingKeys]:
        people = self.federation.people
        paillier = people.paillier.get(party)
        public = paillier.public if paillier else None
        keystore, signer = people.keystores[party], people.signers[party]
        return ScoreKeys(keystore, signer, party, public).by_id
