"""``veilscore lab`` and ``veilscore demo``: a whole federation on this machine."""

# typer.Option is not fully typed; what it returns is never used here.
# pyright: reportUnknownMemberType=false

import json
import shutil
import signal
import tempfile
import time
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from types import FrameType
from typing import Annotated, NoReturn

import typer
from rich.console import Console
from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from veilscore.fault import Fault
from veilscore.lab.lab_file import DATA_VARIABLE, LabFile, read_lab, shipped_labs
from veilscore.lab.outcome import LabOutcome
from veilscore.lab.report import show
from veilscore.lab.run import Watch, run_lab
from veilscore.runtime.errors import ConfigError

app = typer.Typer(help="Play all parties of a federation here.", no_args_is_help=True)

_State = Annotated[
    Path | None,
    typer.Option("--state", help="Keep all files in this new folder.", metavar="DIR"),
]
_Keep = Annotated[bool, typer.Option("--keep", help="Keep the temporary folder.")]
_Json = Annotated[
    Path | None, typer.Option("--json", help="Write what was found out to this file.")
]


@app.command()
def run(
    lab: Annotated[
        str, typer.Argument(help=f"A file, or one of {', '.join(shipped_labs())}.")
    ],
    data: Annotated[
        Path | None,
        typer.Option(help="Folder of real data sets.", envvar=DATA_VARIABLE),
    ] = None,
    only: Annotated[
        str | None, typer.Option(help="Some of the lab's runs, as default,exact.")
    ] = None,
    state: _State = None,
    out: _Json = None,
    *,
    keep: _Keep = False,
) -> None:
    """Start every party of a lab, train, score, compare, verify, stop."""
    _play(read_lab(lab).only(only), data, state, out, keep=keep)


def demo(state: _State = None, out: _Json = None, *, keep: _Keep = False) -> None:
    """See joint scoring work: a bank, a regulator and a farm bureau on this machine."""
    _play(read_lab("demo"), None, state, out, keep=keep)


def _play(
    lab: LabFile,
    data: Path | None,
    state: Path | None,
    out: Path | None,
    *,
    keep: bool,
) -> None:
    """Play a lab, show what came of it, and exit with 1 if a check does not hold."""
    console = Console(highlight=False)
    _announce(lab, console)
    signal.signal(signal.SIGTERM, _leave)
    with _folder(state, console, keep=keep) as folder, _progress(console) as watch:
        outcome = run_lab(lab, data=data, state=folder, watch=watch)
    show(outcome, console)
    if out is not None:
        _write(out, outcome)
    if not all(outcome.checks().values()):
        raise typer.Exit(1)


def _announce(lab: LabFile, console: Console) -> None:
    """Say how large the lab is, before anybody waits for it."""
    names = ", ".join(party.name for party in lab.party)
    entities = f"{lab.economy.entities:,} entities, " if lab.economy else ""
    runs = ", ".join(run.name for run in lab.run)
    console.print(f"[bold]Lab {lab.name}[/]: a coordinator, {names}")
    keys = f"{lab.key_bits}-bit keys{' of safe primes' if lab.safe_primes else ''}"
    console.print(f"{entities}{keys}, training: {runs}")
    if lab.minutes is not None:
        console.print(f"All of it takes about {lab.minutes:g} minutes on two cores.")


@contextmanager
def _progress(console: Console) -> Generator[Watch, None, None]:
    """Show what is under way and for how long, and a line for all that is done."""
    began = time.monotonic()
    columns = (SpinnerColumn(), TextColumn("{task.description}"), TimeElapsedColumn())
    with Progress(*columns, console=console, transient=True) as bar:
        task = bar.add_task("")

        def watch(text: str) -> None:
            bar.console.print(f"[dim]{time.monotonic() - began:6.1f} s[/]  {text}")
            bar.reset(task, description=text)

        yield watch


@contextmanager
def _folder(
    given: Path | None, console: Console, *, keep: bool
) -> Generator[Path, None, None]:
    """Yield an empty folder for keys, data and logs; delete a temporary one.

    It stays when a party or a command failed: the logs say why.
    """
    if given is not None and given.exists() and any(given.iterdir()):
        raise ConfigError(
            "the folder is not empty", place=str(given), remedy="Name a new one."
        )
    folder = given or Path(tempfile.mkdtemp(prefix="veilscore-lab-"))
    folder.mkdir(parents=True, exist_ok=True)
    stays = keep or given is not None
    try:
        yield folder.absolute()
    except Fault:
        stays = True
        raise
    finally:
        if stays:
            console.print(f"The lab's files, keys and logs too, are in {folder}")
        else:
            shutil.rmtree(folder)


def _write(path: Path, outcome: LabOutcome) -> None:
    document = {**asdict(outcome), "checks": outcome.checks()}
    text = json.dumps(document, indent=2, ensure_ascii=False)
    try:
        path.write_text(text + "\n", encoding="utf-8")
    except OSError as error:
        raise ConfigError(
            f"the outcome cannot be written ({error.strerror})",
            place=str(path),
            remedy="Name a file in a folder that you may write to.",
        ) from error


def _leave(number: int, frame: FrameType | None) -> NoReturn:
    """End as after Ctrl-C, so that everything is stopped and deleted."""
    del frame
    raise SystemExit(128 + number)
