"""The frame of every site: security headers, limits, problems, static files, API page.

Nothing a page needs comes from elsewhere, and its policy (CSP) lets a browser load or
send nothing elsewhere. There is no inline script or style, so the policy allows none.
"""

from collections.abc import Mapping
from http import HTTPStatus
from typing import Any, Final

from fastapi import FastAPI, Request
from fastapi.responses import FileResponse, HTMLResponse
from fastapi.staticfiles import StaticFiles
from starlette.datastructures import MutableHeaders
from starlette.exceptions import HTTPException
from starlette.types import Message, Receive, Scope, Send

from veilscore.fault import Fault
from veilscore.runtime.web.api_page import list_operations
from veilscore.runtime.web.pages import HERE, Pages, Site
from veilscore.runtime.web.problems import answer_problems, problem_schemas

MAX_BODY: Final = 1 << 20  # bytes; 1,000 ids and a contract need far less

_HEADERS: Final = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; "
        "img-src 'self' data:; connect-src 'self'; form-action 'self'; "
        "frame-ancestors 'none'; base-uri 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    # Not "no-referrer": browsers then send "Origin: null" with our own forms, which
    # could no longer be told from foreign ones (Fetch, "append a request Origin").
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
}


class WebApp(FastAPI):
    """An application whose every response, errors too, carries the headers.

    ``statuses`` gives the HTTP status of the site's own faults.
    """

    def __init__(
        self,
        site: Site,
        *,
        version: str,
        description: str,
        statuses: Mapping[type[Fault], int],
    ) -> None:
        super().__init__(
            title=site.name,
            version=version,
            description=description,
            docs_url=None,  # FastAPI's own page loads scripts from elsewhere
            redoc_url=None,
        )
        self.pages = Pages(site, version)
        answer_problems(self, self.pages, statuses)
        self.mount("/static", StaticFiles(directory=HERE / "static"))
        self._add_common_routes()

    def openapi(self) -> dict[str, Any]:
        """Return the description of the interface, its problems' schemas included."""
        document = super().openapi()
        document.setdefault("components", {}).setdefault("schemas", {}).update(
            problem_schemas()
        )
        return document

    def _add_common_routes(self) -> None:
        @self.get("/livez", include_in_schema=False)
        async def live() -> dict[str, str]:
            return {"status": "alive"}

        @self.get("/favicon.ico", include_in_schema=False)
        async def icon() -> FileResponse:
            return FileResponse(HERE / "static" / "mark.svg")

        @self.get("/api", include_in_schema=False)
        async def api(request: Request) -> HTMLResponse:
            operations = list_operations(self.openapi())
            return self.pages.render(request, "api.html", operations=operations)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] == "http":
            receive, send = _limited(receive), _with_headers(send)
        await super().__call__(scope, receive, send)


def _limited(receive: Receive) -> Receive:
    total = 0

    async def limited() -> Message:
        nonlocal total
        message = await receive()
        total += len(message.get("body", b""))
        if total > MAX_BODY:
            raise HTTPException(HTTPStatus.REQUEST_ENTITY_TOO_LARGE)
        return message

    return limited


def _with_headers(send: Send) -> Send:
    async def with_headers(message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = MutableHeaders(scope=message)
            headers.update(_HEADERS)
            # What has an ETag is the same for all and costs one question to reuse.
            headers.setdefault(
                "Cache-Control", "no-cache" if "etag" in headers else "no-store"
            )
        await send(message)

    return with_headers
