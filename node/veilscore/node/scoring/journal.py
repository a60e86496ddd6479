"""What becomes of a query in the ledger and in the log, on either side.

No decision without its event, no answer without its commitment: no answer leaves and no
score is decrypted before the log has proved that it holds them. A request does leave
while the log is still at it. Whatever fails becomes a refusal with a stable code; its
private reason goes to this node's own log.
"""

import hashlib
import logging
from collections.abc import Callable, Generator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass

from veilscore.fault import Fault
from veilscore.keys.errors import ReplayError
from veilscore.keys.paillier.public import PublicKey
from veilscore.node.log.receipts import Receipts
from veilscore.node.records.openings import Openings
from veilscore.node.scoring.ledger import Ledger
from veilscore.node.scoring.query import AnyQuery
from veilscore.node.scoring.refusals import QueryRefusedError, Reason
from veilscore.v1.audit_pb2 import ScoreAnswered, ScoreDecided, ScoreRequested
from veilscore.v1.score_pb2 import ScoreAnswer, ScoreMessage, ScoreRefusal

_LOG = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Journal:
    """One party's ledger and its events; safe to use from several threads."""

    ledger: Ledger
    openings: Openings
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

    def answer(
        self,
        query: AnyQuery,
        *,
        model: bytes,
        public: PublicKey,
        ciphertexts: Sequence[int],
        now: float,
        rows: int = 0,
        charge: Callable[[], None] = lambda: None,
    ) -> ScoreAnswer:
        """Return the answer to an accepted query, once the log holds what became of it.

        The nonce, what ``charge`` takes from a budget, the openings of the commitments
        and both events are on disk together, or none of them is. A hosted query has
        ``rows`` of ciphertexts.

        Raises QueryRefusedError for a copy that came at the same time, and when the
        log cannot be written, and what ``charge`` raises.
        """
        body, blob = query.body, public.encode(ciphertexts)
        try:
            with self._together():
                self.ledger.spend_nonce(body.requester, body.nonce, body.deadline, now)
                charge()
                kept = self.openings.commit(query, now, answer=blob, rows=rows)
                answered = ScoreAnswered(
                    commitment=kept.answer,
                    ciphertexts=len(ciphertexts),
                    paillier_bits=public.bits,
                )
                decided = ScoreDecided(
                    allowed=True,
                    model=model,
                    terms=kept.terms,
                    entities=kept.entities,
                )
                last = self.receipts.write(
                    decided, answered, correlation=query.correlation
                )
        except ReplayError as error:
            raise QueryRefusedError(Reason.REPLAYED) from error
        try:
            self.receipts.prove(last)
        except Fault as fault:
            _LOG.warning("the audit log does not take an event: %s", fault)
            raise QueryRefusedError(Reason.LOG_UNREACHABLE) from fault
        return ScoreAnswer(digest=query.digest, ciphertexts=blob)

    def request(
        self,
        query: AnyQuery,
        *,
        model: bytes,
        holders: Sequence[str],
        entities: int,
        now: float,
        consents: Mapping[str, int],
        rows: int = 0,
    ) -> bytes:
        """Write a request of our own down before it is sent; return its event.

        ``consents``: what ``Consents.check`` says.

        Raises LogStoreError.
        """
        with self._together():
            kept = self.openings.commit(query, now, consents=consents, rows=rows)
            requested = ScoreRequested(
                terms=kept.terms,
                entities=kept.entities,
                model=model,
                purpose=query.body.purpose,
                holders=holders,
                entities_bucket=1 << (entities - 1).bit_length(),
            )
            return self.receipts.write(requested, correlation=query.correlation)

    @contextmanager
    def concluding(self, query: AnyQuery) -> Generator[None]:
        """Note how a request of our own ends: "answered", or the code of a fault.

        The fault then names the request, which the log holds.
        """
        outcome = "internal"
        try:
            yield
            outcome = "answered"
        except Fault as fault:
            outcome = fault.code
            fault.request = query.correlation
            raise
        finally:
            self.openings.conclude(query.digest, outcome)

    @contextmanager
    def _together(self) -> Generator[None]:
        """Write what the body records at once, and what waited for the next time."""
        with self.ledger.together():
            self.openings.write_outcomes()
            yield

    @contextmanager
    def proving(self, event: bytes) -> Generator[None]:
        """Have the log prove an event while the body waits for others.

        At its end there is a proof; else what the log raises is raised, also if the
        body failed because of it.
        """
        with ThreadPoolExecutor(1, "score-proving") as thread:
            proof = thread.submit(self.receipts.prove, event)
            try:
                yield
            except Fault:
                proof.result()
                raise
        proof.result()
