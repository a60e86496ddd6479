"""What may be asked of a SuperLink, and by whom.

Flower's Control API (register nodes, start and stop runs) has no authentication of
its own in the open edition, yet it listens on the port that every node reaches. The
guard stands before the whole application: health, fleet and runtime calls pass,
because Flower authenticates those by node key, shared secret or task token; control
calls pass only with the coordinator's token; everything else does not exist.

Who learns what: a refused caller gets the same short answer whatever it asked for.
Nothing about a call is stored or logged here.
"""

import hmac
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

TOKEN_HEADER = "x-coordinator-token"  # noqa: S105 - a header's name

# The types of the ASGI specification, version 3.
Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
Application = Callable[[Scope, Receive, Send], Awaitable[None]]

_OPEN = ("/v1/fleet/", "/v1/runtime/")


class Guard:
    """An ASGI application that lets through what a SuperLink's caller may ask."""

    def __init__(self, inner: Application, control_token: bytes) -> None:
        self._inner = inner
        self._token = control_token

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one connection."""
        if scope["type"] == "lifespan" or (
            scope["type"] == "http" and self._permits(scope)
        ):
            await self._inner(scope, receive, send)
        elif scope["type"] == "http":
            start = {"type": "http.response.start", "status": 403}
            headers = [(b"content-type", b"text/plain")]
            await send({**start, "headers": headers})
            await send({"type": "http.response.body", "body": b"forbidden"})
        else:
            await send({"type": "websocket.close", "code": 1008})

    def _permits(self, scope: Scope) -> bool:
        path: str = scope["path"]
        if path == "/health" or path.startswith(_OPEN):
            return True
        if not path.startswith("/v1/control/"):
            return False
        name = TOKEN_HEADER.encode()
        shown = [value for key, value in scope["headers"] if key == name]
        # Bytes: compare_digest raises on a str that is not ASCII.
        return len(shown) == 1 and hmac.compare_digest(shown[0], self._token)
