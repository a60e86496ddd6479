"""What becomes of a query in the ledger and in the log, on either side.

No decision without its event, no answer without its commitment: what the log does not
prove to hold does not leave. Whatever fails becomes a refusal with a stable code; its
private reason goes to this node's own log.
"""

import hashlib
import logging
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass

from veilscore.fault import Fault
from veilscore.keys.errors import ReplayError
from veilscore.keys.paillier.public import PublicKey
from veilscore.keys.tlog.events import Detail
from veilscore.node.receipts import Receipts
from veilscore.node.scoring.ledger import Ledger
from veilscore.node.scoring.query import AnyBody, CanonicalQuery
from veilscore.node.scoring.refusals import QueryRefusedError, Reason
from veilscore.v1.audit_pb2 import ScoreAnswered, ScoreDecided, ScoreRequested
from veilscore.v1.score_pb2 import ScoreAnswer, ScoreMessage, ScoreRefusal

_LOG = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Journal:
    """One party's ledger and its events; safe to use from several threads."""

    ledger: Ledger
    receipts: Receipts

    def reply(
        self,
        raw: bytes,
        sender: str,
        begin: Callable[[], tuple[bytes, Callable[[], ScoreAnswer]]],
    ) -> ScoreMessage:
        """Return the answer or the refusal to send back; raises nothing of its own.

        ``begin`` reads the query and returns the hash of what is asked, empty if this
        node does not have it, and the work that makes the answer.
        """
        digest, model = hashlib.sha256(raw).digest(), b""
        try:
            model, work = begin()
            return ScoreMessage(answer=work())
        except QueryRefusedError as error:
            refused = error
        except Exception as error:  # noqa: BLE001 - a border: the peer gets a code
            # Texts of unforeseen errors may hold ids.
            told = error if isinstance(error, Fault) else type(error).__name__
            _LOG.warning("a query of %s could not be answered: %s", sender, told)
            refused = QueryRefusedError(Reason.UNAVAILABLE)
        decision = ScoreDecided(allowed=False, code=refused.code, model=model)
        with suppress(Fault):  # it stays pending and reaches the log later
            self.receipts.record(decision, correlation=digest.hex())
        return ScoreMessage(
            refusal=ScoreRefusal(digest=digest, code=refused.code, reason=refused.what)
        )

    def allow(
        self, query: CanonicalQuery, body: AnyBody, model: bytes, now: float
    ) -> None:
        """Use the nonce of an accepted query up and log the decision.

        Raises QueryRefusedError for a copy that came at the same time, and when the
        log cannot be written.
        """
        try:
            self.ledger.spend_nonce(body.requester, body.nonce, body.deadline, now)
        except ReplayError as error:
            raise QueryRefusedError(Reason.REPLAYED) from error
        self._log(query, ScoreDecided(allowed=True, model=model))

    def seal(
        self, query: CanonicalQuery, public: PublicKey, ciphertexts: Sequence[int]
    ) -> ScoreAnswer:
        """Return the answer, once the log holds a commitment to it.

        Raises QueryRefusedError when the log cannot be written.
        """
        blob = public.encode(ciphertexts)
        answered = ScoreAnswered(
            commitment=self.ledger.commit(query.digest, "answer", blob),
            ciphertexts=len(ciphertexts),
            paillier_bits=public.bits,
        )
        self._log(query, answered)
        return ScoreAnswer(digest=query.digest, ciphertexts=blob)

    def request(
        self,
        query: CanonicalQuery,
        body: AnyBody,
        *,
        model: bytes,
        holders: Sequence[str],
        entities: int,
    ) -> None:
        """Log a request of our own before it is sent; raises what the log raises."""
        requested = ScoreRequested(
            commitment=self.ledger.commit(query.digest, "query", query.raw),
            model=model,
            purpose=body.purpose,
            holders=holders,
            entities_bucket=1 << (entities - 1).bit_length(),
            consent=self.ledger.commit(query.digest, "consent", body.consent.encode()),
        )
        self.receipts.record(requested, correlation=query.correlation)

    def _log(self, query: CanonicalQuery, detail: Detail) -> None:
        try:
            self.receipts.record(detail, correlation=query.correlation)
        except Fault as fault:
            _LOG.warning("the audit log does not take an event: %s", fault)
            raise QueryRefusedError(Reason.LOG_UNREACHABLE) from fault
