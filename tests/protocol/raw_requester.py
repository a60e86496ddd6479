"""A requester that may send anything: no desk, only keys and envelopes."""

import queue
import secrets
from collections.abc import Sequence

from tests.protocol.score_world import SOON, START, MemoryLink, World
from veilscore.keys.receiving import (
    SCORE,
    PeerKeys,
    ReceivingKeys,
    verify_signed_key,
)
from veilscore.keys.sealing import Opener, Sealer
from veilscore.node.scoring.post import MAX_BYTES
from veilscore.node.scoring.query import Query
from veilscore.node.scoring.requester import whom_to_ask, write_query
from veilscore.node.shelf import ShelvedModel
from veilscore.v1.score_pb2 import (
    ScoreMessage,
    ScoreQuery,
    ScoreQueryBody,
)


class RawRequester:
    """Sends queries of any bytes in its own name."""

    def __init__(self, world: World, party: str = "bank") -> None:
        self._world = world
        self._link = MemoryLink(world, party)
        self._signer = world.people.signers[party]
        self.party = party
        own_key = world.people.paillier.get(party)
        self.private = own_key or world.people.paillier["bank"]
        self.public = self.private.public
        self.keys = ReceivingKeys.generate()
        self.replies: queue.Queue[ScoreMessage] = queue.Queue()
        self._link.publish(
            self.keys.signed(
                self._signer,
                party,
                SCORE,
                paillier=own_key.public if own_key else None,
                not_before=int(START) - 60,
                not_after=int(START) + 86_400,
            )
        )
        own = self.peers[party]
        self._sealer = Sealer(self._signer, party, world.sent.setdefault(party, {}))
        self._opener = Opener(party, SCORE, {own.key_id: self.keys}, {}, MAX_BYTES)
        world.recipients[party] = self._receive

    @property
    def peers(self) -> dict[str, PeerKeys]:
        registry = self._world.people.registry
        found = [
            verify_signed_key(key, registry, SCORE, self._world.now)
            for key in self._world.directory.values()
        ]
        return {keys.party: keys for keys in found}

    def body(
        self,
        entities: Sequence[str],
        model: ShelvedModel | None = None,
        holder: str | None = None,
    ) -> ScoreQueryBody:
        """Return the body of a query that all holders answer, or the one named."""
        shelved = model or self._world.nodes["bureau"].shelf.latest()
        assert shelved is not None
        return write_query(
            entities,
            model=shelved,
            holders=whom_to_ask(shelved, self.party, holder),
            requester=self.party,
            peers=self.peers,
            public=self.public,
            purpose="pre_loan",
            consent="contract 17",
            nonce=secrets.token_bytes(16),
            asked=int(self._world.now),
            deadline=int(self._world.now) + 60,
        ).body

    def send(self, holder: str, message: ScoreMessage, step: str = "") -> None:
        envelope = self._sealer.seal(
            step, self.peers[holder], message.SerializeToString()
        )
        self._link.send(holder, envelope, urgent=True)

    def ask(self, holder: str, query: ScoreQueryBody | bytes) -> ScoreMessage:
        """Send a query body, or what stands for one, and wait for the reply."""
        raw = query if isinstance(query, bytes) else Query.of(query).raw
        return self.exchange(holder, ScoreMessage(query=ScoreQuery(body=raw)))

    def exchange(self, holder: str, message: ScoreMessage) -> ScoreMessage:
        """Send a message and wait for the reply."""
        self.send(holder, message)
        return self.replies.get(timeout=SOON)

    def vector(self, holder: str, query: ScoreQueryBody) -> list[int]:
        """Return one holder's ciphertexts."""
        reply = self.ask(holder, query)
        assert reply.HasField("answer"), reply
        return self.public.decode(reply.answer.ciphertexts)

    def code(self, holder: str, query: ScoreQueryBody | bytes) -> str:
        """Return the code of one holder's refusal."""
        reply = self.ask(holder, query)
        assert reply.HasField("refusal"), "answered"
        return reply.refusal.code

    def _receive(self, sender: str, data: bytes) -> None:
        del sender
        _, plain = self._opener.open(data, self._world.people.registry)
        self.replies.put(ScoreMessage.FromString(plain))
