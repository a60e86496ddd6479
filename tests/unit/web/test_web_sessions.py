"""Signing in, staying in, and forms that nobody else can send."""

import re
from collections.abc import Iterator

import httpx
import pytest
from fastapi import FastAPI, Request, Response

from tests.unit.web.sample_node import TOKEN, SampleNode, sample_node_app
from tests.unit.web.serving import client_of
from veilscore.runtime.web.sessions import Doorman
from veilscore.runtime.web.tokens import AccessToken

PAGE = {"Accept": "text/html"}
RUN = "/runs/c1d2e3f4a5b60718293a4b5c6d7e8f90"
APPROVE = {"decision": "approve", "compared": "yes"}


def origin_of(client: httpx.Client) -> dict[str, str]:
    return {"Origin": str(client.base_url).rstrip("/")}


def sign_in(client: httpx.Client, token: str = TOKEN) -> httpx.Response:
    return client.post("/login", data={"token": token}, headers=origin_of(client))


def csrf_of(client: httpx.Client) -> str:
    found = re.search(r'name="csrf" value="([^"]+)"', client.get("/").text)
    assert found
    return found[1]


def test_who_is_not_signed_in_is_sent_to_sign_in(node_client: httpx.Client) -> None:
    for path in ("/", RUN):
        answer = node_client.get(path, headers=PAGE)
        assert (answer.status_code, answer.headers["location"]) == (303, "/login")
        assert "bank-yuzhong" not in answer.text
    assert node_client.get("/live").status_code == 401
    assert "<form" in node_client.get("/login").text


def test_the_cookie_is_out_of_reach_of_scripts_and_other_sites(
    node_client: httpx.Client,
) -> None:
    answer = sign_in(node_client)
    assert (answer.status_code, answer.headers["location"]) == (303, "/")
    cookie = answer.headers["set-cookie"]
    assert cookie.startswith("veilscore-bank-yuzhong=")
    assert "HttpOnly" in cookie
    assert "SameSite=strict" in cookie
    assert TOKEN not in cookie
    assert "bank-yuzhong" in node_client.get("/").text


def test_another_token_opens_nothing(node_client: httpx.Client) -> None:
    answer = sign_in(node_client, TOKEN[:-1])
    assert answer.status_code == 401
    assert "set-cookie" not in answer.headers
    assert "这不是本节点的令牌" in answer.text


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Origin": "null"},
        {"Origin": "https://elsewhere.example"},
        {"Origin": "http://127.0.0.1:1"},
    ],
)
def test_a_form_from_elsewhere_is_refused(
    node: SampleNode, node_client: httpx.Client, headers: dict[str, str]
) -> None:
    sign_in(node_client)
    form = {"csrf": csrf_of(node_client), **APPROVE}
    answer = node_client.post(RUN, data=form, headers=headers)
    assert (answer.status_code, answer.json()["code"]) == (403, "forbidden")
    login = node_client.post("/login", data={"token": TOKEN}, headers=headers)
    assert login.status_code == 403
    assert node.decisions == []


@pytest.mark.parametrize("csrf", ["", "x" * 43, "中"])
def test_a_form_without_the_value_of_the_session_is_refused(
    node: SampleNode, node_client: httpx.Client, csrf: str
) -> None:
    sign_in(node_client)
    form = {"csrf": csrf, **APPROVE}
    answer = node_client.post(RUN, data=form, headers=origin_of(node_client))
    assert answer.status_code == 403
    assert node.decisions == []


def test_the_value_of_another_session_is_refused(node: SampleNode) -> None:
    with client_of(sample_node_app(node)) as first:
        sign_in(first)
        csrf = csrf_of(first)
        first.cookies.clear()
        sign_in(first)
        form = {"csrf": csrf, **APPROVE}
        assert first.post(RUN, data=form, headers=origin_of(first)).status_code == 403
    assert node.decisions == []


@pytest.mark.parametrize("body", [b"\xff", b"a=%ff", b"&".join([b"a=1"] * 60)])
def test_what_is_no_form_is_refused(node_client: httpx.Client, body: bytes) -> None:
    answer = node_client.post("/login", content=body, headers=origin_of(node_client))
    assert (answer.status_code, answer.json()["code"]) == (422, "bad-request")


def test_signing_out_ends_the_session(node_client: httpx.Client) -> None:
    sign_in(node_client)
    cookies = dict(node_client.cookies)
    form = {"csrf": csrf_of(node_client)}
    answer = node_client.post("/logout", data=form, headers=origin_of(node_client))
    assert answer.status_code == 303
    assert not node_client.cookies
    node_client.cookies.update(cookies)
    assert node_client.get("/live").status_code == 401


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def timed(clock: Clock) -> Iterator[httpx.Client]:
    doorman = Doorman(AccessToken(TOKEN), "x", clock)
    app = FastAPI()

    @app.get("/in")
    def enter(request: Request, response: Response) -> None:
        doorman.sign_in(request, response, TOKEN)

    @app.get("/stay")
    def stay(request: Request, *, active: bool) -> None:
        doorman.session(request, active=active)

    with client_of(app) as client:
        client.get("/in")
        yield client


def test_a_session_ends_after_half_an_hour_without_its_person(
    clock: Clock, timed: httpx.Client
) -> None:
    clock.now += 1700
    assert timed.get("/stay?active=true").status_code == 200
    clock.now += 1700
    assert timed.get("/stay?active=false").status_code == 200
    clock.now += 200  # the script of the open page did not count
    assert timed.get("/stay?active=true").status_code == 500


def test_a_session_ends_after_a_working_day(clock: Clock, timed: httpx.Client) -> None:
    for _ in range(8 * 3):
        clock.now += 1190
        assert timed.get("/stay?active=true").status_code == 200
    clock.now += 300
    assert timed.get("/stay?active=true").status_code == 500


def test_old_sessions_make_room(timed: httpx.Client) -> None:
    first = dict(timed.cookies)
    for _ in range(100):
        timed.get("/in")
    assert timed.get("/stay?active=true").status_code == 200
    timed.cookies.clear()
    timed.cookies.update(first)
    assert timed.get("/stay?active=true").status_code == 500
