"""``veilscore node ...`` and ``veilscore score``: what an operator types.

Every command names its files; nothing is taken from the environment.
"""

# typer.Option is not fully typed; what it returns is never used here.
# pyright: reportUnknownMemberType=false

import json
import logging
import signal
import threading
from pathlib import Path
from types import FrameType
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from veilscore.keys.paillier.public import DEFAULT_BITS
from veilscore.keys.registry import Role
from veilscore.node import config, setup
from veilscore.node.local import LocalNode
from veilscore.runtime.errors import ConfigError

app = typer.Typer(help="Run a node beside an institution's data.", no_args_is_help=True)
Config = Annotated[Path, typer.Option("--config", help="The node's node.toml.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]
START_S = 60.0


@app.command()
def init(
    folder: Annotated[Path, typer.Argument(help="A new folder for keys and files.")],
    party: Annotated[str, typer.Option(help="Name of the institution, e.g. bank-a.")],
    role: Annotated[list[Role] | None, typer.Option(help="May be repeated.")] = None,
    key_bits: Annotated[int, typer.Option(help="Paillier key.")] = DEFAULT_BITS,
    source: Annotated[
        Path | None, typer.Option(help="TOML with the [source] tables.")
    ] = None,
    web_port: Annotated[int, typer.Option()] = 8081,
    runtime_port: Annotated[int, typer.Option()] = 9101,
    passphrase_file: Annotated[
        Path | None, typer.Option(help="Else a random one is made.")
    ] = None,
    *,
    as_json: AsJson = False,
) -> None:
    """Make keys, node.toml and the card to hand to the coordinator."""
    new = setup.NewNode(
        folder=folder,
        party=party,
        roles=role or [Role.DATA_HOLDER],
        key_bits=key_bits,
        source=_read(source) if source else "",
        web_port=web_port,
        runtime_port=runtime_port,
        passphrase_file=passphrase_file,
    )
    fingerprint = setup.create(new).hex()
    if as_json:
        typer.echo(json.dumps({"party": party, "fingerprint": fingerprint}))
        return
    console = Console()
    console.print(f"Made [bold]{folder}[/bold] for {party}.")
    console.print(f"Fingerprint, to be compared by telephone: {fingerprint}")
    console.print(f"Next: hand {folder / 'card.json'} to the coordinator's operator.")


@app.command()
def join(
    kit: Annotated[Path, typer.Argument(help="The kit the coordinator handed back.")],
    config_file: Config,
    fingerprint: Annotated[
        str, typer.Option(help="Of the coordinator, learned out of band (hex).")
    ],
) -> None:
    """Check the coordinator's kit and keep it."""
    settings = config.read(config_file)
    try:
        pinned = bytes.fromhex(fingerprint)
    except ValueError as error:
        raise ConfigError(
            "the fingerprint is not hexadecimal",
            party=settings.party,
            remedy="type the 64 characters the coordinator's operator reads out",
        ) from error
    welcome = setup.join(settings, _read(kit).encode(), pinned)
    parties = ", ".join(sorted(welcome.registry.fingerprints()))
    Console().print(f"Joined. Registered parties: {parties}.")


@app.command()
def run(config_file: Config) -> None:
    """Run the node until it is told to stop."""
    # Imported here: only this command needs Flower, the data and the web.
    from veilscore.node.operator import OperatorView  # noqa: PLC0415
    from veilscore.node.service import VERSION, NodeService  # noqa: PLC0415
    from veilscore.node.web.app import node_app  # noqa: PLC0415
    from veilscore.runtime.supervise import port_is_free  # noqa: PLC0415
    from veilscore.runtime.web.server import WebServer  # noqa: PLC0415
    from veilscore.runtime.web.tokens import AccessToken  # noqa: PLC0415

    logging.basicConfig(
        level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s"
    )
    logging.getLogger("httpx").setLevel(logging.WARNING)  # a line for every poll
    settings = config.read(config_file)
    token = AccessToken.read(settings.web.token_file)
    port_is_free(settings.web.host, settings.web.port)
    stopping = threading.Event()

    def stop(number: int, frame: FrameType | None) -> None:
        del number, frame
        stopping.set()

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, stop)
    service = NodeService(settings)
    try:
        service.start(START_S)
        site = node_app(
            OperatorView(service), token, party=settings.party, version=VERSION
        )
        web = WebServer(site, settings.web.host, settings.web.port)
        address = web.start()
        logging.getLogger(__name__).info("ready: %s", address)
        # With a timeout: a signal right after SIGCONT may reach another thread.
        while not stopping.wait(0.5):
            pass
        web.stop()
    finally:
        service.stop()


@app.command()
def status(config_file: Config, *, as_json: AsJson = False) -> None:
    """Show the running node's state."""
    found = LocalNode.of(config.read(config_file)).status()
    if as_json:
        typer.echo(json.dumps(found))
        return
    table = Table(title=f"Node {found['party']}", show_header=False)
    for key, value in found.items():
        table.add_row(key, json.dumps(value, ensure_ascii=False))
    Console().print(table)


@app.command()
def approve(run_id: str, config_file: Config) -> None:
    """Let this node take part in a run that waits for approval."""
    LocalNode.of(config.read(config_file)).decide(run_id, approved=True)


@app.command()
def refuse(run_id: str, config_file: Config) -> None:
    """Keep this node out of a run that waits for approval."""
    LocalNode.of(config.read(config_file)).decide(run_id, approved=False)


@app.command()
def card(
    config_file: Config,
    out: Annotated[Path, typer.Option(help="The JSON file to write.")],
    model: Annotated[str, typer.Option(help="Hash; without it the newest.")] = "",
) -> None:
    """Write this node's own part of a model for its operator to read.

    It is the institution's secret: bins, points and weights of its own columns.
    """
    from veilscore.models.card_file import encode  # noqa: PLC0415
    from veilscore.node.shelf import Shelf  # noqa: PLC0415

    settings = config.read(config_file)
    shelf = Shelf(settings.state / "models", setup.open_keystore(settings))
    found = shelf.get(bytes.fromhex(model)) if model else shelf.latest()
    if found is None or found.card is None:
        raise ConfigError(
            "there is no such model on the shelf",
            party=settings.party,
            remedy="`veilscore node status` lists the models",
        )
    out.write_bytes(encode(found.card))


@app.command()
def doctor(config_file: Config) -> None:
    """Check files, keys, certificates, data and ports; say what to do."""
    from veilscore.node.doctor import examine  # noqa: PLC0415
    from veilscore.runtime import checkup  # noqa: PLC0415

    raise typer.Exit(checkup.show(examine(config.read(config_file))))


def score(
    config_file: Config,
    csv: Annotated[Path, typer.Option(help="Borrowers to score, one a row.")],
    out: Annotated[Path, typer.Option(help="The file to write.")],
    id_column: Annotated[str, typer.Option()] = "id",
    id_type: Annotated[str, typer.Option("--type", help="Of all ids.")] = "",
    type_column: Annotated[str, typer.Option(help="Or a column that says.")] = "",
    purpose: Annotated[str, typer.Option()] = "pre_loan",
    consent: Annotated[str, typer.Option(help="Reference of the consent.")] = "",
    model: Annotated[str, typer.Option(help="Hash; without it the newest.")] = "",
    *,
    as_json: AsJson = False,
) -> None:
    """Ask for joint scores of a file of borrowers."""
    from veilscore.node.batch import Batch, score_file  # noqa: PLC0415

    settings = config.read(config_file)
    batch = Batch(id_column, id_type, type_column, purpose, consent, model)
    result = score_file(LocalNode.of(settings), batch, csv, out)
    if as_json:
        typer.echo(json.dumps(result))
    else:
        Console().print(
            f"{result['scored']} scored, {result['failed']} failed; see {out}"
            + (f" and {result['errors']}" if result["failed"] else "")
        )


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(
            "the file cannot be read", place=str(path), remedy="check its path"
        ) from error
