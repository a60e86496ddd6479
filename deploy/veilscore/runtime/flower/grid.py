"""Flower's grid, by which a run sends messages to nodes, on our client.

A reply is an object of Flower's that a node made. One that cannot be read, or that
calls itself the answer to another message, comes out as an answer without content.

Nobody learns anything here: what it carries is the business of the fleet.
"""

import logging
from collections.abc import Callable, Iterable
from functools import partial

import httpx
from flwr.app import Message, Metadata, RecordDict
from flwr.app.message import make_message
from flwr.supercore.inflatable.inflatable_utils import pull_objects
from flwr.superlink.grid import http_grid

from veilscore.runtime.flower.claim import PULL_BACKOFF_S, PULL_LIMIT_S
from veilscore.runtime.flower.endpoint import Endpoint, RuntimeClient
from veilscore.runtime.flower.pin import replace

_LOG = logging.getLogger(__name__)

_LONGEST_BACKOFF_S = 1.0  # and so until it is noticed that a reply is not wanted


class TaskGrid(http_grid.HttpGrid):
    """Flower's grid on a client that raises instead of interrupting the process."""

    def __init__(self, endpoint: Endpoint, token: str, client: RuntimeClient) -> None:
        super().__init__(endpoint.address, token=token)
        self._client = self._own = client

    def pull_messages(
        self,
        message_ids: Iterable[str],
        wanted: Callable[[str], bool] = lambda _: True,
    ) -> list[Message]:
        """Return the replies there are by now, each to the message it was pulled for.

        One after the other, so that the sender of one that cannot be read is known.
        Where the line breaks, those before are kept: Flower has deleted them. A sender
        that dies while it sends a reply leaves a part of it: the rest is waited for
        while ``wanted`` says so of the message, a minute at most, and then the reply is
        an error.
        """
        replies: list[Message] = []
        for asked in message_ids:
            self._own.wanted = partial(wanted, asked)
            try:
                replies += self._replies(asked)
            except httpx.TransportError:
                if not replies:
                    raise
                break
        return replies

    def _replies(self, asked: str) -> list[Message]:
        try:
            return [
                reply if _answers(reply, asked) else _unreadable(asked)
                for reply in super().pull_messages([asked])
            ]
        except httpx.HTTPError:
            raise
        except Exception as error:  # noqa: BLE001 - a border: Flower's decoders raise anything
            _LOG.warning("a reply cannot be read: %s", type(error).__name__)
            return [_unreadable(asked)]


def _answers(reply: object, asked: str) -> bool:
    return (
        isinstance(reply, Message)
        and reply.metadata.reply_to_message_id == asked
        # Flower casts the content and does not look.
        and (reply.has_error() or type(reply.content) is RecordDict)
    )


def _unreadable(asked: str) -> Message:
    metadata = Metadata(
        run_id=0,
        message_id="",
        src_node_id=0,
        dst_node_id=0,
        reply_to_message_id=asked,
        group_id="",
        created_at=0.0,
        ttl=0.0,
        message_type="query",
    )
    return make_message(metadata=metadata, content=RecordDict())


replace(
    http_grid,
    "pull_objects",
    partial(
        pull_objects,
        initial_backoff=PULL_BACKOFF_S,
        backoff_cap=_LONGEST_BACKOFF_S,
        max_time=PULL_LIMIT_S,
    ),
)
