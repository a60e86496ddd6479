"""Web requests as they come off the wire, and what a program answers to a command."""

import asyncio
import io
import json
from collections.abc import Callable, Mapping
from typing import Any, Final
from urllib.parse import unquote

import h11
import httpx
from starlette.types import ASGIApp, Message

from tests.fuzz.stock import Stock
from tests.fuzz.target import Target
from tests.protocol.hosted_cards import SCORECARD
from tests.unit.web import sample_coordinator, sample_node
from tests.unit.web.sample_coordinator import SampleCoordinator, sample_coordinator_app
from tests.unit.web.sample_node import SampleNode, sample_node_app
from veilscore.coordinator.contract import read_contract
from veilscore.keys import files
from veilscore.keys.tlog.tree import leaf_hash
from veilscore.node.hosting.form_file import encode
from veilscore.node.web.scores import ScoreResponse
from veilscore.runtime.audit.fetching import RemoteLog
from veilscore.runtime.errors import RequestError
from veilscore.runtime.rest_client import Program, RestClient
from veilscore.runtime.web.problems import Problem


class _Server:
    """Reads a request off the wire as uvicorn does (h11) and lets a site answer it."""

    def __init__(self, stock: Stock, app: ASGIApp) -> None:
        self._app = app
        self._loop = asyncio.new_event_loop()
        stock.parts.callback(self._loop.close)

    def serve(self, data: bytes) -> None:
        """Answer; raises RequestError where h11 does, and what the site lets out."""
        connection = h11.Connection(h11.SERVER)
        body = io.BytesIO()
        head: h11.Request | None = None
        try:
            connection.receive_data(data)
            connection.receive_data(b"")
            while not isinstance(event := connection.next_event(), h11.EndOfMessage):
                if isinstance(event, h11.Request):
                    head = event
                elif isinstance(event, h11.Data):
                    body.write(event.data)
                else:
                    raise RequestError("h11 finds no whole request")
        except h11.RemoteProtocolError as error:
            raise RequestError("h11 refuses this") from error
        assert head is not None
        status = self._loop.run_until_complete(self._answer(head, body.getvalue()))
        if not 200 <= status < 400:
            assert 400 <= status < 500, f"answered {status}"
            raise RequestError("the site refuses this")

    async def _answer(self, head: h11.Request, body: bytes) -> int:
        raw_path, _, query = head.target.partition(b"?")
        scope: dict[str, Any] = {
            "type": "http",
            "asgi": {"version": "3.0", "spec_version": "2.3"},
            "http_version": head.http_version.decode("ascii"),
            "server": ("127.0.0.1", 80),
            "client": ("127.0.0.1", 50_000),
            "scheme": "http",
            "method": head.method.decode("ascii"),
            "root_path": "",
            "path": unquote(raw_path.decode("ascii")),
            "raw_path": raw_path,
            "query_string": query,
            "headers": list(head.headers),
            "state": {},
        }
        statuses: list[int] = []

        unread = [body]

        async def receive() -> Message:
            if not unread:  # the client waits for the answer
                await asyncio.Event().wait()
            return {"type": "http.request", "body": unread.pop(), "more_body": False}

        async def send(message: Message) -> None:
            if message["type"] == "http.response.start":
                statuses.append(message["status"])

        await self._app(scope, receive, send)
        return statuses[0]


def _request(line: str, body: bytes = b"", *headers: str) -> bytes:
    lines = [
        f"{line} HTTP/1.1",
        "Host: 127.0.0.1:8081",
        *headers,
        *([f"Content-Length: {len(body)}"] if body else []),
    ]
    return "\r\n".join([*lines, "", ""]).encode() + body


def _bearer(token: str) -> str:
    return f"Authorization: Bearer {token}"


def web_of_a_node(stock: Stock) -> Target:
    node = SampleNode()
    server = _Server(stock, sample_node_app(node))
    home = _bearer(sample_node.TOKEN)
    scores = (
        b'{"entities": [{"type": "uscc", "id": "%s"}, {"type": "opaque", "id": "17"}],'
        b' "purpose": "pre_loan", "consent": "contract 17", "model": "%s",'
        b' "holder": "bureau"}' % (sample_node.FIRMS[0].encode(), b"ab" * 32)
    )
    hosted = json.dumps(
        {
            "form": encode(SCORECARD.form).decode(),
            "applicants": [{"income": 12, "kind": "farm"}],
            "purpose": "pre_loan",
            "consent": "contract 17",
        }
    ).encode()
    form = f"token={sample_node.TOKEN}".encode()
    posted = "Content-Type: application/x-www-form-urlencoded"

    def decode(data: bytes) -> None:
        node.reset()
        server.serve(data)

    return Target(
        decode,
        [
            _request("POST /v1/scores", scores, home, "Content-Type: application/json"),
            _request(
                "POST /v1/hosted-scores",
                hosted,
                home,
                "Content-Type: application/json",
            ),
            _request(
                "POST /v1/models",
                b'{"manifest": "0a01ff"}',
                home,
                "Content-Type: application/json",
            ),
            _request("GET /v1/status", b"", home),
            _request(f"POST /v1/runs/{sample_node.RUN}/approve", b"", home),
            _request(
                f"POST /v1/runs/{sample_node.RUN}/refuse",
                b'{"reason": "time"}',
                home,
                "Content-Type: application/json",
            ),
            _request("POST /login", form, "Origin: http://127.0.0.1:8081", posted),
            _request("GET /login?lang=en", b"", "Accept: text/html", "Cookie: a=b"),
            _request("GET /readyz"),
        ],
        [
            _request("POST /login", form, "Origin: http://[", posted),
            _request(
                "POST /v1/hosted-scores",
                hosted.replace(b"income", b"\\ud800"),
                home,
                "Content-Type: application/json",
            ),
            _request(
                "POST /v1/hosted-scores",
                hosted.replace(b"12", b"1" + b"0" * 400),
                home,
                "Content-Type: application/json",
            ),
            _request(
                "POST /v1/scores",
                scores.replace(b'"consent"', b'"\\ud800": 1, "consent"'),
                home,
                "Content-Type: application/json",
            ),
        ],
        share=0.1,
    )


class _ReadingCoordinator(SampleCoordinator):
    """Reads a contract as the coordinator does."""

    def __init__(self, stock: Stock) -> None:
        super().__init__(stock.log)
        self._registry = stock.parties.registry

    def propose(self, contract_toml: str) -> str:
        read_contract(contract_toml.encode(), self._registry, "0a" * 16)
        return super().propose(contract_toml)


def web_of_the_coordinator(stock: Stock) -> Target:
    face = _ReadingCoordinator(stock)
    server = _Server(stock, sample_coordinator_app(stock.log, face))
    home = _bearer(sample_coordinator.TOKEN)
    leaf = stock.log.store.entry(3).opened.leaf
    toml = b'label_holder = "bank"\nfeature_holders = ["bureau", "market"]\n'

    def decode(data: bytes) -> None:
        face.reset()
        server.serve(data)

    return Target(
        decode,
        [
            _request("POST /v1/runs", toml, home, "Content-Type: application/toml"),
            _request("GET /?actor=bank&kind=step_done&correlation=ab&before=9"),
            _request("GET /events/3", b"", "Accept-Language: zh-CN;q=0.5, en;q=0.7"),
            _request("GET /events/3/proof"),
            _request("GET /events.csv?actor=bank"),
            _request("GET /tile/entries/000.p/5"),
            _request("GET /tile/0/000.p/5"),
            _request("GET /v1/status", b"", home),
            _request("GET /v1/entries?type=started&from=2026-03-01T00:00:00Z&limit=3"),
            _request("GET /v1/proof/inclusion?index=3"),
            _request("GET /v1/proof/inclusion?leaf=" + leaf_hash(leaf).hex()),
            _request("GET /v1/proof/consistency?old=2&new=5"),
        ],
        [
            _request("GET /?before=-99999999999999999999"),
            _request("GET /events/-99999999999999999999"),
        ],
        share=0.1,
    )


def answer_of_a_program(stock: Stock) -> Target:
    """Read what answers at the address of an institution's own program."""
    token = stock.file("web.token")
    files.create(token, b"a-token-of-a-program")
    program = Program("the node", "bank", "127.0.0.1", 8081, token, "a command", 5.0)
    client = RestClient(program)
    client._client.close()  # pyright: ignore[reportPrivateUsage] - and see below
    said = b""

    def answer(_: httpx.Request) -> httpx.Response:
        status = {b"2": 200, b"z": 200}.get(said[:1], 422)
        headers = {"content-encoding": "gzip"} if said[:1] == b"z" else {}
        return httpx.Response(status, content=said[1:], headers=headers)

    client._client = httpx.Client(  # pyright: ignore[reportPrivateUsage] - no socket
        base_url=program.address, transport=httpx.MockTransport(answer)
    )
    stock.parts.enter_context(client)

    def decode(data: bytes) -> None:
        nonlocal said
        said = data
        client.ask(ScoreResponse, "POST", "/v1/scores", json={})

    score = {
        "type": "opaque",
        "id": "17",
        "score": 612,
        "probability_of_default": 0.03,
        "known": True,
    }
    answer_of_node = {
        "request": "cd" * 32,
        "model": "ab" * 32,
        "at_home": False,
        "scores": [score],
    }
    whole = json.dumps(answer_of_node).encode()
    problem = Problem(title="Unprocessable", status=422, code="source", detail="no")
    return Target(
        decode,
        [b"2" + whole],
        [b"z" + whole],
        refused=[b"4" + problem.model_dump_json().encode()],
        share=0.5,
    )


def answer_of_a_coordinator(stock: Stock) -> Target:
    """Read what answers an auditor: a file of the log, or why there is none."""
    said = b""

    def answer(_: httpx.Request) -> httpx.Response:
        status = {b"2": 200, b"4": 401}.get(said[:1], 403)
        return httpx.Response(status, content=said[1:])

    client = httpx.Client(transport=httpx.MockTransport(answer))
    stock.parts.enter_context(client)

    def decode(data: bytes) -> None:
        nonlocal said
        said = data
        RemoteLog(client, "http://coordinator/").read("checkpoint")

    problem = Problem(title="Forbidden", status=403, code="access", detail="no")
    refusal = problem.model_dump_json().encode()
    return Target(
        decode, [b"2checkpoint"], refused=[b"3" + refusal, b"4" + refusal], share=0.2
    )


TARGETS: Final[Mapping[str, Callable[[Stock], Target]]] = {
    "web of a node": web_of_a_node,
    "answer of a program": answer_of_a_program,
    "answer of a coordinator": answer_of_a_coordinator,
    "web of the coordinator": web_of_the_coordinator,
}
