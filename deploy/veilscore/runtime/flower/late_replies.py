"""Replies that Flower's SuperNode would keep to itself, sent.

Its main loop takes a message, waits for a reply, any reply, sends it and takes the
next. If the taking failed half-way, because the SuperLink was killed, the executor's
reply to that message stays behind. It is sent in the place of the next one, which is
sent in the place of the one after: the reply that a run waits for never comes. So the
loop must send also when it has taken nothing.
"""

from collections.abc import Callable
from typing import Any

from flwr.supernode.nodestate.in_memory_nodestate import InMemoryNodeState

_NO_RUN = 0  # what the loop is told instead of None: it only looks whether it is None

Pull = Callable[..., int | None]


def sending_late_replies(pull: Pull) -> Pull:
    """Wrap what takes a message, so that the loop goes on to send what waits."""

    def pull_or_look(*, state: InMemoryNodeState, **others: Any) -> int | None:  # noqa: ANN401 - Flower's
        run_id = pull(state=state, **others)
        return _NO_RUN if run_id is None and _has_reply(state) else run_id

    return pull_or_look


def _has_reply(state: InMemoryNodeState) -> bool:
    """Say whether a reply waits; Flower's own question would take it out."""
    with state.lock_msg_store:
        return any(
            not entry.is_retrieved and entry.message.metadata.reply_to_message_id
            for entry in state.msg_store.values()
        )
