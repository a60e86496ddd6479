"""Which certificate a web client has shown, told to the application.

uvicorn verifies client certificates and tells nobody which one it was: it knows the
ASGI TLS extension no more than other servers do. The protocol here adds it to every
request's scope as the specification says. But for ``connections`` nothing else of ours
knows of uvicorn's interior; ``tests/unit/web/test_client_certificates.py`` and
``test_web_connections.py`` hold uvicorn to what is used.
"""

import asyncio
import ssl
from collections.abc import Mapping
from typing import Any, Final, cast

from fastapi import Request
from starlette.types import ASGIApp, Receive, Scope, Send

from veilscore.keys.certificates import Certificate
from veilscore.runtime.web.connections import TimedProtocol

_VERSIONS: Final = {"TLSv1.2": 0x0303, "TLSv1.3": 0x0304}  # RFC 8446, section 4.2.1


class CertificateProtocol(TimedProtocol):
    """HTTP/1.1 whose scopes say how TLS protects the connection.

    ASGI TLS Extension 0.2; what Python's ``ssl`` does not tell is None, and of the
    client's chain only the first certificate is there.
    """

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Take a connection, after its handshake."""
        super().connection_made(transport)
        found: ssl.SSLObject | None = transport.get_extra_info("ssl_object")
        if found is not None:
            app = cast("ASGIApp", self.app)
            self.app = cast("Any", _WithExtension(app, _describe(found)))


class _WithExtension:
    """An application for one connection."""

    def __init__(self, app: ASGIApp, tls: Mapping[str, object]) -> None:
        self._app = app
        self._tls = tls

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        scope.setdefault("extensions", {})["tls"] = dict(self._tls)
        await self._app(scope, receive, send)


def _describe(connection: ssl.SSLObject) -> dict[str, object]:
    shown = connection.getpeercert(binary_form=True)
    return {
        "server_cert": None,
        "client_cert_chain": [ssl.DER_cert_to_PEM_cert(shown)] if shown else [],
        "client_cert_name": None,
        "client_cert_error": None,
        "tls_version": _VERSIONS.get(connection.version() or ""),
        "cipher_suite": None,
    }


def shown_certificate(request: Request) -> Certificate | None:
    """Return the certificate that a client has shown and TLS has verified, if any.

    Raises InvalidKeyError if it cannot be read.
    """
    tls = request.scope.get("extensions", {}).get("tls", {})
    chain = list(tls.get("client_cert_chain", ()))
    return Certificate.parse(chain[0].encode()) if chain else None
