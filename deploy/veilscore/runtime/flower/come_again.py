"""A SuperLink that fails inside tells SuperNodes to come again.

Flower answers 500 when its database cannot be written: the disk is full, the file
locked. Its SuperNodes take that for good: they throw away the reply they were sending,
for which the run then waits in vain, and their heartbeat ends. What is answered with
503 they repeat, until it succeeds or the run has ended.

Who learns what: nothing but a status is changed.
"""

from collections.abc import MutableMapping
from typing import Any, Final

from veilscore.runtime.flower.guard import Application, Receive, Scope, Send

_OF_NODES: Final = "/v1/fleet/"
_FAILED, _UNAVAILABLE = 500, 503


class ComeAgain:
    """An ASGI application whose failures towards nodes are for now, not for good."""

    def __init__(self, inner: Application) -> None:
        self._inner = inner

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one connection."""

        async def send_for_now(event: MutableMapping[str, Any]) -> None:
            if event.get("status") == _FAILED:
                event["status"] = _UNAVAILABLE
            await send(event)

        of_node = scope["type"] == "http" and scope["path"].startswith(_OF_NODES)
        await self._inner(scope, receive, send_for_now if of_node else send)
