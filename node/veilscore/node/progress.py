"""What a terminal shows, on standard error, while a command of a node takes long."""

from collections.abc import Generator
from contextlib import ExitStack, contextmanager

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    SpinnerColumn,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

from veilscore.keys.paillier.safe_primes import Found
from veilscore.node.command_files import Watch


@contextmanager
def asking(*, quiet: bool) -> Generator[Watch]:
    """Show how many entities were asked about; without a terminal nothing."""
    console = Console(stderr=True)
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
    )
    silent = quiet or not console.is_terminal
    with Progress(*columns, console=console, transient=True, disable=silent) as bar:
        task = bar.add_task("Asking for scores", total=None)

        def watch(done: int, total: int) -> None:
            bar.update(task, completed=done, total=total)

        yield watch


@contextmanager
def searching(*, quiet: bool) -> Generator[Found]:
    """Show for how long safe primes are sought; without a terminal one line."""
    console = Console(stderr=True, quiet=quiet, highlight=False)
    columns = (SpinnerColumn(), TextColumn("{task.description}"), TimeElapsedColumn())
    silent = quiet or not console.is_terminal
    bar = Progress(*columns, console=console, transient=True, disable=silent)
    with ExitStack() as shown:

        def found(count: int) -> None:
            if not count:
                console.print("Searching for two safe primes; this can take minutes.")
                bar.add_task("")
                shown.enter_context(bar)
            bar.update(bar.task_ids[0], description=f"{count} found")

        yield found
