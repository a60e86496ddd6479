"""The asking edge: directory, log, workers and waiting around ``requester``.

The order is fixed: log the request, send it, wait for everybody, decrypt once. One
missing holder is no score: without its mask the others' sum is noise.
"""

import logging
import math
import secrets
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from queue import Empty, SimpleQueue
from typing import Final

import numpy as np
from numpy.typing import NDArray

from veilscore.keys.paillier.private import PrivateKey
from veilscore.keys.paillier.workers import PaillierWorkers
from veilscore.keys.receiving import PeerKeys
from veilscore.node.errors import (
    NoAnswerError,
    NoModelError,
    ScoringError,
    StoppingError,
    TooManyEntitiesError,
    UnknownModelError,
)
from veilscore.node.receipts import Receipts
from veilscore.node.scoring.ledger import Ledger
from veilscore.node.scoring.post import Post
from veilscore.node.scoring.query import MAX_AHEAD_S, NONCE_BYTES, Query
from veilscore.node.scoring.requester import EntityScore, JointRequest, write_query
from veilscore.node.scoring.table import Table
from veilscore.node.shelf import Shelf, ShelvedModel
from veilscore.runtime.errors import PeerLostError
from veilscore.v1.audit_pb2 import ScoreRequested
from veilscore.v1.score_pb2 import ScoreMessage, ScoreQuery

# A minute less than holders accept: clocks differ.
LONGEST_WAIT_S: Final = MAX_AHEAD_S - 60

_LOG = logging.getLogger(__name__)

# Sender and message, or why to wait no longer.
_Arrived = SimpleQueue[tuple[str, ScoreMessage] | StoppingError | PeerLostError]


@dataclass(frozen=True, slots=True)
class Asking:
    """Asks other data holders for scores; safe to use from several threads."""

    party: str
    max_entities: int
    private: PrivateKey | None
    shelf: Shelf
    table: Table
    workers: PaillierWorkers
    ledger: Ledger
    receipts: Receipts
    post: Post
    clock: Callable[[], float]
    _waiting: dict[bytes, _Arrived] = field(default_factory=dict[bytes, _Arrived])

    def ask(
        self,
        entities: Sequence[str],
        *,
        model: bytes | None,
        purpose: str,
        consent: str,
        timeout_s: float,
    ) -> list[EntityScore]:
        """Return joint scores; see ``ScoringDesk.ask``."""
        until = time.monotonic() + timeout_s
        private = self._check(entities, timeout_s)
        shelved = self._find(model)
        peers = self.post.peers(self.clock())
        query = write_query(
            entities,
            model=shelved,
            requester=self.party,
            peers=peers,
            public=private.public,
            purpose=purpose,
            consent=consent,
            nonce=secrets.token_bytes(NONCE_BYTES),
            deadline=math.ceil(self.clock() + timeout_s),
        )
        request = JointRequest(query, shelved, private.public)
        own_points, known = self._own(shelved, query.body.entities)
        self._record(query)
        self._collect(request, peers, until)
        residues = self.workers.decrypt(private, request.products())
        return request.scores(residues, own_points, known)

    def hand_over(self, digest: bytes, sender: str, message: ScoreMessage) -> None:
        """Give an answer or refusal to the ``ask`` that waits for it, if one does."""
        waiting = self._waiting.get(digest)
        if waiting is None:
            _LOG.info("an answer of %s that nobody waits for", sender)
        else:
            waiting.put((sender, message))

    def stop(self) -> None:
        """Let every waiting ``ask`` fail now."""
        stopping = StoppingError(
            "this node is stopping", remedy="Ask again once it runs."
        )
        for waiting in list(self._waiting.values()):
            waiting.put(stopping)

    def lose(self, party: str, reason: str) -> None:
        """Let every ``ask`` fail that waits for a party that is gone.

        The coordinator's hub counts as one: it forgot what was under way.
        """
        lost = PeerLostError(
            f"was lost before it answered: {reason}",
            party=party,
            remedy="Ask again when its node is back.",
        )
        for waiting in list(self._waiting.values()):
            waiting.put(lost)

    def _check(self, entities: Sequence[str], timeout_s: float) -> PrivateKey:
        if self.private is None:
            raise ScoringError(
                "this node has no Paillier key to decrypt scores with",
                party=self.party,
                remedy="Make one, and let the party be registered as a requester.",
            )
        if len(entities) > self.max_entities:
            raise TooManyEntitiesError(
                f"{len(entities)} entities in one request, "
                f"{self.max_entities} are allowed",
                remedy="Split the request; veilscore score has --batch for that.",
            )
        if not 0 < timeout_s <= LONGEST_WAIT_S:
            raise ScoringError(
                f"answers cannot be waited for {timeout_s:g} s",
                remedy=f"Wait {LONGEST_WAIT_S} s at most.",
            )
        return self.private

    def _find(self, model: bytes | None) -> ShelvedModel:
        found = self.shelf.latest() if model is None else self.shelf.get(model)
        if found is not None:
            return found
        if model is None:
            raise NoModelError(
                "this node has no model yet",
                party=self.party,
                remedy="Train one first.",
            )
        raise UnknownModelError(
            "this model is not here",
            party=self.party,
            remedy="Name one that this node took part in; its status lists them.",
        )

    def _own(
        self, model: ShelvedModel, entities: Sequence[str]
    ) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
        if model.card is not None:
            return self.table.partial_scores(model.card, entities)
        return np.zeros(len(entities), np.int64), np.zeros(len(entities), np.bool_)

    def _record(self, query: Query) -> None:
        body = query.body
        requested = ScoreRequested(
            commitment=self.ledger.commit(query.digest, "query", query.raw),
            model=body.model,
            purpose=body.purpose,
            holders=body.holders,
            entities_bucket=1 << (len(body.entities) - 1).bit_length(),
            consent=self.ledger.commit(query.digest, "consent", body.consent.encode()),
        )
        self.receipts.record(requested, query.correlation)

    def _collect(
        self, request: JointRequest, peers: Mapping[str, PeerKeys], until: float
    ) -> None:
        query = request.query
        message = ScoreMessage(query=ScoreQuery(body=query.raw))
        arrived = _Arrived()
        self._waiting[query.digest] = arrived
        try:
            for holder in request.missing:
                left = max(0.0, until - time.monotonic())
                self.post.send(peers[holder], message, query.correlation, left)
            while request.missing:
                left = max(0.0, until - time.monotonic())
                self._take(request, arrived.get(timeout=left))
        except Empty as error:
            raise NoAnswerError(
                "did not answer in time",
                party=", ".join(request.missing),
                remedy="Check that its node is running, then ask again.",
            ) from error
        finally:
            del self._waiting[query.digest]

    def _take(
        self,
        request: JointRequest,
        item: tuple[str, ScoreMessage] | StoppingError | PeerLostError,
    ) -> None:
        if isinstance(item, PeerLostError):
            needed = {*request.missing, self.post.registry.coordinator.name}
            if item.party in needed:
                raise item
            return
        if isinstance(item, StoppingError):
            raise item
        sender, message = item
        if message.HasField("refusal"):
            request.refused(sender, message.refusal)
        else:
            request.add(sender, message.answer)
