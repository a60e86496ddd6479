"""The coordinator's SuperLink process: Flower's own program behind the guard.

``python -m veilscore.runtime.flower.superlink_process PARENT TOKEN_FILE ARGUMENTS...``
runs ``flower-superlink ARGUMENTS...``. Nothing in Flower is edited: the name
``uvicorn`` in its command module is replaced by one that wraps the application, and
what its migrations run on by one transaction.
"""

import sys
import types
from pathlib import Path

from veilscore.runtime.long_imports import long_imports
from veilscore.runtime.supervise import bind_to_parent, follow_parent, wait_for_go


def main(parent: str, token_file: str, *arguments: str) -> None:
    """Run the SuperLink until it is told to stop or its parent dies."""
    bind_to_parent(int(parent))

    # Long imports belong after bind_to_parent.
    import importlib  # noqa: PLC0415

    with long_imports():
        import uvicorn  # noqa: PLC0415

        from veilscore.runtime.flower.come_again import ComeAgain  # noqa: PLC0415
        from veilscore.runtime.flower.guard import Guard  # noqa: PLC0415
        from veilscore.runtime.flower.migration import one_transaction  # noqa: PLC0415
        from veilscore.runtime.flower.pin import replace, require_pinned  # noqa: PLC0415

        # By name: the package re-exports a function that hides the module.
        command = importlib.import_module("flwr.superlink.cli.flower_superlink")
        importlib.import_module("flwr.superlink.main")  # Flower imports it late
        migrations = importlib.import_module("flwr.supercore.state.alembic.utils")

    require_pinned()

    def run(app: object, **options: object) -> None:
        token = Path(token_file).read_bytes()
        # Without a limit a SIGTERM waits for every open connection of every node.
        options["timeout_graceful_shutdown"] = 1
        # Clients keep an idle connection for 5 s, and so would this server: a request
        # that is sent when it closes one is lost, and a reply of a node with it.
        options["timeout_keep_alive"] = 60
        uvicorn.run(Guard(ComeAgain(app), token), **options)  # type: ignore[arg-type] # theirs

    replace(command, "uvicorn", types.SimpleNamespace(run=run))
    replace(migrations, "_migration_bind", one_transaction)
    wait_for_go()
    follow_parent(lambda: None)
    sys.argv = ["flower-superlink", *arguments]
    command.flower_superlink()


if __name__ == "__main__":
    main(*sys.argv[1:])
