"""Who waits for whose answer: requests under way, found by their query's digest.

A request is waited for on its caller's thread until every holder has answered, one of
them refused, a party that is needed is lost, the node stops or the time is up.
"""

import logging
import time
from collections.abc import Mapping, Sequence
from queue import Empty, SimpleQueue
from typing import Protocol, TypeAlias

from veilscore.keys.receiving import PeerKeys
from veilscore.node.errors import NoAnswerError, StoppingError
from veilscore.node.scoring.post import Post
from veilscore.node.scoring.query import AnyQuery
from veilscore.runtime.errors import PeerLostError
from veilscore.v1.score_pb2 import ScoreAnswer, ScoreMessage, ScoreRefusal

_LOG = logging.getLogger(__name__)

# Sender and message, or why to wait no longer.
_Item: TypeAlias = tuple[str, ScoreMessage] | StoppingError | PeerLostError


class Request(Protocol):
    """A query that is asked, and the answers so far."""

    @property
    def query(self) -> AnyQuery:
        """What is asked."""
        ...

    @property
    def missing(self) -> Sequence[str]:
        """Holders that have not answered yet."""
        ...

    def add(self, sender: str, answer: ScoreAnswer) -> None:
        """Take one holder's answer, or raise what is wrong with it."""
        ...

    def refused(self, sender: str, refusal: ScoreRefusal) -> None:
        """Raise what a holder that is waited for says."""
        ...


class Waiting:
    """The requests of one node; safe to use from several threads."""

    def __init__(self, post: Post) -> None:
        self._post = post
        self._arrived: dict[bytes, SimpleQueue[_Item]] = {}

    def collect(
        self,
        request: Request,
        message: ScoreMessage,
        peers: Mapping[str, PeerKeys],
        until: float,
    ) -> None:
        """Send the message to every holder and wait, until ``time.monotonic`` says so.

        Raises NoAnswerError that names who did not answer, and what the request, the
        post or the end of this node raise.
        """
        query = request.query
        arrived = SimpleQueue[_Item]()
        self._arrived[query.digest] = arrived
        try:
            for holder in request.missing:
                left = max(0.0, until - time.monotonic())
                self._post.send(peers[holder], message, query.correlation, left)
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
            del self._arrived[query.digest]

    def hand_over(self, digest: bytes, sender: str, message: ScoreMessage) -> None:
        """Give an answer or refusal to the request that waits for it, if one does."""
        arrived = self._arrived.get(digest)
        if arrived is None:
            _LOG.info("an answer of %s that nobody waits for", sender)
        else:
            arrived.put((sender, message))

    def stop(self) -> None:
        """Let every request fail now."""
        stopping = StoppingError(
            "this node is stopping", remedy="Ask again once it runs."
        )
        self._tell(stopping)

    def lose(self, party: str, reason: str) -> None:
        """Let every request fail that waits for a party that is gone.

        The coordinator's hub counts as one: it forgot what was under way.
        """
        lost = PeerLostError(
            f"was lost before it answered: {reason}",
            party=party,
            remedy="Ask again when its node is back.",
        )
        self._tell(lost)

    def _tell(self, item: StoppingError | PeerLostError) -> None:
        for arrived in list(self._arrived.values()):
            arrived.put(item)

    def _take(self, request: Request, item: _Item) -> None:
        if isinstance(item, PeerLostError):
            needed = {*request.missing, self._post.registry.coordinator.name}
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
