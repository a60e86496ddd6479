"""The server: ports, TLS, and its end."""

import http.client
import socket
import threading
import time
from dataclasses import replace

import httpx
import pytest
from fastapi import FastAPI

from tests.unit.web.sample_node import TOKEN, SampleNode, sample_node_app
from veilscore.keys.authority import DevelopmentAuthority
from veilscore.keys.certificates import TlsKey
from veilscore.runtime.errors import ConfigError, PortInUseError
from veilscore.runtime.tls import TlsIdentity, client_context
from veilscore.runtime.web.server import WebServer


def small_app(busy: threading.Event | None = None) -> FastAPI:
    app = FastAPI()

    @app.get("/")
    def root() -> str:
        return "here"

    @app.get("/slow")
    def slow() -> str:
        if busy is not None:
            busy.set()
        time.sleep(0.5)
        return "done"

    return app


def test_the_port_is_free_again_after_the_end() -> None:
    first = WebServer(small_app(), "127.0.0.1", 0)
    address = first.start()
    assert httpx.get(address).json() == "here"
    first.stop()
    with pytest.raises(httpx.ConnectError):
        httpx.get(address)
    again = WebServer(small_app(), "127.0.0.1", int(address.rpartition(":")[2]))
    assert again.start() == address
    assert httpx.get(address).json() == "here"
    again.stop()


def test_a_held_port_is_named_with_a_remedy() -> None:
    with socket.create_server(("127.0.0.1", 0)) as holder:
        port = int(holder.getsockname()[1])
        with pytest.raises(PortInUseError, match=str(port)) as caught:
            WebServer(small_app(), "127.0.0.1", port).start()
    assert caught.value.remedy


def test_an_address_of_another_machine_is_refused() -> None:
    with pytest.raises(ConfigError, match="cannot listen"):
        WebServer(small_app(), "192.0.2.1", 0).start()


def test_the_loopback_of_ipv6_is_written_in_brackets() -> None:
    server = WebServer(small_app(), "::1", 0)
    address = server.start()
    assert address.startswith("http://[::1]:")
    assert httpx.get(address).json() == "here"
    server.stop()


def test_an_answer_under_way_is_finished_before_the_end() -> None:
    busy = threading.Event()
    server = WebServer(small_app(busy), "127.0.0.1", 0)
    address = server.start()
    answers: list[httpx.Response] = []
    asking = threading.Thread(
        target=lambda: answers.append(httpx.get(f"{address}/slow"))
    )
    asking.start()
    assert busy.wait(30)
    server.stop()
    asking.join()
    assert answers[0].json() == "done"


def test_an_idle_connection_does_not_hold_up_the_end() -> None:
    server = WebServer(small_app(), "127.0.0.1", 0)
    address = server.start()
    with httpx.Client() as client:
        client.get(address)
        began = time.monotonic()
        server.stop()
        assert time.monotonic() - began < 2


def test_the_client_is_the_one_that_closes_an_idle_connection() -> None:
    """A request sent while the server closes is lost; clients keep one for 5 s."""
    server = WebServer(small_app(), "127.0.0.1", 0)
    host, port = server.start().removeprefix("http://").split(":")
    connection = http.client.HTTPConnection(host, int(port))
    connection.request("GET", "/")
    connection.getresponse().read()
    first = connection.sock
    time.sleep(5.5)
    connection.request("GET", "/")
    assert connection.getresponse().read() == b'"here"'
    assert connection.sock is first
    connection.close()
    server.stop()


@pytest.fixture
def tls() -> TlsIdentity:
    authority = DevelopmentAuthority.create("web test", time.time(), 2)
    key = TlsKey.generate()
    chain = authority.issue(
        key.request("bank-yuzhong"), "bank-yuzhong", time.time(), 1, ["127.0.0.1"]
    )
    return TlsIdentity(authority.certificate_pem, chain, key.private_pem())


def test_under_tls_the_cookie_is_for_tls_only(tls: TlsIdentity) -> None:
    server = WebServer(sample_node_app(SampleNode()), "127.0.0.1", 0, tls)
    address = server.start()
    assert address.startswith("https://")
    trust = client_context(tls.authority)
    with httpx.Client(base_url=address, verify=trust) as client:
        answer = client.post(
            "/login", data={"token": TOKEN}, headers={"Origin": address}
        )
        assert "Secure" in answer.headers["set-cookie"]
        assert client.get("/").status_code == 200
    with pytest.raises(httpx.RemoteProtocolError):
        httpx.get(address.replace("https", "http"))
    server.stop()


def test_an_unusable_certificate_is_named(tls: TlsIdentity) -> None:
    for wrong in (
        replace(tls, certificate=tls.key),
        replace(tls, key=b""),
    ):
        with pytest.raises(ConfigError, match="certificate or its key") as caught:
            WebServer(small_app(), "127.0.0.1", 0, wrong).start()
        assert caught.value.remedy
