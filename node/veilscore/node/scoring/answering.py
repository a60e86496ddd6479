"""The answering edge: files, log and workers around ``holder``.

The order is fixed: check, use the nonce up, log the decision, compute, log the
commitment to the answer, and only then let the answer go. Whatever fails on the way
becomes a refusal with a stable code; its private reason goes to this node's own log.
"""

import hashlib
import logging
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass

from veilscore.fault import Fault
from veilscore.keys.errors import ReplayError
from veilscore.keys.paillier.workers import PaillierWorkers
from veilscore.keys.receiving import PeerKeys
from veilscore.keys.registry import PartyRecord
from veilscore.keys.tlog.events import Detail
from veilscore.node.receipts import Receipts
from veilscore.node.scoring.holder import (
    AcceptedQuery,
    Situation,
    accept,
    check_deadline,
)
from veilscore.node.scoring.ledger import Ledger
from veilscore.node.scoring.query import Query
from veilscore.node.scoring.receiving_keys import ScoreKeys
from veilscore.node.scoring.refusals import QueryRefusedError, Reason
from veilscore.node.scoring.settings import ScoringSettings
from veilscore.node.scoring.table import Table
from veilscore.node.shelf import Shelf, ShelvedModel
from veilscore.v1.audit_pb2 import ScoreAnswered, ScoreDecided
from veilscore.v1.score_pb2 import ScoreAnswer, ScoreMessage, ScoreRefusal

_LOG = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Answering:
    """Answers score queries of others; safe to use from several threads."""

    party: str
    settings: ScoringSettings
    shelf: Shelf
    table: Table
    workers: PaillierWorkers
    keys: ScoreKeys
    ledger: Ledger
    receipts: Receipts
    clock: Callable[[], float]

    def answer(
        self, raw: bytes, sender: PartyRecord, peers: Mapping[str, PeerKeys]
    ) -> ScoreMessage:
        """Return the answer or the refusal to send back; raises nothing of its own."""
        digest, model = hashlib.sha256(raw).digest(), None
        try:
            query = Query.read(raw)
            model = self.shelf.get(query.body.model)
            return ScoreMessage(answer=self._answer(query, model, sender, peers))
        except QueryRefusedError as error:
            refused = error
        except Exception as error:  # noqa: BLE001 - a border: the peer gets a code
            # Texts of unforeseen errors may hold ids.
            told = error if isinstance(error, Fault) else type(error).__name__
            _LOG.warning("a query of %s could not be answered: %s", sender.name, told)
            refused = QueryRefusedError(Reason.UNAVAILABLE)
        decision = ScoreDecided(
            allowed=False, code=refused.code, model=model.hash if model else b""
        )
        with suppress(Fault):  # it stays pending and reaches the log later
            self.receipts.record(decision, digest.hex())
        return ScoreMessage(
            refusal=ScoreRefusal(digest=digest, code=refused.code, reason=refused.what)
        )

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
            nonce_seen=self.ledger.nonce_seen(sender.name, body.nonce),
            now=now,
        )
        accepted = accept(query, situation)
        try:
            self.ledger.spend_nonce(sender.name, body.nonce, body.deadline, now)
        except ReplayError as error:  # a copy was being answered at the same time
            raise QueryRefusedError(Reason.REPLAYED) from error
        self._log(query, ScoreDecided(allowed=True, model=body.model))
        answer = self._encrypt(accepted)
        check_deadline(query, self.clock())
        return answer

    def _encrypt(self, accepted: AcceptedQuery) -> ScoreAnswer:
        query, public = accepted.query, accepted.public
        points, known = self.table.partial_scores(accepted.card, query.body.entities)
        plaintexts = accepted.plaintexts(points.tolist(), known.tolist())
        blob = public.encode(self.workers.encrypt_for(public, plaintexts))
        answered = ScoreAnswered(
            commitment=self.ledger.commit(query.digest, "answer", blob),
            ciphertexts=len(plaintexts),
            paillier_bits=public.bits,
        )
        self._log(query, answered)
        return ScoreAnswer(digest=query.digest, ciphertexts=blob)

    def _log(self, query: Query, detail: Detail) -> None:
        try:
            self.receipts.record(detail, query.correlation)
        except Fault as fault:
            _LOG.warning("the audit log does not take an event: %s", fault)
            raise QueryRefusedError(Reason.LOG_UNREACHABLE) from fault
