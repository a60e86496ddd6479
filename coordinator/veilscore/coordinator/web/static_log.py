"""The log as static files: C2SP tlog-tiles, and the documents beside them.

Every reader of the log may read them. What has a size in its name never changes and may
be cached for ever; the checkpoint and the registry are asked for anew each time.
"""

from typing import Final

from fastapi import APIRouter, Response

from veilscore.coordinator.log import LogService
from veilscore.coordinator.web.face import CoordinatorFace

_FOR_EVER: Final = {"Cache-Control": "public, max-age=31536000, immutable"}
_ANEW: Final = {"Cache-Control": "no-cache"}
_BYTES: Final = "application/octet-stream"


def static_log_routes(log: LogService, face: CoordinatorFace) -> APIRouter:
    """Return the routes of every file of an export."""
    router = APIRouter(include_in_schema=False)

    @router.get("/checkpoint")
    def checkpoint() -> Response:
        return Response(log.checkpoint(), 200, _ANEW, "text/plain; charset=utf-8")

    @router.get("/tile/entries/{path:path}")
    def entries(path: str) -> Response:
        return Response(log.entries(f"tile/entries/{path}"), 200, _FOR_EVER, _BYTES)

    @router.get("/tile/{path:path}")
    def tile(path: str) -> Response:
        return Response(log.tile(f"tile/{path}"), 200, _FOR_EVER, _BYTES)

    @router.get("/log.v1.json")
    def description() -> Response:
        return Response(log.log_document(), 200, _ANEW, "application/json")

    @router.get("/registry.json")
    def registry() -> Response:
        return Response(face.registry_file(), 200, _ANEW, "application/json")

    return router
