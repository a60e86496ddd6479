import asyncio
from collections.abc import MutableMapping
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from veilscore.runtime.flower.guard import Guard, Receive, Scope, Send

TOKEN = b"correct horse"


def ask(
    path: str, *, headers: list[tuple[bytes, bytes]] | None = None, kind: str = "http"
) -> tuple[bool, list[MutableMapping[str, Any]]]:
    """Return whether the application behind the guard was reached, and the answer."""
    reached = False
    sent: list[MutableMapping[str, Any]] = []

    async def inner(scope: Scope, receive: Receive, send: Send) -> None:
        nonlocal reached
        del scope, receive, send
        reached = True

    async def receive() -> MutableMapping[str, Any]:
        return {"type": "http.request"}

    async def send(message: MutableMapping[str, Any]) -> None:
        sent.append(message)

    scope = {"type": kind, "path": path, "headers": headers or []}
    asyncio.run(Guard(inner, TOKEN)(scope, receive, send))
    return reached, sent


@pytest.mark.parametrize(
    "path", ["/health", "/v1/fleet/pull-messages", "/v1/runtime/acquire-task"]
)
def test_what_flower_authenticates_itself_passes(path: str) -> None:
    assert ask(path) == (True, [])


def test_control_passes_with_the_token() -> None:
    shown = [(b"x-coordinator-token", TOKEN)]
    assert ask("/v1/control/start-run", headers=shown) == (True, [])


@pytest.mark.parametrize(
    "headers",
    [
        [],
        [(b"x-coordinator-token", b"")],
        [(b"x-coordinator-token", b"wrong")],
        [(b"x-coordinator-token", TOKEN + b"\n")],
        [(b"x-coordinator-token", "\u00e9\u4fe1".encode())],
        [(b"x-coordinator-token", TOKEN), (b"x-coordinator-token", b"wrong")],
        [(b"authorization", TOKEN)],
    ],
)
def test_control_without_the_one_token_is_forbidden(
    headers: list[tuple[bytes, bytes]],
) -> None:
    reached, sent = ask("/v1/control/start-run", headers=headers)
    assert not reached
    assert sent[0]["status"] == 403


@pytest.mark.parametrize(
    "path",
    [
        "/docs",
        "/openapi.json",
        "/v1/responses",
        "/v1/fleet",
        "/v1/fleetx/pull-messages",
        "/V1/fleet/pull-messages",
        "//v1/fleet/pull-messages",
        "/health/",
        "/v1/control",
        "",
        "*",
    ],
)
def test_everything_else_is_forbidden(path: str) -> None:
    shown = [(b"x-coordinator-token", TOKEN)]
    reached, sent = ask(path, headers=shown)
    assert not reached
    assert sent[0]["status"] == 403
    assert sent[1]["body"] == b"forbidden"


@given(st.text(max_size=40))
def test_no_path_outside_the_open_parts_passes_without_a_token(path: str) -> None:
    opened = path == "/health" or path.startswith(("/v1/fleet/", "/v1/runtime/"))
    assert ask(path)[0] == opened


def test_a_websocket_is_closed() -> None:
    assert ask("/v1/fleet/x", kind="websocket") == (
        False,
        [{"type": "websocket.close", "code": 1008}],
    )


def test_the_applications_lifespan_passes() -> None:
    assert ask("", kind="lifespan") == (True, [])
