"""Strangers who connect and say nothing, or too little, take nothing else away."""

import socket
import subprocess
import sys
import threading
import time
from collections.abc import Generator
from contextlib import ExitStack, contextmanager

import h11
import httpx
import pytest
from fastapi import FastAPI, Request

from tests.unit.web.closed_site import Certifier
from veilscore.runtime.tls import TlsIdentity, client_context
from veilscore.runtime.web import connections, server
from veilscore.runtime.web.connections import TimedProtocol
from veilscore.runtime.web.server import WebServer

FEW_FILES = """
import resource, sys
resource.setrlimit(resource.RLIMIT_NOFILE, (256, 256))
from fastapi import FastAPI
from veilscore.runtime.web.server import WebServer
print(WebServer(FastAPI(), "127.0.0.1", 0).start(), flush=True)
for _ in sys.stdin:
    files = [open("/dev/null") for _ in range(100)]
    for each in files:
        each.close()
    print(len(files), flush=True)
"""


@contextmanager
def served(tls: TlsIdentity | None = None) -> Generator[str]:
    app = FastAPI()

    @app.post("/")
    async def root(request: Request) -> int:
        return len(await request.body())

    running = WebServer(app, "127.0.0.1", 0, tls)
    try:
        yield running.start()
    finally:
        running.stop()


def connected(address: str) -> socket.socket:
    host, port = address.partition("://")[2].split(":")
    return socket.create_connection((host, int(port)), timeout=30)


def is_hung_up_on(connection: socket.socket) -> bool:
    """Wait for the other end to hang up; say whether it said nothing before."""
    try:
        return connection.recv(1) == b""
    except ConnectionResetError:
        return True


@pytest.fixture
def _short_times(monkeypatch: pytest.MonkeyPatch) -> None:
    limits = {h11.IDLE: 0.3, h11.SEND_BODY: 0.3}
    monkeypatch.setattr(TimedProtocol, "_limits", limits)
    monkeypatch.setattr(server, "HEAD_S", 0.3)


@pytest.mark.usefixtures("_short_times")
@pytest.mark.parametrize(
    "said",
    [
        b"",
        b"POST / HTTP/1.1\r\nHost: here\r\n",
        b"POST / HTTP/1.1\r\nHost: here\r\nContent-Length: 5\r\n\r\n1234",
    ],
    ids=["nothing", "half a head", "a head and half a body"],
)
def test_who_does_not_ask_in_time_is_hung_up_on(said: bytes) -> None:
    with served() as address, connected(address) as connection:
        connection.sendall(said)
        assert is_hung_up_on(connection)
        assert httpx.post(address, content=b"12345").json() == 5


@pytest.mark.usefixtures("_short_times")
def test_a_byte_now_and_then_gains_no_time() -> None:
    with served() as address, connected(address) as connection:
        stopped = threading.Event()
        connection.sendall(b"POST / HTTP/1.1\r\n")

        def drip() -> None:
            while not stopped.wait(0.05):
                try:
                    connection.sendall(b"A: b\r\n")
                except OSError:
                    return

        dripping = threading.Thread(target=drip)
        dripping.start()
        assert is_hung_up_on(connection)
        stopped.set()
        dripping.join()


@pytest.mark.usefixtures("_short_times")
def test_the_time_runs_for_later_requests_too_and_not_between_them() -> None:
    whole = b"POST / HTTP/1.1\r\nHost: here\r\nContent-Length: 1\r\n\r\n1"
    with served() as address, connected(address) as connection:
        for _ in range(2):
            connection.sendall(whole)
            answer = b""
            while not answer.endswith(b"\r\n\r\n1"):
                answer += connection.recv(10_000)
            assert answer.startswith(b"HTTP/1.1 200")
            time.sleep(0.6)
        connection.sendall(b"P")
        assert is_hung_up_on(connection)


@pytest.mark.usefixtures("_short_times")
def test_a_handshake_has_no_more_time_than_a_head() -> None:
    certifier = Certifier()
    trust = client_context(certifier.authority.certificate_pem)
    with served(certifier.identity("hub", "127.0.0.1")) as address:
        with connected(address) as silent:
            assert is_hung_up_on(silent)
        with (
            connected(address) as plain,
            trust.wrap_socket(plain, server_hostname="127.0.0.1") as shaken,
        ):
            assert is_hung_up_on(shaken)
        answer = httpx.post(address, content=b"12345", verify=trust)
        assert answer.json() == 5


def test_there_are_no_more_connections_than_the_web_may_have(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(connections, "_MOST", 3)
    with served() as address, ExitStack() as held:
        for _ in range(3):
            held.enter_context(connected(address))
        with connected(address) as one_too_many:
            assert is_hung_up_on(one_too_many)
        held.close()
        assert httpx.post(address, content=b"12345").json() == 5


def test_a_process_with_few_files_can_open_its_own() -> None:
    """Though 400 strangers connect and say nothing."""
    with subprocess.Popen(
        [sys.executable, "-c", FEW_FILES],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as child:
        assert child.stdin is not None
        assert child.stdout is not None
        address = child.stdout.readline().strip()
        with ExitStack() as held:
            strangers = [held.enter_context(connected(address)) for _ in range(400)]
            assert is_hung_up_on(strangers[-1])
            child.stdin.write("now\n")
            child.stdin.flush()
            assert child.stdout.readline() == "100\n"
        child.stdin.close()
        assert child.wait(30) == 0
