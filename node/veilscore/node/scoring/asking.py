"""The asking edge: directory, log, workers and waiting around ``requester``.

The order is fixed: write the request down, send it while the log proves that it holds
it, wait for everybody and for the proof, decrypt once. One missing holder is no score:
without its mask the others' sum is noise. A consent that is registered here is looked
up before the request and again before and after decryption: one that was withdrawn
meanwhile gets no score.

Who has the whole model itself is told here what its own card says: no key, no event and
no envelope; the consent is looked up all the same.
"""

import math
import secrets
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Final

import numpy as np
from numpy.typing import NDArray

from veilscore.keys.paillier.private import PrivateKey
from veilscore.keys.paillier.workers import PaillierWorkers
from veilscore.models.scorecard import Card
from veilscore.node.errors import (
    NoModelError,
    ScoringError,
    TooManyEntitiesError,
    UnknownModelError,
)
from veilscore.node.records.consents import Consents
from veilscore.node.scoring.answers import Scores
from veilscore.node.scoring.checks import MAX_APART_S, NONCE_BYTES
from veilscore.node.scoring.journal import Journal
from veilscore.node.scoring.post import Post
from veilscore.node.scoring.requester import (
    EntityScore,
    JointRequest,
    name_entities,
    score_at_home,
    whom_to_ask,
    write_query,
)
from veilscore.node.scoring.table import Table
from veilscore.node.scoring.waiting import Waiting
from veilscore.node.shelf import Shelf, ShelvedModel
from veilscore.v1.score_pb2 import ScoreMessage, ScoreQuery

LONGEST_WAIT_S: Final = MAX_APART_S  # no holder answers later


def check_asking(
    party: str, private: PrivateKey | None, timeout_s: float
) -> PrivateKey:
    """Return the key that answers are decrypted with; raises ScoringError."""
    if private is None:
        raise ScoringError(
            "this node has no Paillier key to decrypt scores with",
            party=party,
            remedy="Make one, and let the party be registered as a requester.",
        )
    if not 0 < timeout_s <= LONGEST_WAIT_S:
        raise ScoringError(
            f"answers cannot be waited for {timeout_s:g} s",
            remedy=f"Wait {LONGEST_WAIT_S} s at most.",
        )
    return private


@dataclass(frozen=True, slots=True)
class Asking:
    """Asks other data holders for scores; safe to use from several threads."""

    party: str
    max_entities: int
    private: PrivateKey | None
    shelf: Shelf
    table: Table
    workers: PaillierWorkers
    journal: Journal
    consents: Consents
    post: Post
    waiting: Waiting
    clock: Callable[[], float]

    def ask(
        self,
        entities: Sequence[str],
        *,
        model: bytes | None,
        holder: str | None,
        purpose: str,
        consent: str,
        timeout_s: float,
    ) -> Scores[EntityScore]:
        """Return scores; see ``ScoringDesk.ask``."""
        self._check(entities)
        shelved = self._find(model)
        holders = whom_to_ask(shelved, self.party, holder)
        if not holders and shelved.card is not None:
            return self._at_home(shelved, shelved.card, entities, purpose, consent)
        until = time.monotonic() + timeout_s
        private = check_asking(self.party, self.private, timeout_s)
        asked = math.ceil(self.clock())
        peers = self.post.peers(asked, parties=(*holders, self.party))
        query = write_query(
            entities,
            model=shelved,
            holders=holders,
            requester=self.party,
            peers=peers,
            public=private.public,
            purpose=purpose,
            consent=consent,
            nonce=secrets.token_bytes(NONCE_BYTES),
            asked=asked,
            deadline=asked + math.ceil(timeout_s),
        )
        check = partial(self.consents.check, consent, query.body.entities, purpose)
        consents = check(self.clock())
        request = JointRequest(query, shelved, private.public)
        own_points, known = self._own(shelved, query.body.entities)
        event = self.journal.request(
            query,
            model=shelved.hash,
            holders=query.body.holders,
            entities=len(query.body.entities),
            now=self.clock(),
            consents=consents,
        )
        message = ScoreMessage(query=ScoreQuery(body=query.raw))
        with self.journal.concluding(query):
            with self.journal.proving(event):
                self.waiting.collect(request, message, peers, until)
            check(self.clock())
            residues = request.decrypted(private, self.workers)
            scores = request.scores(residues, own_points, known)
            check(self.clock())
            return Scores(query.correlation, scores)

    def _at_home(
        self,
        model: ShelvedModel,
        card: Card,
        typed: Sequence[str],
        purpose: str,
        consent: str,
    ) -> Scores[EntityScore]:
        entities = name_entities(typed)
        self.consents.check(consent, entities, purpose, self.clock())
        points, known = self.table.partial_scores(card, entities)
        return Scores("", score_at_home(model, card, entities, points, known))

    def _check(self, entities: Sequence[str]) -> None:
        if len(entities) > self.max_entities:
            raise TooManyEntitiesError(
                f"{len(entities)} entities in one request, "
                f"{self.max_entities} are allowed",
                remedy="Split the request; veilscore score has --batch for that.",
            )

    def _find(self, model: bytes | None) -> ShelvedModel:
        found = self.shelf.latest() if model is None else self.shelf.get(model)
        if found is not None:
            return found
        if model is None:
            raise NoModelError(
                "this node has no model yet",
                party=self.party,
                remedy="Train one first, or take in the manifest of another's: "
                "veilscore node model add",
            )
        raise UnknownModelError(
            "this model is not here",
            party=self.party,
            remedy="Name one that the node's status lists, or take in its manifest: "
            "veilscore node model add",
        )

    def _own(
        self, model: ShelvedModel, entities: Sequence[str]
    ) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
        """Return the points that this party adds itself, and which entities it knows.

        To what another holder of a whole model says nothing is added.
        """
        if model.card is None or model.whole:
            return np.zeros(len(entities), np.int64), self.table.known(entities)
        return self.table.partial_scores(model.card, entities)
