"""The addresses of a witness: where logs submit, and where monitors read.

Nobody has to prove who they are: what counts is the log's signature in what they send.
"""

import logging
from http import HTTPStatus
from typing import Final

from fastapi import FastAPI, Request, Response
from starlette.concurrency import run_in_threadpool

from veilscore.keys.errors import KeysError
from veilscore.keys.tlog.witness import Answer, NotCosignedError, Witness

_log = logging.getLogger(__name__)

MAX_BODY: Final = 1 << 16  # bytes: 63 hashes and 64 signatures are a tenth of it
_TEXT: Final = "text/plain; charset=utf-8"
_SIZE: Final = "text/x.tlog.size"


def witness_app(witness: Witness) -> FastAPI:
    """Return the application of a witness."""
    app = FastAPI(docs_url=None, redoc_url=None, openapi_url=None)

    @app.post("/add-checkpoint")
    async def add_checkpoint(request: Request) -> Response:
        body = bytearray()
        async for part in request.stream():
            body += part
            if len(body) > MAX_BODY:
                return _text(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, "too long")
        lines = await run_in_threadpool(witness.add_checkpoint, bytes(body))
        return Response(lines, media_type=_TEXT)

    @app.get("/readyz")
    def ready() -> Response:
        return _text(HTTPStatus.OK, "ready")

    @app.get("/{origin_hash}/checkpoint")
    def latest(origin_hash: str) -> Response:
        return Response(witness.latest(origin_hash), media_type=_TEXT)

    @app.exception_handler(NotCosignedError)
    async def refuse(_: Request, error: NotCosignedError) -> Response:
        if error.answer is Answer.CONFLICT:
            return Response(f"{error.size}\n", error.answer, media_type=_SIZE)
        return _text(error.answer, error.what)

    @app.exception_handler(KeysError)
    async def fail(_: Request, error: KeysError) -> Response:
        _log.error("%s", error)  # its place is a file of this machine
        return _text(HTTPStatus.SERVICE_UNAVAILABLE, "nothing can be cosigned now")

    return app


def _text(status: int, sentence: str) -> Response:
    return Response(f"{sentence}\n", status, media_type=_TEXT)
