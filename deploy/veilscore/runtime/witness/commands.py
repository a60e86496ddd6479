"""``veilscore witness``: watch over logs, as any party and any auditor can.

A witness needs no data and no registration: a folder, and an address that the log's
coordinator can reach.
"""

# typer.Option is not fully typed; what it returns is never used here.
# pyright: reportUnknownMemberType=false

from pathlib import Path
from typing import Annotated

import typer

from veilscore.keys import files
from veilscore.keys.tlog.export import read_log_document
from veilscore.keys.tlog.note import NoteKey
from veilscore.runtime.witness import config

app = typer.Typer(help="Watch over audit logs.", no_args_is_help=True)


@app.command()
def init(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="A new folder.")],
    *,
    name: Annotated[str, typer.Option(help="Its name, as auditor.example/witness.")],
    log: Annotated[
        list[str],
        typer.Option(
            metavar="FILE|VKEY",
            help="A log to watch: its log.v1.json or its verifier key. Repeatable.",
        ),
    ],
    host: Annotated[str, typer.Option(help="Where it listens.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=1, max=65535)] = 9090,
) -> None:
    """Make a witness's folder, and print its line for a log policy."""
    from veilscore.runtime.witness import service  # noqa: PLC0415 - takes long

    logs = tuple(map(_read_log, log))
    new = service.NewWitness(folder, name, host, port, logs)
    key = service.create(new)
    shown = f"[{host}]" if ":" in host else host
    typer.echo(f"witness {name} {key.vkey} http://{shown}:{port}")


@app.command()
def run(
    *,
    config_file: Annotated[
        Path, typer.Option("--config", help="Its witness.toml.", show_default=False)
    ],
) -> None:
    """Run a witness until SIGTERM or Ctrl-C."""
    settings = config.read(config_file)
    from veilscore.runtime.foreground import Foreground  # noqa: PLC0415 - with it
    from veilscore.runtime.witness.service import WitnessService  # noqa: PLC0415 - long

    foreground = Foreground()
    service = WitnessService(settings)
    typer.echo(f"witness {service.witness.key.name} at {service.start()}", err=True)
    foreground.wait()
    service.close()


def _read_log(given: str) -> NoteKey:
    """Read a verifier key, or the document that holds one."""
    path = Path(given)
    return (
        read_log_document(files.read(path)) if path.is_file() else NoteKey.parse(given)
    )
