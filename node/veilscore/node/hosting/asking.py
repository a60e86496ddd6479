"""The edge of a requester of hosted scores: directory, log, workers around the core.

The order is fixed: encrypt, write the request down, send it while the log proves that
it holds it, wait for the answer and for the proof, decrypt once. A registered consent
is looked up as for joint scores.
"""

import math
import secrets
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import Final

from veilscore.keys.errors import WorkerError
from veilscore.keys.paillier.private import PrivateKey
from veilscore.keys.paillier.workers import PaillierWorkers
from veilscore.models.hosted import Form
from veilscore.models.padded_batch import Batch
from veilscore.node.errors import ScoringError, TooManyEntitiesError
from veilscore.node.hosting.requesting import (
    HostedRequest,
    most_applicants,
    write_query,
)
from veilscore.node.records.consents import Consents
from veilscore.node.scoring.answers import Scores
from veilscore.node.scoring.asking import check_asking
from veilscore.node.scoring.checks import NONCE_BYTES
from veilscore.node.scoring.journal import Journal
from veilscore.node.scoring.post import Post
from veilscore.node.scoring.waiting import Waiting
from veilscore.v1.score_pb2 import HostedQuery, ScoreMessage

_ZEROS_KEPT: Final = 256  # for the next query, which is often about one applicant


@dataclass(frozen=True, slots=True)
class HostedAsking:
    """Asks data holders for hosted scores; safe to use from several threads."""

    party: str
    private: PrivateKey | None
    workers: PaillierWorkers
    journal: Journal
    consents: Consents
    post: Post
    waiting: Waiting
    clock: Callable[[], float]

    def ask(
        self,
        form: Form,
        rows: Sequence[Sequence[int]],
        *,
        purpose: str,
        consent: str,
        timeout_s: float,
    ) -> Scores[int | float]:
        """Return hosted scores; see ``ScoringDesk.ask_hosted``."""
        until = time.monotonic() + timeout_s
        private = check_asking(self.party, self.private, timeout_s)
        public = private.public
        self._check(form, len(rows), public.bits)
        asked = math.ceil(self.clock())
        peers = self.post.peers(asked, parties=(form.holder, self.party))
        packed = Batch(public.n, form.bits, len(rows)).pack(rows)
        query = write_query(
            form,
            self.workers.encrypt_own(private, packed),
            applicants=len(rows),
            requester=self.party,
            peers=peers,
            public=public,
            purpose=purpose,
            consent=consent,
            nonce=secrets.token_bytes(NONCE_BYTES),
            asked=asked,
            deadline=asked + math.ceil(timeout_s),
        )
        check = partial(self.consents.check, consent, (), purpose)
        consents = check(self.clock())
        request = HostedRequest(query, form, public)
        event = self.journal.request(
            query,
            model=query.body.form,
            holders=[form.holder],
            entities=len(rows),
            now=self.clock(),
            consents=consents,
            rows=len(packed) // form.inputs,
        )
        message = ScoreMessage(hosted=HostedQuery(body=query.raw))
        with self.journal.concluding(query):
            with self.journal.proving(event):
                self.waiting.collect(request, message, peers, until)
            check(self.clock())
            scores = request.scores(self.workers.decrypt(private, request.ciphertexts))
            check(self.clock())
        with suppress(WorkerError):  # the node stops, and the scores are there
            self.workers.prefill_own(private, min(len(packed), _ZEROS_KEPT))
        return Scores(query.correlation, scores)

    def _check(self, form: Form, applicants: int, key_bits: int) -> None:
        if not applicants:
            raise ScoringError(
                "the request is about no applicant", remedy="Name at least one."
            )
        if form.holder == self.party:
            raise ScoringError(
                "the card of this form is this node's own",
                party=self.party,
                remedy="Name the form of another data holder.",
            )
        most = most_applicants(form, key_bits)
        if applicants > most:
            raise TooManyEntitiesError(
                f"{applicants} applicants in one request, {most} fit",
                remedy="Split the request; veilscore hosted-score does that.",
            )
