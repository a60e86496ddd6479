"""Every failure is a problem of RFC 9457, with headers, and tells strangers little."""

import json
import logging
from pathlib import Path

import httpx
import pytest
from fastapi import FastAPI, Request

from tests.unit.web.sample_node import (
    FIRMS,
    TOKEN,
    OwnFault,
    SampleNode,
    sample_node_app,
)
from tests.unit.web.serving import bearer, client_of
from veilscore.node.errors import (
    BadAnswerError,
    HolderRefusedError,
    HolderUnavailableError,
    NoAnswerError,
    NoModelError,
    NoReceivingKeyError,
    ScoringError,
    StoppingError,
    TooManyEntitiesError,
    UnknownModelError,
)
from veilscore.runtime.errors import PeerLostError
from veilscore.runtime.web.problems import mark_at_home
from veilscore.runtime.web.shell import MAX_BODY

CSP = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; "
    "connect-src 'self'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'"
)
ASK = {
    "entities": [{"type": "uscc", "id": FIRMS[0]}],
    "purpose": "pre_loan",
    "consent": "C-2026-0917",
}
PAGE = {"Accept": "text/html,*/*;q=0.8"}


def with_failing_routes(app: FastAPI) -> FastAPI:
    @app.get("/own/{home}")
    def own(request: Request, home: str) -> None:
        if home == "home":
            mark_at_home(request)
        raise OwnFault(
            "a file is broken",
            party="bank",
            place="/srv/secret.toml",
            remedy="Restore it.",
        )

    @app.get("/defect")
    def defect() -> None:
        raise ZeroDivisionError(TOKEN)

    return app


def test_a_stranger_learns_the_code_and_home_the_whole_fault(
    node: SampleNode, caplog: pytest.LogCaptureFixture
) -> None:
    with client_of(with_failing_routes(sample_node_app(node))) as client:
        abroad, home = client.get("/own/abroad"), client.get("/own/home")
    assert abroad.headers["content-type"] == "application/problem+json"
    assert abroad.json() == {
        "title": "Internal Server Error",
        "status": 500,
        "code": "own",
    }
    assert home.json() == {
        "title": "Internal Server Error",
        "status": 500,
        "code": "own",
        "detail": "a file is broken",
        "party": "bank",
        "place": "/srv/secret.toml",
        "remedy": "Restore it.",
    }
    assert caplog.text.count("/srv/secret.toml") == 2


def test_a_defect_tells_nobody_what_it_is(
    node: SampleNode, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.ERROR)
    with client_of(with_failing_routes(sample_node_app(node))) as client:
        problem, page = client.get("/defect"), client.get("/defect", headers=PAGE)
    assert problem.json() == {
        "title": "Internal Server Error",
        "status": 500,
        "code": "internal",
        "detail": "a defect ended this request; the log of this server says more",
    }
    for answer in (problem, page):
        assert answer.status_code == 500
        assert TOKEN not in answer.text
        assert answer.headers["content-security-policy"] == CSP
    assert "<h1>" in page.text
    assert "ZeroDivisionError" in caplog.text


@pytest.mark.parametrize(
    ("fault", "status", "code"),
    [
        (ScoringError("no", party="bureau", remedy="Ask again."), 422, "scoring"),
        (NoModelError("no", party="bureau"), 404, "no-model"),
        (UnknownModelError("no", party="bureau"), 404, "unknown-model"),
        (TooManyEntitiesError("no", party="bureau"), 422, "too-many-entities"),
        (NoReceivingKeyError("no", party="bureau"), 503, "no-receiving-key"),
        (StoppingError("no", party="bureau"), 503, "stopping"),
        (NoAnswerError("no", party="bureau"), 504, "no-answer"),
        (BadAnswerError("no", party="bureau"), 502, "bad-answer"),
        (
            HolderRefusedError("no", reason="two-party", party="bureau"),
            403,
            "holder-two-party",
        ),
        (
            HolderUnavailableError("no", reason="unavailable", party="bureau"),
            503,
            "holder-unavailable",
        ),
        (PeerLostError("no", party="bureau"), 503, "peer-lost"),
    ],
)
def test_a_fault_keeps_its_code_and_gets_its_status(
    node: SampleNode,
    node_client: httpx.Client,
    fault: Exception,
    status: int,
    code: str,
) -> None:
    node.fault = fault
    answer = node_client.post("/v1/scores", json=ASK, headers=bearer(TOKEN))
    assert answer.status_code == status
    problem = answer.json()
    assert (problem["status"], problem["code"], problem["party"]) == (
        status,
        code,
        "bureau",
    )
    assert "request" not in problem


def test_a_problem_names_the_request_that_was_logged(
    node: SampleNode, node_client: httpx.Client
) -> None:
    node.fault = fault = PeerLostError("no", party="bureau")
    fault.request = "ab" * 32
    answer = node_client.post("/v1/scores", json=ASK, headers=bearer(TOKEN))
    assert answer.json()["request"] == "ab" * 32


def test_what_was_sent_is_never_repeated(node_client: httpx.Client) -> None:
    body = {**ASK, "entities": [{"type": "uscc", "id": 4711}, {"type": "tax"}]}
    answer = node_client.post("/v1/scores", json=body, headers=bearer(TOKEN))
    assert answer.status_code == 422
    assert answer.headers["content-type"] == "application/problem+json"
    places = [flaw["pointer"] for flaw in answer.json()["errors"]]
    assert places == ["/entities/0/id", "/entities/1/type", "/entities/1/id"]
    assert "4711" not in answer.text


@pytest.mark.parametrize(
    ("body", "found"),
    [
        (
            b'{"entities": [{"type": "uscc", "id": "4711"} {}]}',
            ("", "not JSON: Expecting ',' delimiter, at character 45"),
        ),
        (b"", ("", "Field required")),
        (b"[]", ("", "Input should be a valid dictionary or object to extract")),
        (
            json.dumps({**ASK, "a/b~c": 1}).encode(),
            ("/a~1b~0c", "Extra inputs are not permitted"),
        ),
        (
            json.dumps({**ASK, "entities": [{}]}).encode(),
            ("/entities/0/type", "Field required"),
        ),
    ],
)
def test_a_pointer_leads_to_the_flaw(
    node_client: httpx.Client, body: bytes, found: tuple[str, str]
) -> None:
    headers = {**bearer(TOKEN), "Content-Type": "application/json"}
    answer = node_client.post("/v1/scores", content=body, headers=headers)
    assert answer.status_code == 422
    assert answer.json()["remedy"]
    pointer, sentence = found
    flaw = answer.json()["errors"][0]
    assert flaw["pointer"] == pointer
    assert flaw["detail"].startswith(sentence)
    assert "4711" not in answer.text


def test_a_body_that_is_no_text_is_a_problem_too(node_client: httpx.Client) -> None:
    headers = {**bearer(TOKEN), "Content-Type": "application/json"}
    answer = node_client.post("/v1/scores", content=b'{"a": "\xff"}', headers=headers)
    assert (answer.status_code, answer.json()["code"]) == (400, "bad-request")
    assert answer.json()["detail"]


def test_a_flaw_outside_the_body_has_no_pointer_into_it(
    coordinator_client: httpx.Client,
) -> None:
    (flaw,) = coordinator_client.get("/?before=x").json()["errors"]
    assert flaw["pointer"] == ""
    assert flaw["detail"].startswith("query parameter before: ")


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        ("DELETE", "/v1/runs", "GET, POST"),
        ("POST", "/v1/runs/ff", "DELETE, GET"),
        ("POST", "/parties", "GET"),
        ("POST", "/static/base.css", "GET, HEAD"),
    ],
)
def test_a_wrong_method_is_told_the_right_ones(
    coordinator_client: httpx.Client, method: str, path: str, allowed: str
) -> None:
    for headers in ({}, PAGE):
        answer = coordinator_client.request(method, path, headers=headers)
        assert answer.status_code == 405
        assert answer.headers["allow"] == allowed
    assert coordinator_client.request(method, path).json() == {
        "title": "Method Not Allowed",
        "status": 405,
        "code": "method-not-allowed",
        "detail": "this address does not take this method",
    }


def test_a_browser_gets_a_page_and_a_program_a_problem(
    coordinator_client: httpx.Client,
) -> None:
    page = coordinator_client.get("/nothing", headers=PAGE)
    assert page.status_code == 404
    assert "没有这个页面" in page.text
    problem = coordinator_client.get("/nothing")
    assert problem.json() == {
        "title": "Not Found",
        "status": 404,
        "code": "not-found",
        "detail": "there is nothing at this address",
    }
    assert problem.json()["detail"] not in page.text
    assert coordinator_client.get("/v1/nothing", headers=PAGE).json()["status"] == 404


def test_a_page_of_a_fault_shows_its_sentence(
    coordinator_client: httpx.Client,
) -> None:
    page = coordinator_client.get("/events/99999", headers=PAGE)
    assert page.status_code == 404
    assert '<p class="sentence" lang="en">the log has no entry 99999.</p>' in page.text


@pytest.mark.parametrize("path", ["/", "/nothing", "/livez", "/static/base.css"])
def test_every_response_carries_the_headers(
    coordinator_client: httpx.Client, path: str
) -> None:
    headers = coordinator_client.get(path).headers
    assert headers["content-security-policy"] == CSP
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["referrer-policy"] == "same-origin"
    assert "server" not in headers


def test_pages_are_not_stored_and_files_are_asked_for_again(
    coordinator_client: httpx.Client,
) -> None:
    assert coordinator_client.get("/").headers["cache-control"] == "no-store"
    style = coordinator_client.get("/static/base.css")
    assert style.headers["cache-control"] == "no-cache"
    again = coordinator_client.get(
        "/static/base.css", headers={"If-None-Match": style.headers["etag"]}
    )
    assert again.status_code == 304


def test_a_body_beyond_the_limit_is_not_read(node_client: httpx.Client) -> None:
    answer = node_client.post(
        "/v1/scores", content=b" " * (MAX_BODY + 1), headers=bearer(TOKEN)
    )
    assert answer.status_code == 413
    assert answer.json()["code"] == "request-entity-too-large"


def test_nothing_outside_the_folder_of_static_files_is_served(
    coordinator_client: httpx.Client,
) -> None:
    root = Path("/etc/hostname")
    assert root.exists()
    for path in ("/static/../pages.py", "/static/%2e%2e/pages.py", f"/static/{root}"):
        assert coordinator_client.get(path).status_code == 404
