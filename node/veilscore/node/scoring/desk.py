"""The scoring desk: one object through which a node asks for scores and answers.

It ties the asking and the answering edge to the link and keeps the node's receiving
key published. The link's thread is never blocked: envelopes are opened one after the
other on a thread of the desk, queries are answered on a few more, ``ask`` waits on its
caller's thread.
"""

import hashlib
import logging
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from threading import Lock, Timer
from typing import Final, TypeAlias, TypeVar

from veilscore.fault import Fault
from veilscore.keys.errors import ReplayError
from veilscore.keys.identity import Signer
from veilscore.keys.keystore import Keystore
from veilscore.keys.paillier.private import PrivateKey
from veilscore.keys.paillier.workers import PaillierWorkers
from veilscore.keys.receiving import SCORE, PeerKeys
from veilscore.keys.registry import PartyRecord, Registry
from veilscore.keys.sealing import Opener, Sealer
from veilscore.models.hosted import Form
from veilscore.node.columns import Columns
from veilscore.node.errors import HolderUnavailableError
from veilscore.node.hosting.asking import HostedAsking
from veilscore.node.hosting.cards import HostedCards
from veilscore.node.hosting.serving import Serving
from veilscore.node.log.incidents import Incidents
from veilscore.node.log.receipts import Receipts
from veilscore.node.records.consents import Consents
from veilscore.node.records.openings import Openings
from veilscore.node.scoring.answering import Answering
from veilscore.node.scoring.answers import Scores
from veilscore.node.scoring.asking import Asking
from veilscore.node.scoring.journal import Journal
from veilscore.node.scoring.lane import Lane
from veilscore.node.scoring.ledger import Ledger
from veilscore.node.scoring.post import MAX_BYTES, FindPeers, HubLink, Post
from veilscore.node.scoring.receiving_keys import ScoreKeys
from veilscore.node.scoring.refusals import Reason
from veilscore.node.scoring.requester import EntityScore
from veilscore.node.scoring.settings import Purpose, ScoringSettings
from veilscore.node.scoring.table import Table
from veilscore.node.scoring.waiting import Waiting
from veilscore.node.shelf import Shelf
from veilscore.v1.audit_pb2 import KeyPublished
from veilscore.v1.hub_pb2 import SignedKey
from veilscore.v1.score_pb2 import ScoreMessage

REPUBLISH_S: Final = 1800.0
_SEND_S: Final = 30.0
_ANSWERING_THREADS: Final = 4
_MOST_WAITING: Final = 256  # of at most MAX_BYTES each

_LOG = logging.getLogger(__name__)

_Work: TypeAlias = Callable[[bytes, PartyRecord, FindPeers], ScoreMessage]
_R = TypeVar("_R")


class ScoringDesk:
    """Asks for and answers joint and hosted scores in the name of one party.

    ``private`` is the Paillier key that scores are decrypted with; a party without one
    only answers. The owner calls ``publish_keys`` whenever the node has attached: the
    hub keeps no keys on disk.
    """

    def __init__(
        self,
        party: str,
        registry: Registry,
        settings: ScoringSettings,
        *,
        signer: Signer,
        keystore: Keystore,
        private: PrivateKey | None,
        link: HubLink,
        shelf: Shelf,
        columns: Columns,
        workers: PaillierWorkers,
        ledger: Ledger,
        openings: Openings,
        consents: Consents,
        receipts: Receipts,
        incidents: Incidents,
        cards: HostedCards,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._link = link
        self._clock = clock
        self._receipts = receipts
        self._incidents = incidents
        self._paillier = private.public if private else None
        self._keys = ScoreKeys(keystore, signer, party, self._paillier)
        self._post = Post(
            registry,
            link,
            Sealer(signer, party, ledger.sent),
            Opener(party, SCORE, self._keys.by_id, ledger.received, MAX_BYTES),
        )
        table = Table(columns)
        journal = Journal(ledger, openings, receipts)
        self._waiting = Waiting(self._post)
        self._asking = Asking(
            party=party,
            max_entities=settings.max_entities,
            private=private,
            shelf=shelf,
            table=table,
            workers=workers,
            journal=journal,
            consents=consents,
            post=self._post,
            waiting=self._waiting,
            clock=clock,
        )
        self._answering = Answering(
            party=party,
            settings=settings,
            shelf=shelf,
            table=table,
            workers=workers,
            keys=self._keys,
            journal=journal,
            clock=clock,
        )
        self._hosted_asking = HostedAsking(
            party=party,
            private=private,
            workers=workers,
            journal=journal,
            consents=consents,
            post=self._post,
            waiting=self._waiting,
            clock=clock,
        )
        self._hosting = Serving(
            party=party,
            cards=cards,
            workers=workers,
            keys=self._keys,
            journal=journal,
            clock=clock,
        )
        # One thread: envelopes open in the order of their sequence numbers only.
        self._opening = Lane("score-opening", threads=1, most=_MOST_WAITING)
        self._serving = Lane(
            "score-answering", threads=_ANSWERING_THREADS, most=_MOST_WAITING
        )
        self._timing = Lock()  # guards the two below
        self._timer: Timer | None = None
        self._closed = False

    def publish_keys(self) -> None:
        """Hand in a receiving key now, and again twice an hour until ``close``.

        Raises KeystoreError and what the link and the log raise; it is tried again
        all the same.
        """
        self._schedule()
        self._link.publish(self._keys.current(self._clock(), self._announce))
        self._post.forget()  # which knew an older key of ours, or none

    def renew_registry(self, registry: Registry) -> None:
        """Go by this registry from now on."""
        self._post.registry = registry

    def on_envelope(self, sender: str, data: bytes) -> None:
        """Take an envelope of purpose "score"; returns at once.

        ``sender`` is the hub's word; only the signature in the envelope counts.
        """
        if len(data) > MAX_BYTES:
            _LOG.warning("an envelope of %s is too large and was dropped", sender)
            return
        self._opening.submit(self._receive, data)

    def on_lost(self, party: str, reason: str) -> None:
        """Let requests fail that wait for a party that is gone."""
        self._waiting.lose(party, reason)

    def ask(
        self,
        entities: Sequence[str],
        *,
        model: bytes | None = None,
        holder: str | None = None,
        purpose: Purpose,
        consent: str,
        timeout_s: float = 30.0,
    ) -> Scores[EntityScore]:
        """Return scores in the order of ``entities``, typed ids like "U:...".

        ``model`` is the SHA-256 of a manifest, by default the newest model's. Of a
        whole model ``holder`` is asked, by default this node's own card, and else the
        only holder; of others the sum over all.
        ``consent`` refers to the borrowers' consent in this party's own files. Waits
        for the answers, from any thread but the link's.

        Raises:
            EntityIdError: an id breaks the rules of its type or is named twice.
            HolderRefusedError: a data holder refused; names it, its code and why.
            ScoringError: there is nothing to ask about or nobody to ask, a data
                holder did not answer in time, or the answers do not fit together;
                each with a class of its own.
            Fault: the coordinator, its log or a file of this node cannot be used.

        """
        return self._ask_again_if_stale(
            lambda limit_s: self._asking.ask(
                entities,
                model=model,
                holder=holder,
                purpose=purpose,
                consent=consent,
                timeout_s=limit_s,
            ),
            timeout_s,
        )

    def ask_hosted(
        self,
        form: Form,
        rows: Sequence[Sequence[int]],
        *,
        purpose: Purpose,
        consent: str,
        timeout_s: float = 30.0,
    ) -> Scores[int | float]:
        """Return the hosted scores of ``rows``, inputs as ``form.fill_in`` gives them.

        Waits for the answer, from any thread but the link's.

        Raises:
            HolderRefusedError: the holder of the form refused; says why.
            ScoringError: there is nobody to ask about, or there are too many for one
                request, or the holder did not answer in time or not rightly.
            Fault: the coordinator, its log or a file of this node cannot be used.

        """
        return self._ask_again_if_stale(
            lambda limit_s: self._hosted_asking.ask(
                form, rows, purpose=purpose, consent=consent, timeout_s=limit_s
            ),
            timeout_s,
        )

    def close(self) -> None:
        """Stop answering, let waiting ``ask`` calls fail, finish what is under way."""
        with self._timing:
            self._closed = True
            if self._timer:
                self._timer.cancel()
        self._waiting.stop()
        self._opening.close()
        self._serving.close()

    def _receive(self, data: bytes) -> None:
        try:
            sender, message = self._post.open(data)
        except ReplayError:
            self._incidents.replayed(data)
            raise
        match message.WhichOneof("body"):
            case "query":
                work = self._answering.answer
                self._serving.submit(self._serve, sender, message.query.body, work)
            case "hosted":
                work = self._hosting.answer
                self._serving.submit(self._serve, sender, message.hosted.body, work)
            case "answer":
                self._waiting.hand_over(message.answer.digest, sender, message)
            case "refusal":
                self._waiting.hand_over(message.refusal.digest, sender, message)
            case None:
                _LOG.warning("a score message of %s is empty", sender)

    def _serve(self, sender: str, raw: bytes, work: _Work) -> None:
        peers: Mapping[str, PeerKeys] = {}

        def find(listed: Collection[bytes]) -> Mapping[str, PeerKeys]:
            nonlocal peers
            peers = self._post.peers(self._clock(), listed=listed)
            return peers

        message = work(raw, self._post.registry.party(sender), find)
        if sender not in peers:  # refused before anybody was looked up
            peers = self._post.peers(self._clock(), parties=(sender,))
        recipient = peers.get(sender)
        if recipient is None:
            _LOG.warning("%s asks, but has no receiving key to answer to", sender)
            return
        correlation = hashlib.sha256(raw).hexdigest()
        self._post.send(recipient, message, correlation, _SEND_S)

    def _ask_again_if_stale(self, ask: Callable[[float], _R], timeout_s: float) -> _R:
        """Ask, with a limit in seconds; once more if a holder knows newer keys."""
        began = time.monotonic()
        try:
            return ask(timeout_s)
        except HolderUnavailableError as refused:
            left = timeout_s - (time.monotonic() - began)
            if refused.reason != Reason.STALE_KEYS or left <= 0:
                raise
        self._post.forget()
        return ask(left)

    def _announce(self, key: SignedKey) -> None:
        published = KeyPublished(
            purpose=SCORE,
            digest=hashlib.sha256(key.body).digest(),
            paillier_bits=self._paillier.bits if self._paillier else 0,
        )
        self._receipts.record(published, correlation="")

    def _schedule(self) -> None:
        with self._timing:
            if self._timer:
                self._timer.cancel()
            if not self._closed:
                self._timer = Timer(REPUBLISH_S, self._republish)
                self._timer.daemon = True
                self._timer.start()

    def _republish(self) -> None:
        try:
            self.publish_keys()
        except Fault as fault:
            _LOG.warning("the receiving key could not be handed in: %s", fault)
