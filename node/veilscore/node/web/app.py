"""The node's local web application: pages for its operator, REST for its systems.

Meant for the loopback or the institution's intranet. Everything but the liveness and
readiness probes, the sign-in page and the description of the interface needs the token.
"""

import time
from typing import Final

from veilscore.fault import Fault
from veilscore.keys.errors import EntityIdError, LogStoreError
from veilscore.node.errors import (
    AlreadyDecidedError,
    BadAnswerError,
    CoordinatorRefusedError,
    FormError,
    HolderRefusedError,
    HolderUnavailableError,
    ManifestError,
    NoAnswerError,
    NoModelError,
    NoOpeningError,
    NoReceivingKeyError,
    RefusedError,
    ScoringError,
    ShelfError,
    StoppingError,
    UnknownConsentError,
    UnknownModelError,
    UnknownRunError,
)
from veilscore.node.web.decisions import decision_routes
from veilscore.node.web.face import NodeFace
from veilscore.node.web.hosted import hosted_routes
from veilscore.node.web.models import model_routes
from veilscore.node.web.pages import SITE, page_routes, session_routes
from veilscore.node.web.records import record_routes
from veilscore.node.web.scores import readiness_route, score_routes
from veilscore.runtime.web.sessions import Doorman
from veilscore.runtime.web.shell import WebApp
from veilscore.runtime.web.tokens import AccessToken

_STATUSES: Final[dict[type[Fault], int]] = {
    EntityIdError: 422,
    FormError: 422,
    RefusedError: 403,
    ScoringError: 422,  # the request; the kinds below are not
    NoModelError: 404,
    NoOpeningError: 404,
    UnknownConsentError: 404,
    UnknownModelError: 404,
    HolderRefusedError: 403,
    HolderUnavailableError: 503,
    NoReceivingKeyError: 503,
    StoppingError: 503,
    NoAnswerError: 504,
    BadAnswerError: 502,
    UnknownRunError: 404,
    AlreadyDecidedError: 409,
    CoordinatorRefusedError: 502,
    ManifestError: 422,
    ShelfError: 500,
    LogStoreError: 503,
}


def node_app(face: NodeFace, token: AccessToken, *, party: str, version: str) -> WebApp:
    """Return the application of the node of ``party``."""
    app = WebApp(
        SITE,
        version=version,
        description="Credit scores under encryption, for this institution only.",
        statuses=_STATUSES,
    )
    app.include_router(readiness_route(face))
    app.include_router(score_routes(face, token))
    app.include_router(hosted_routes(face, token))
    app.include_router(model_routes(face, token))
    app.include_router(decision_routes(face, token))
    app.include_router(record_routes(face, token))
    doorman = Doorman(token, party, time.monotonic)
    app.include_router(session_routes(app.pages, doorman))
    app.include_router(page_routes(face, app.pages, doorman))
    return app
