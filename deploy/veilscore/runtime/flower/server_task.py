"""The coordinator's task, a run, led by an app that is installed here.

Flower's own worker installs the app bundle that a run brings and executes it. Here the
app is an object of this process; of the bundle only its configuration is read.

Who learns what: the text of an exception goes to this host's own SuperLink only.
"""

import logging
import threading
from collections.abc import Callable

from flwr.app import Context
from flwr.common.config import get_fused_config_from_fab
from flwr.common.constant import ErrorCode, SubStatus
from flwr.common.serde import context_from_proto, run_from_proto
from flwr.proto.runtime_pb2 import PullTaskInputRequest
from flwr.serverapp import Grid
from flwr.supercore.task_identity import TaskIdentity

from veilscore.fault import Fault
from veilscore.runtime.flower.claim import claimed
from veilscore.runtime.flower.endpoint import Endpoint

_LOG = logging.getLogger(__name__)

ServerCallable = Callable[[Grid, Context], None]


def serve_server_task(
    endpoint: Endpoint, app: ServerCallable, stopping: threading.Event, token: str
) -> None:
    """Run ``app`` for one Flower run; an exception marks that run as failed.

    It waits for a SuperLink that is away, unless the coordinator is ``stopping``.

    One at a time in a process: Flower keeps the identity of the task in a global.
    """
    # These bring Flower's command line and databases along: only for a run.
    from flwr.supernode.runtime.run_clientapp import push_task_output  # noqa: PLC0415

    from veilscore.runtime.flower.grid import TaskGrid  # noqa: PLC0415

    with claimed(endpoint, token, stopping) as client:
        details, status = "", SubStatus.COMPLETED
        try:
            task = client.PullTaskInput(PullTaskInputRequest())
            run = run_from_proto(task.run)
            context = context_from_proto(task.context)
            context.run_config = get_fused_config_from_fab(task.fab.content, run)
            TaskIdentity.task_id = task.task_id
            TaskIdentity.run_id = run.run_id
            TaskIdentity.node_id = context.node_id
            grid = TaskGrid(endpoint, token, client)
            grid.set_run(run)
            app(grid, context)
        except Exception as error:  # noqa: BLE001 - a border: the run is marked
            # A fault says all there is to say.
            bug = not isinstance(error, Fault)
            _LOG.warning("a run failed: %s", error, exc_info=bug)
            details, status = f"{type(error).__name__}: {error}", SubStatus.FAILED
        push_task_output(client, None, status, details)


def error_name(code: int) -> str:
    """Return Flower's name of a message error, as in ``node-unavailable``."""
    for name, value in vars(ErrorCode).items():
        if value == code and name.isupper():
            return name.lower().replace("_", "-")
    return "unknown"
