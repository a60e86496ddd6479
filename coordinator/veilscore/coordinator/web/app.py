"""The coordinator's web application: the log for auditors, runs for its operator.

Who may read the log, its pages and the registry, who sees the runs, and who may change
something is decided in ``readers``. Probes and the styles of pages are for everybody.
"""

from typing import Final

from fastapi import Depends

from veilscore.coordinator.errors import (
    AccessError,
    AppendError,
    ContractError,
    OverloadError,
    RunError,
)
from veilscore.coordinator.log import LogService
from veilscore.coordinator.web.evidence import evidence_routes
from veilscore.coordinator.web.face import CoordinatorFace
from veilscore.coordinator.web.pages import SITE, page_routes
from veilscore.coordinator.web.readers import Readers
from veilscore.coordinator.web.runs import readiness_route, run_routes
from veilscore.coordinator.web.static_log import static_log_routes
from veilscore.fault import Fault
from veilscore.keys.errors import LogStoreError, ProofError, RegistryError
from veilscore.runtime.web.shell import WebApp

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
    log: LogService, face: CoordinatorFace, readers: Readers, *, version: str
) -> WebApp:
    """Return the application of the coordinator."""
    app = WebApp(
        SITE,
        version=version,
        description="The audit log, and training runs for the operator.",
        statuses=_STATUSES,
    )
    app.include_router(readiness_route(face))
    app.include_router(run_routes(face, readers))
    app.include_router(evidence_routes(log, readers.may_read))
    for_readers = [Depends(readers.may_read)]
    app.include_router(static_log_routes(log, face), dependencies=for_readers)
    app.include_router(page_routes(log, app.pages), dependencies=for_readers)
    return app
