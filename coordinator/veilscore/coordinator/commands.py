"""``veilscore coordinator`` and ``veilscore train``: what the operator types.

Each command reads the configuration, makes one call and prints. What takes long to
import is imported by the command that needs it.
"""

# typer.Option is not fully typed; what it returns is never used here.
# pyright: reportUnknownMemberType=false

import dataclasses
import json
import logging
import time
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.table import Column, Table

from veilscore.coordinator import config
from veilscore.keys import files
from veilscore.runtime.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from veilscore.coordinator.web.face import CoordinatorStatus, RunView

app = typer.Typer(help="Run the coordinator.", no_args_is_help=True)

_Config = Annotated[Path, typer.Option("--config", help="Path of coordinator.toml.")]
_Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]
_Port = typer.Option(min=1, max=65535)


@app.command()
def init(
    folder: Annotated[Path, typer.Argument(help="A new folder.")],
    *,
    host: Annotated[
        str, typer.Option(help="Name or address of this machine that nodes dial.")
    ] = "127.0.0.1",
    hub_port: Annotated[int, _Port] = 9443,
    flower_port: Annotated[int, _Port] = 9444,
    web_port: Annotated[int, _Port] = 9080,
    passphrase_file: Annotated[
        Path | None, typer.Option(help="A file of your own instead of a new one.")
    ] = None,
    listen_everywhere: Annotated[
        bool,
        typer.Option(
            "--listen-everywhere",
            help="Listen at all addresses of this machine: the host is not its own.",
        ),
    ] = False,
    as_json: _Json = False,
) -> None:
    """Make a coordinator's folder: keys, authority, registry, log, configuration."""
    from veilscore.coordinator import setup  # noqa: PLC0415 - takes long

    new = setup.NewCoordinator(
        folder,
        host,
        hub_port,
        flower_port,
        web_port,
        passphrase_file,
        listen_everywhere,
    )
    fingerprint = setup.create(new, time.time()).hex()
    if as_json:
        _print_json({"party": setup.NAME, "fingerprint": fingerprint})
        return
    _say(f"made {folder}")
    _say("fingerprint, for every node's operator to compare out of band:")
    typer.echo(fingerprint)


@app.command()
def admit(
    card: Annotated[Path, typer.Argument(help="The card.json of a party.")],
    *,
    config_file: _Config,
    fingerprint: Annotated[
        bytes,
        typer.Option(
            parser=bytes.fromhex,
            metavar="HEX",
            help="Of that party's key, learned out of band.",
        ),
    ],
    out: Annotated[Path, typer.Option(help="The kit to write for that party.")],
) -> None:
    """Let a party in, or renew its certificate; a running coordinator notices."""
    from veilscore.coordinator import setup  # noqa: PLC0415 - takes long

    settings = config.read(config_file)
    admission = setup.admit(settings, files.read(card), fingerprint, time.time())
    try:
        out.write_bytes(admission.kit)
    except OSError as error:
        raise ConfigError(
            f"the kit cannot be written ({error.strerror})",
            place=str(out),
            remedy="Admit the party again with another --out.",
        ) from error
    record = admission.record
    roles = ", ".join(sorted(record.roles))
    _say(f"{record.name} ({roles}) is in registry version {admission.registry_version}")
    _say(f"kit: {out}, for the party whose key has the fingerprint:")
    typer.echo(record.key.fingerprint.hex())


@app.command()
def expel(
    party: Annotated[str, typer.Argument(help="The party's registered name.")],
    *,
    config_file: _Config,
) -> None:
    """Take a party's roles away; a running coordinator notices."""
    from veilscore.coordinator import setup  # noqa: PLC0415 - takes long

    version = setup.expel(config.read(config_file), party)
    _say(f"{party} has no role in registry version {version}")


@app.command()
def renew(*, config_file: _Config) -> None:
    """Issue the coordinator a new TLS certificate; restart it afterwards."""
    from veilscore.coordinator import setup  # noqa: PLC0415 - takes long

    certificate = setup.renew(config.read(config_file), time.time())
    _say(f"the certificate is valid until {_day(1000 * certificate.not_after)}")


@app.command()
def run(*, config_file: _Config) -> None:
    """Run the coordinator until SIGTERM or Ctrl-C."""
    settings = config.read(config_file)
    from veilscore.coordinator.service import CoordinatorService  # noqa: PLC0415 - long
    from veilscore.runtime.allocation import return_large_blocks  # noqa: PLC0415
    from veilscore.runtime.foreground import Foreground  # noqa: PLC0415

    return_large_blocks()
    foreground = Foreground()
    logging.getLogger("httpx").setLevel(logging.WARNING)  # a line for every poll
    service = CoordinatorService(settings)
    pages = service.start()
    _say(f"hub {settings.hub.address}, Flower {settings.flower.address}, pages {pages}")
    foreground.wait()
    service.close()


@app.command()
def status(*, config_file: _Config, as_json: _Json = False) -> None:
    """Show which nodes are attached and how the runs stand."""
    from veilscore.coordinator.client import OperatorClient  # noqa: PLC0415 - long

    with OperatorClient(config_file) as client:
        state, runs = client.status(), client.runs()
    if as_json:
        _print_json({**dataclasses.asdict(state), "runs": _rows(runs)})
    else:
        _show(state, runs)


@app.command()
def stop(
    run_id: Annotated[str, typer.Argument(help="As `coordinator status` shows it.")],
    *,
    config_file: _Config,
) -> None:
    """Stop a training run for all of its parties; this is logged."""
    from veilscore.coordinator.client import OperatorClient  # noqa: PLC0415 - long

    with OperatorClient(config_file) as client:
        client.stop(run_id)
    _say(f"run {run_id} is being stopped")


@app.command()
def doctor(*, config_file: _Config, as_json: _Json = False) -> None:
    """Check everything the coordinator needs, and say what to do.

    Ends with exit code 1 if anything is wrong.
    """
    settings = config.read(config_file)
    from veilscore.coordinator.doctor import examine  # noqa: PLC0415 - takes long
    from veilscore.runtime import checkup  # noqa: PLC0415 - with it

    findings = examine(settings, time.time())
    raise typer.Exit(checkup.show(findings, as_json=as_json))


def train(
    contract: Annotated[Path, typer.Argument(help="The CONTRACT.toml of the run.")],
    *,
    config_file: _Config,
    as_json: _Json = False,
    wait: Annotated[
        bool, typer.Option("--wait/--no-wait", help="Follow the run to its end.")
    ] = True,
) -> None:
    """Propose a training run to its parties and follow it to its end.

    Ends with exit code 0 if it made a model, and 8 if it did not.
    """
    from veilscore.coordinator.client import OperatorClient  # noqa: PLC0415 - long
    from veilscore.coordinator.contract import read_contract  # noqa: PLC0415 - with it
    from veilscore.coordinator.folder import open_registry  # noqa: PLC0415 - with it
    from veilscore.coordinator.progress import follow  # noqa: PLC0415 - with it
    from veilscore.models.steps import steps  # noqa: PLC0415 - with it

    settings = config.read(config_file)
    asked = files.read(contract)
    # Read here first, because here the file has a name; the coordinator reads its text.
    names = list(steps(read_contract(asked, open_registry(settings), "", contract)))
    with OperatorClient(config_file) as client:
        proposed = client.propose(asked.decode())
        if not wait:
            _print_json({"run": proposed}) if as_json else typer.echo(proposed)
            return
        ended = follow(partial(client.run, proposed), names, quiet=as_json)
    _report(ended, as_json=as_json)


def _report(view: "RunView", *, as_json: bool) -> None:
    """Print how a run ended; without a model the exit code is 8."""
    from veilscore.coordinator.errors import RunFailedError  # noqa: PLC0415 - long

    completed = view.phase == "completed"
    if as_json:
        _print_json(dataclasses.asdict(view))
        raise typer.Exit(0 if completed else RunFailedError.exit_code)
    if not completed:
        raise RunFailedError(
            view.reason,
            party=view.stopped_by,
            remedy=view.remedy or ("See that node's page." if view.stopped_by else ""),
        )
    _say(f"run {view.run} has made model")
    typer.echo(view.model)


def _show(state: "CoordinatorStatus", runs: "Sequence[RunView]") -> None:
    console = Console(highlight=False)
    console.print(f"{state.party}, version {state.version}", markup=False)
    for reason in (*state.reasons, *state.warnings):
        console.print(f"! {reason}", style="yellow", markup=False)
    nodes = Table("node", "attached", "since", title="Nodes")
    for node in state.nodes:
        since = _day(node.since_ms) if node.since_ms else ""
        nodes.add_row(node.party, "✓" if node.attached else "✗", since)
    console.print(nodes)
    table = Table(Column("run", no_wrap=True), "proposed", "state", "end", title="Runs")
    for view in runs:
        phase = f"{view.phase}: {view.step}" if view.ended_ms is None else view.phase
        ended = ": ".join(part for part in (view.stopped_by, view.reason) if part)
        table.add_row(view.run, _day(view.proposed_ms), phase, ended)
    console.print(table)


def _rows(runs: "Sequence[RunView]") -> list[dict[str, object]]:
    return [dataclasses.asdict(view) for view in runs]


def _day(ms: int) -> str:
    return datetime.fromtimestamp(ms / 1000, UTC).strftime("%Y-%m-%d %H:%M UTC")


def _say(text: str) -> None:
    """Tell the operator; standard output is for what scripts read."""
    typer.echo(text, err=True)


def _print_json(value: object) -> None:
    typer.echo(json.dumps(value))
