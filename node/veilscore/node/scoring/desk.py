"""The scoring desk: one object through which a node asks for scores and answers.

It ties the cores ``holder`` and ``requester`` to the link, the keys and the log. The
link's thread is never blocked: envelopes are opened one after the other on a thread of
the desk, queries are answered on a few more, ``ask`` waits on its caller's thread.
"""

import hashlib
import logging
import math
import secrets
import time
from collections.abc import Callable, Mapping, Sequence
from queue import Empty, SimpleQueue
from threading import Lock, Timer
from typing import Final

import numpy as np
from numpy.typing import NDArray

from veilscore.fault import Fault
from veilscore.keys.errors import KeystoreError
from veilscore.keys.identity import Signer
from veilscore.keys.keystore import Keystore
from veilscore.keys.paillier.private import PrivateKey
from veilscore.keys.paillier.workers import PaillierWorkers
from veilscore.keys.receiving import SCORE, PeerKeys
from veilscore.keys.registry import Registry
from veilscore.keys.sealing import Opener, Sealer
from veilscore.node.columns import Columns
from veilscore.node.errors import ScoringError
from veilscore.node.scoring.answering import Answering
from veilscore.node.scoring.lane import Lane
from veilscore.node.scoring.ledger import Ledger
from veilscore.node.scoring.post import MAX_BYTES, HubLink, Post
from veilscore.node.scoring.query import MAX_AHEAD_S, NONCE_BYTES
from veilscore.node.scoring.receipts import Receipts
from veilscore.node.scoring.receiving_keys import ScoreKeys
from veilscore.node.scoring.requester import EntityScore, JointRequest, write_query
from veilscore.node.scoring.settings import Purpose, ScoringSettings
from veilscore.node.scoring.table import Table
from veilscore.node.shelf import Shelf, ShelvedModel
from veilscore.v1.audit_pb2 import KeyPublished, ScoreRequested
from veilscore.v1.hub_pb2 import SignedKey
from veilscore.v1.score_pb2 import ScoreMessage, ScoreQuery

REPUBLISH_S: Final = 1800.0
# A minute less than holders accept: clocks differ.
LONGEST_WAIT_S: Final = MAX_AHEAD_S - 60
_ANSWERING_THREADS: Final = 4
_MOST_WAITING: Final = 64

_LOG = logging.getLogger(__name__)


class ScoringDesk:
    """Asks for and answers joint scores in the name of one party.

    ``private`` is the Paillier key that scores are decrypted with; a party without one
    only answers. The owner replaces ``registry`` when it gets a newer one, and calls
    ``publish_keys`` whenever the node has attached: the hub keeps no keys on disk.
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
        receipts: Receipts,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.registry = registry
        self._party = party
        self._settings = settings
        self._private = private
        self._link = link
        self._shelf = shelf
        self._table = Table(columns)
        self._workers = workers
        self._ledger = ledger
        self._receipts = receipts
        self._clock = clock
        modulus = private.public.n if private else None
        self._keys = ScoreKeys(keystore, signer, party, modulus)
        self._post = Post(
            link,
            Sealer(signer, party, ledger.marks),
            Opener(party, SCORE, self._keys.by_id, ledger.marks, MAX_BYTES),
        )
        self._answering = Answering(
            party,
            settings,
            shelf,
            self._table,
            workers,
            self._keys,
            ledger,
            receipts,
            clock,
        )
        # What came for our requests, by query digest; None: the desk is closing.
        self._asked: dict[bytes, SimpleQueue[tuple[str, ScoreMessage] | None]] = {}
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

    def on_envelope(self, sender: str, data: bytes) -> None:
        """Take an envelope of purpose "score"; returns at once.

        ``sender`` is the hub's word; only the signature in the envelope counts.
        """
        del sender
        self._opening.submit(self._receive, data)

    def ask(
        self,
        entities: Sequence[str],
        *,
        model: bytes | None = None,
        purpose: Purpose,
        consent: str,
        timeout_s: float = 30.0,
    ) -> list[EntityScore]:
        """Return joint scores in the order of ``entities``, typed ids like "U:...".

        ``model`` is the SHA-256 of a manifest, by default the newest model's.
        ``consent`` refers to the borrowers' consent in this party's own files.

        Raises:
            EntityIdError: an id breaks the rules of its type or is named twice.
            HolderRefusedError: a data holder refused; names it, its code and why.
            ScoringError: there is nothing to ask about or nobody to ask, a data
                holder did not answer in time, or the answers do not fit together.
            Fault: the coordinator, its log or a file of this node cannot be used.

        """
        return self._asking.ask(
            entities,
            model=model,
            purpose=purpose,
            consent=consent,
            timeout_s=timeout_s,
        )

    def close(self) -> None:
        """Stop answering, let waiting ``ask`` calls fail, finish what is under way."""
        with self._timing:
            self._closed = True
            if self._timer:
                self._timer.cancel()
        for waiting in list(self._asked.values()):
            waiting.put(None)
        self._opening.close()
        self._serving.close()

    def _receive(self, data: bytes) -> None:
        sender, message = self._post.open(data, self.registry)
        match message.WhichOneof("body"):
            case "query":
                self._serving.submit(self._serve, sender, message.query.body)
            case "answer":
                self._hand_over(message.answer.digest, sender, message)
            case "refusal":
                self._hand_over(message.refusal.digest, sender, message)
            case None:
                _LOG.warning("a score message of %s is empty", sender)

    def _hand_over(self, digest: bytes, sender: str, message: ScoreMessage) -> None:
        waiting = self._asked.get(digest)
        if waiting is None:
            _LOG.info("an answer of %s that nobody waits for", sender)
        else:
            waiting.put((sender, message))

    def _serve(self, sender: str, raw: bytes) -> None:
        peers = self._post.peers(self.registry, self._clock())
        if sender not in peers:
            _LOG.warning("%s asks, but has no receiving key to answer to", sender)
            return
        message = self._answering.answer(raw, self.registry.party(sender), peers)
        correlation = hashlib.sha256(raw).hexdigest()
        self._post.send(peers[sender], message, correlation, LONGEST_WAIT_S)

    def _announce(self, key: SignedKey) -> None:
        published = KeyPublished(
            purpose=SCORE,
            digest=hashlib.sha256(key.body).digest(),
            paillier_bits=self._private.public.bits if self._private else 0,
        )
        self._receipts.record(published, "")

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
