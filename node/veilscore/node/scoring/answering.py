"""The answering edge: files, log and workers around ``holder``.

The order is fixed: check, compute, use the nonce up, log the decision and the
commitment to the answer, and only then let the answer go. Whatever fails on the way
becomes a refusal with a stable code; its private reason goes to this node's own log.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Final

from veilscore.keys.paillier.workers import PaillierWorkers
from veilscore.keys.receiving import PeerKeys
from veilscore.keys.registry import PartyRecord
from veilscore.node.scoring.checks import check_deadline
from veilscore.node.scoring.holder import Situation, accept
from veilscore.node.scoring.journal import Journal
from veilscore.node.scoring.post import FindPeers
from veilscore.node.scoring.query import Query
from veilscore.node.scoring.receiving_keys import ScoreKeys
from veilscore.node.scoring.settings import ScoringSettings
from veilscore.node.scoring.table import Table
from veilscore.node.shelf import Shelf, ShelvedModel
from veilscore.v1.score_pb2 import ScoreAnswer, ScoreMessage

_ZEROS_KEPT: Final = 32  # for the next answers to a requester, made ahead


@dataclass(frozen=True, slots=True)
class Answering:
    """Answers score queries of others; safe to use from several threads."""

    party: str
    settings: ScoringSettings
    shelf: Shelf
    table: Table
    workers: PaillierWorkers
    keys: ScoreKeys
    journal: Journal
    clock: Callable[[], float]

    def answer(self, raw: bytes, sender: PartyRecord, peers: FindPeers) -> ScoreMessage:
        """Return the answer or the refusal to send back; raises nothing of its own."""

        def begin() -> tuple[bytes, Callable[[], ScoreAnswer]]:
            query = Query.read(raw)
            model = self.shelf.get(query.body.model)
            keys = peers(query.body.receiving_keys)
            work = partial(self._answer, query, model, sender, keys)
            return model.hash if model else b"", work

        return self.journal.reply(raw, sender.name, begin)

    def _answer(
        self,
        query: Query,
        model: ShelvedModel | None,
        sender: PartyRecord,
        peers: Mapping[str, PeerKeys],
    ) -> ScoreAnswer:
        body, now = query.body, self.clock()
        situation = Situation(
            party=self.party,
            settings=self.settings,
            sender=sender,
            model=model,
            keys=self.keys.by_digest,
            peers=peers,
            nonce_seen=self.journal.ledger.nonce_seen(sender.name, body.nonce),
            now=now,
        )
        accepted = accept(query, situation)
        points, known = self.table.partial_scores(accepted.card, body.entities)
        plaintexts = accepted.plaintexts(points.tolist(), known.tolist())
        ciphertexts = self.workers.encrypt_for(accepted.public, plaintexts)
        check_deadline(body.deadline, self.clock())
        self.workers.prefill_for(
            accepted.public, min(2 * len(ciphertexts), _ZEROS_KEPT)
        )
        answer = self.journal.answer(
            query,
            model=body.model,
            public=accepted.public,
            ciphertexts=ciphertexts,
            now=now,
        )
        check_deadline(body.deadline, self.clock())
        return answer
