"""What the audit commands have in common on the command line and on the terminal."""

# typer.Option is not fully typed; what it returns is never used here.
# pyright: reportUnknownMemberType=false

from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, TypeAlias

import typer
from rich.console import Console
from rich.progress import Progress

from veilscore.keys.tlog.search import Progress as Watch

Json: TypeAlias = Annotated[bool, typer.Option("--json", help="Print JSON.")]
Policy: TypeAlias = Annotated[
    Path | None,
    typer.Option(
        help="Whose checkpoints count: a log policy (C2SP tlog-policy).",
        show_default=False,
    ),
]
Fingerprint: TypeAlias = Annotated[
    str,
    typer.Option(
        metavar="HEX",
        help="SHA-256 of the coordinator's key, learned out of band.",
        show_default=False,
    ),
]
Own: TypeAlias = Annotated[
    Path | None,
    typer.Option(
        "--as",
        metavar="DIR",
        help="Whose certificate is shown: an auditor's or a node's folder.",
        show_default=False,
    ),
]
Export: TypeAlias = Annotated[Path, typer.Argument(help="A directory or a tar.")]


def must_be_new(out: Path) -> None:
    """Refuse an output that is there already."""
    if out.exists():
        raise typer.BadParameter(f"{out} exists already", param_hint="--out")


@contextmanager
def reading(*, quiet: bool) -> Generator[Watch]:
    """Show how many entries were read; without a terminal nothing."""
    console = Console(stderr=True)
    silent = quiet or not console.is_terminal
    with Progress(console=console, transient=True, disable=silent) as bar:
        task = bar.add_task("Reading entries")
        yield lambda done, total: bar.update(task, completed=done, total=total)
