"""A node's SuperNode process: Flower's own program, woken by pokes.

``python -m veilscore.runtime.flower.supernode_process PARENT ARGUMENTS...`` runs
``flower-supernode ARGUMENTS...`` with five changes: the sleeps of its main loop end
at a poke, its waits for objects and for a lost SuperLink grow slowly and never end,
it sends replies that came late, it takes over from a predecessor that was killed, and
the process ends when its main loop does.
"""

import functools
import os
import sys
import time
import types

from veilscore.runtime.long_imports import long_imports
from veilscore.runtime.supervise import bind_to_parent, follow_parent, wait_for_go

_REPLY_POLL_S = 0.05
_OBJECT_BACKOFF_S = 0.03
_RECONNECT_S = 1.0


def main(parent: str, *arguments: str) -> None:
    """Run the SuperNode until it is told to stop or its parent dies."""
    bind_to_parent(int(parent))

    # Long imports belong after bind_to_parent.
    with long_imports():
        from flwr.supercore.inflatable.inflatable_utils import (  # noqa: PLC0415
            pull_objects,
        )
        from flwr.supercore.retry import http_retry  # noqa: PLC0415
        from flwr.supernode import (  # noqa: PLC0415
            fleet_http_connection,
            start_client_internal,
        )
        from flwr.supernode.cli import flower_supernode  # noqa: PLC0415

        from veilscore.runtime.flower.late_replies import (  # noqa: PLC0415
            sending_late_replies,
        )
        from veilscore.runtime.flower.pace import Pace  # noqa: PLC0415
        from veilscore.runtime.flower.patience import patient_invoker  # noqa: PLC0415
        from veilscore.runtime.flower.pin import replace, require_pinned  # noqa: PLC0415
        from veilscore.runtime.flower.takeover import TakeoverClient  # noqa: PLC0415

    require_pinned()
    pace = Pace()

    def sleep(seconds: float) -> None:
        # The loop sleeps 3 s when the SuperLink had nothing for it and .5 s when it
        # looks into its own memory for the app's reply.
        if seconds > 1:
            pace.wait()
        else:
            pace.rest()
            time.sleep(_REPLY_POLL_S)

    pull = functools.partial(pull_objects, initial_backoff=_OBJECT_BACKOFF_S)
    replace(start_client_internal, "time", types.SimpleNamespace(sleep=sleep))
    replace(start_client_internal, "pull_objects", pull)
    take = start_client_internal._pull_and_store_message  # noqa: SLF001 # pyright: ignore[reportPrivateUsage] - a part of its main loop
    replace(
        start_client_internal, "_pull_and_store_message", sending_late_replies(take)
    )
    replace(http_retry, "MAX_RETRY_DELAY", _RECONNECT_S)
    replace(fleet_http_connection, "FleetHttpClient", TakeoverClient)
    replace(fleet_http_connection, "make_simple_http_retry_invoker", patient_invoker)

    wait_for_go()
    follow_parent(pace.poked.set)
    sys.argv = ["flower-supernode", *arguments]
    flower_supernode()
    # The loop ended on an error it only logged; the thread of the runtime API would
    # keep the process, so that it looks alive and does nothing.
    os._exit(1)


if __name__ == "__main__":
    main(*sys.argv[1:])
