"""Runs a site on a thread of its own until it is stopped.

The thread only serves; a route that may block is a plain function, which the framework
runs on a worker thread. What a proxy says about the client is not believed. Strangers
can take up the site, but not the process that it runs in (``connections``).
"""

import asyncio
import socket
import threading
from typing import Final

import uvicorn
from fastapi import FastAPI

from veilscore.runtime.errors import HostError
from veilscore.runtime.supervise import port_is_free
from veilscore.runtime.tls import TlsIdentity, server_context
from veilscore.runtime.web.client_certificates import CertificateProtocol
from veilscore.runtime.web.connections import HEAD_S, Listener, most_connections

_GRACE_S: Final = 3  # for answers under way when the site is stopped
# Longer than clients keep an idle connection (5 s for most): who closes it first must
# not be this end, or a request that is on its way then is lost.
_IDLE_S: Final = 60


class _Server(uvicorn.Server):
    """uvicorn's, on one socket, where a handshake takes no longer than a head may.

    asyncio's own limit is a minute, and uvicorn has no setting for it.
    """

    def __init__(self, config: uvicorn.Config, listener: Listener) -> None:
        super().__init__(config)
        self._listener = listener

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Begin to accept connections."""
        del sockets  # those that are closed at the end
        loop, config = asyncio.get_running_loop(), self.config

        def protocol() -> CertificateProtocol:
            return CertificateProtocol(config, self.server_state, {}, loop)

        server = await loop.create_server(
            protocol,
            sock=self._listener,
            ssl=config.ssl,
            backlog=config.backlog,
            ssl_handshake_timeout=HEAD_S if config.ssl else None,
        )
        self.servers = [server]
        self.started = True


class WebServer:
    """Serves ``app`` from ``start`` to ``stop``; port 0 takes any free one.

    With ``tls`` clients are asked for a certificate, of which ``client_certificates``
    tells the application.
    """

    def __init__(
        self, app: FastAPI, host: str, port: int, tls: TlsIdentity | None = None
    ) -> None:
        self._app = app
        self._host = host
        self._port = port
        self._tls = tls

    def start(self) -> str:
        """Listen, and return the address to open in a browser.

        Raises PortInUseError or ConfigError.
        """
        tls = server_context(self._tls) if self._tls else None
        config = uvicorn.Config(
            self._app,
            http=CertificateProtocol,
            loop="asyncio",  # which ``Listener`` is for
            ws="none",
            lifespan="off",
            log_config=None,  # the program configures logging
            access_log=False,  # addresses of pages name runs and entities' requests
            server_header=False,
            proxy_headers=False,
            timeout_graceful_shutdown=_GRACE_S,
            timeout_keep_alive=_IDLE_S,
            ssl_context_factory=(lambda _config, _default: tls) if tls else None,
        )
        config.load()
        listener = Listener(self._listen(), most_connections())
        self._server = _Server(config, listener)
        self._thread = threading.Thread(
            target=self._server.run, args=([listener],), name="web", daemon=True
        )
        self._thread.start()
        host = f"[{self._host}]" if ":" in self._host else self._host
        scheme = "https" if tls else "http"
        return f"{scheme}://{host}:{listener.getsockname()[1]}"

    def _listen(self) -> socket.socket:
        # Listening from here on: whoever connects before the thread serves, waits.
        family = socket.AF_INET6 if ":" in self._host else socket.AF_INET
        try:
            return socket.create_server((self._host, self._port), family=family)
        except OSError as error:
            port_is_free(self._host, self._port)  # says why it is not
            raise HostError(
                "the web pages cannot be served here",
                place=f"{self._host}:{self._port}",
                remedy="Try again.",
            ) from error

    def stop(self) -> None:
        """Take no more requests, finish those under way, end the thread."""
        self._server.should_exit = True
        self._thread.join()
