"""Serves an application on the loopback and talks to it."""

from collections.abc import Generator
from contextlib import contextmanager

import httpx
from fastapi import FastAPI

from veilscore.runtime.web.server import WebServer


@contextmanager
def serving(app: FastAPI) -> Generator[str, None, None]:
    """Yield the address."""
    server = WebServer(app, "127.0.0.1", 0)
    address = server.start()
    try:
        yield address
    finally:
        server.stop()


@contextmanager
def client_of(app: FastAPI) -> Generator[httpx.Client, None, None]:
    """Yield a client that sends no language of its own."""
    with serving(app) as address, httpx.Client(base_url=address, timeout=20) as client:
        yield client


def bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}
