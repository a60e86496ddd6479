"""uvicorn tells which certificate a client has shown, as we have made it do.

A contract with uvicorn: it fails here when a release changes what is built on.
"""

import json
import time
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import replace

import httpx
import pytest
from fastapi import FastAPI, Request

from tests.unit.web.closed_site import Certifier
from veilscore.keys.certificates import Certificate
from veilscore.keys.errors import InvalidKeyError
from veilscore.runtime.errors import ConfigError
from veilscore.runtime.tls import TlsIdentity, client_context, server_context
from veilscore.runtime.web.client_certificates import shown_certificate
from veilscore.runtime.web.server import WebServer


def telling_app() -> FastAPI:
    app = FastAPI()

    @app.get("/")
    def root(request: Request) -> dict[str, object]:
        found = shown_certificate(request)
        return {
            "extension": request.scope.get("extensions", {}).get("tls"),
            "party": found.party if found else None,
        }

    return app


@contextmanager
def served(tls: TlsIdentity | None) -> Generator[str]:
    server = WebServer(telling_app(), "127.0.0.1", 0, tls)
    try:
        yield server.start()
    finally:
        server.stop()


@pytest.fixture(scope="module")
def certifier() -> Certifier:
    return Certifier()


@pytest.fixture
def address(certifier: Certifier) -> Generator[str]:
    with served(certifier.identity("hub", "127.0.0.1")) as address:
        yield address


def told(address: str, authority: bytes, shown: TlsIdentity | None) -> list[object]:
    """Return what two requests of one connection are told."""
    with httpx.Client(verify=client_context(authority, shown)) as client:
        return [json.loads(client.get(address).content) for _ in range(2)]


def test_the_scope_is_as_the_asgi_extension_says(
    certifier: Certifier, address: str
) -> None:
    shown = certifier.identity("auditor-1")
    root = certifier.authority.certificate_pem
    first, second = told(address, root, shown)
    assert first == second
    assert first == {
        "extension": {
            "server_cert": None,
            "client_cert_chain": [shown.certificate.decode()],
            "client_cert_name": None,
            "client_cert_error": None,
            "tls_version": 0x0304,
            "cipher_suite": None,
        },
        "party": "auditor-1",
    }


def test_connections_are_not_mixed_up(certifier: Certifier, address: str) -> None:
    root = certifier.authority.certificate_pem
    names = ["auditor-1", "bank", "bureau"]
    clients = [
        httpx.Client(verify=client_context(root, certifier.identity(name)))
        for name in names
    ]
    for _ in range(3):
        assert [client.get(address).json()["party"] for client in clients] == names
    for client in clients:
        client.close()


def test_who_shows_none_is_let_in_and_told_apart(
    certifier: Certifier, address: str
) -> None:
    (told_of, _) = told(address, certifier.authority.certificate_pem, None)
    assert isinstance(told_of, dict)
    assert told_of["party"] is None
    assert told_of["extension"]["client_cert_chain"] == []


def test_without_tls_there_is_no_extension() -> None:
    with served(None) as address:
        assert httpx.get(address).json() == {"extension": None, "party": None}


def test_a_header_says_nothing(certifier: Certifier, address: str) -> None:
    """As a proxy would tell a certificate to those who believe it."""
    shown = (
        certifier.identity("auditor-1").certificate.decode().replace("\n", " ").strip()
    )
    headers = {"X-Client-Cert": shown, "X-SSL-Client-Cert": shown}
    trust = client_context(certifier.authority.certificate_pem)
    with httpx.Client(verify=trust, headers=headers) as client:
        assert client.get(address).json()["party"] is None


def test_another_authority_or_time_ends_the_handshake(
    certifier: Certifier, address: str
) -> None:
    root = certifier.authority.certificate_pem
    strange = Certifier().identity("auditor-1")
    expired = certifier.identity("auditor-1", now=time.time() - 10 * 86400)
    not_yet = certifier.identity("auditor-1", now=time.time() + 86400)
    for shown in (strange, expired, not_yet):
        with pytest.raises(httpx.TransportError):
            told(address, root, replace(shown, authority=root))
    with pytest.raises(httpx.ConnectError, match="CERTIFICATE_VERIFY_FAILED"):
        told(address, strange.authority, None)


def test_the_server_must_be_named_by_its_certificate(certifier: Certifier) -> None:
    with (
        served(certifier.identity("hub", "hub.example")) as address,
        pytest.raises(httpx.ConnectError, match="CERTIFICATE_VERIFY_FAILED"),
    ):
        told(address, certifier.authority.certificate_pem, None)


def test_keys_and_certificates_that_do_not_fit_are_faults(certifier: Certifier) -> None:
    good, other = certifier.identity("hub", "127.0.0.1"), certifier.identity("bank")
    for wrong in (replace(good, key=other.key), replace(good, certificate=b"no")):
        with pytest.raises(ConfigError):
            server_context(wrong)
    with pytest.raises(InvalidKeyError):
        client_context(b"\xff")
    assert Certificate.parse(good.certificate).party == "hub"
