"""The hosting edge: ledger, log and workers around ``host``.

The order is fixed: check, compute, use the nonce up, charge the budget, log the
decision and the commitment to the answer, and only then let the answer go. A crash
after the charge loses budget; what else keeps the answer back gives it back.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Final

from veilscore.keys.paillier.workers import PaillierWorkers
from veilscore.keys.receiving import PeerKeys
from veilscore.keys.registry import PartyRecord
from veilscore.node.errors import BudgetSpentError
from veilscore.node.hosting.cards import Hosted, HostedCards
from veilscore.node.hosting.host import AcceptedHostedQuery, HostSituation, accept
from veilscore.node.hosting.query import HostedQuery
from veilscore.node.scoring.checks import check_deadline
from veilscore.node.scoring.journal import Journal
from veilscore.node.scoring.post import FindPeers
from veilscore.node.scoring.receiving_keys import ScoreKeys
from veilscore.node.scoring.refusals import QueryRefusedError, Reason
from veilscore.v1.score_pb2 import ScoreAnswer, ScoreMessage

_NOISE_KEPT: Final = 16  # values for the next answers to a requester
_AFTER_THE_CHARGE: Final = {Reason.LOG_UNREACHABLE, Reason.EXPIRED}


@dataclass(frozen=True, slots=True)
class Serving:
    """Answers queries for hosted scores; safe to use from several threads."""

    party: str
    cards: HostedCards
    workers: PaillierWorkers
    keys: ScoreKeys
    journal: Journal
    clock: Callable[[], float]

    def answer(self, raw: bytes, sender: PartyRecord, peers: FindPeers) -> ScoreMessage:
        """Return the answer or the refusal to send back; raises nothing of its own."""

        def begin() -> tuple[bytes, Callable[[], ScoreAnswer]]:
            query = HostedQuery.read(raw)
            hosted = self.cards.get(query.body.form)
            keys = peers(query.body.receiving_keys)
            work = partial(self._answer, query, hosted, sender, keys)
            return hosted.form if hosted else b"", work

        return self.journal.reply(raw, sender.name, begin)

    def _answer(
        self,
        query: HostedQuery,
        hosted: Hosted | None,
        sender: PartyRecord,
        peers: Mapping[str, PeerKeys],
    ) -> ScoreAnswer:
        body, now, ledger = query.body, self.clock(), self.journal.ledger
        situation = HostSituation(
            party=self.party,
            sender=sender,
            hosted=hosted,
            keys=self.keys.by_digest,
            peers=peers,
            nonce_seen=ledger.nonce_seen(sender.name, body.nonce),
            spent=ledger.spent(sender.name, hosted.name) if hosted else 0,
            now=now,
        )
        accepted = accept(query, situation)
        ciphertexts = self._evaluate(accepted)
        check_deadline(body.deadline, self.clock())
        try:
            answer = self.journal.answer(
                query,
                model=body.form,
                public=accepted.public,
                ciphertexts=ciphertexts,
                now=now,
                rows=len(ciphertexts),
                charge=partial(self._charge, accepted),
            )
            check_deadline(body.deadline, self.clock())
        except QueryRefusedError as refused:
            if refused.code in _AFTER_THE_CHARGE:  # the answer does not leave
                ledger.refund(sender.name, accepted.hosted.name, accepted.batch.charge)
            raise
        return answer

    def _charge(self, accepted: AcceptedHostedQuery) -> None:
        hosted, requester = accepted.hosted, accepted.query.body.requester
        try:
            self.journal.ledger.spend(
                requester,
                hosted.name,
                accepted.batch.charge,
                hosted.terms.budget_bits,
            )
        except BudgetSpentError as error:  # by a query at the same time
            raise QueryRefusedError(Reason.BUDGET_SPENT) from error

    def _evaluate(self, accepted: AcceptedHostedQuery) -> list[int]:
        """Return one re-randomised ciphertext a plaintext of applicants."""
        public = accepted.public
        weights = accepted.hosted.card.exponents
        sums = self.workers.weighted_sums(public, accepted.plaintexts, weights)
        padded = public.add_plain(sums, accepted.paddings())
        answer = self.workers.rerandomise(public, padded)
        self.workers.prefill(public, _NOISE_KEPT)
        return answer
