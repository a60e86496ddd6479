"""The coordinator's web application: the log for auditors, runs for its operator.

The log, its pages and the registry are open to whoever reaches the port; everything
under ``/v1`` needs the operator's token.
"""

from typing import Final

from veilscore.coordinator.errors import (
    AccessError,
    AppendError,
    ContractError,
    OverloadError,
    RunError,
)
from veilscore.coordinator.log import LogService
from veilscore.coordinator.web.face import CoordinatorFace
from veilscore.coordinator.web.pages import SITE, page_routes
from veilscore.coordinator.web.runs import operator_routes, readiness_route
from veilscore.coordinator.web.static_log import static_log_routes
from veilscore.fault import Fault
from veilscore.keys.errors import LogStoreError, ProofError, RegistryError
from veilscore.runtime.web.shell import WebApp
from veilscore.runtime.web.tokens import AccessToken

_STATUSES: Final[dict[type[Fault], int]] = {
    ProofError: 404,  # no such entry or tile
    LogStoreError: 503,
    ContractError: 422,
    RunError: 409,
    RegistryError: 422,
    AccessError: 403,
    AppendError: 409,
    OverloadError: 503,
}


def coordinator_app(
    log: LogService, face: CoordinatorFace, token: AccessToken, *, version: str
) -> WebApp:
    """Return the application of the coordinator; ``token`` is its operator's."""
    app = WebApp(
        SITE,
        version=version,
        description="The audit log, and training runs for the operator.",
        statuses=_STATUSES,
    )
    app.include_router(readiness_route(face))
    app.include_router(operator_routes(face, token))
    app.include_router(static_log_routes(log, face))
    app.include_router(page_routes(log, app.pages))
    return app
