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

import click
import typer
from rich.console import Console
from rich.table import Table

from veilscore.fault import concerning
from veilscore.keys import files
from veilscore.keys.entity_ids import EntityKind
from veilscore.keys.paillier.public import DEFAULT_BITS, MAXIMUM_BITS, MINIMUM_BITS
from veilscore.keys.registry import Role
from veilscore.keys.tlog.log_policy import read_policy
from veilscore.node import config, model_commands, progress, setup
from veilscore.node.batch import Borrowers, Question, score_file
from veilscore.node.command_files import Encoding, tell
from veilscore.node.hosting import commands as hosting
from veilscore.node.local import LocalNode
from veilscore.node.model_commands import Config, Model
from veilscore.node.records import commands as record_commands
from veilscore.node.scoring.settings import Purpose
from veilscore.node.sources.settings import SourceSettings
from veilscore.runtime.errors import ConfigError
from veilscore.runtime.settings import Settings, loads

app = typer.Typer(help="Run a node beside an institution's data.", no_args_is_help=True)
app.command()(model_commands.card)
app.command("hosted-card")(model_commands.hosted_card)
app.add_typer(model_commands.models, name="model")
app.command("form")(hosting.form)
app.command()(record_commands.disclose)
app.command("asked-about")(record_commands.asked_about)
app.command()(record_commands.erase)
app.add_typer(record_commands.consents, name="consent")
START_S = 60.0


AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]
_Port = typer.Option(min=1, max=65535)
_NodeRole = click.Choice([str(role) for role in Role if role is not Role.COORDINATOR])


class _SourceFile(Settings):
    """The file that ``init --source`` names: one table of a node.toml."""

    source: SourceSettings


@app.command()
def init(
    folder: Annotated[Path, typer.Argument(help="A new folder for keys and files.")],
    party: Annotated[str, typer.Option(help="Name of the institution, e.g. bank-a.")],
    role: Annotated[
        list[Role] | None,
        typer.Option(
            click_type=_NodeRole, help="May be repeated; without it data_holder."
        ),
    ] = None,
    key_bits: Annotated[
        int,
        typer.Option(min=MINIMUM_BITS, max=MAXIMUM_BITS, help="Paillier key, even."),
    ] = DEFAULT_BITS,
    # Escaped, because the help takes bare brackets for a style.
    source: Annotated[
        Path | None, typer.Option(help="TOML with the \\[source] tables.")
    ] = None,
    web_port: Annotated[int, _Port] = 8081,
    runtime_port: Annotated[int, _Port] = 9101,
    passphrase_file: Annotated[
        Path | None, typer.Option(help="Else a random one is made.")
    ] = None,
    *,
    quick_key: Annotated[
        bool,
        typer.Option(
            "--quick-key",
            help="Do not search for safe primes, which takes seconds, at times "
            "minutes. Then encrypting as a label holder takes six times as long.",
        ),
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Make keys, node.toml and the card to hand to the coordinator."""
    new = setup.NewNode(
        folder=folder,
        party=party,
        roles=role or [Role.DATA_HOLDER],
        key_bits=key_bits,
        source=_read_source(source) if source else "",
        web_port=web_port,
        runtime_port=runtime_port,
        passphrase_file=passphrase_file,
        safe_primes=not quick_key,
    )
    with progress.searching(quiet=as_json) as found:
        fingerprint = setup.create(new, found).hex()
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
    welcome = setup.join(settings, files.read(kit), pinned)
    parties = ", ".join(sorted(welcome.registry.fingerprints()))
    console = Console()
    console.print(f"Joined. Registered parties: {parties}.")
    policy = read_policy(settings.log.policy)
    console.print(
        f"The audit log counts with the quorum {policy.quorum!r}, as "
        f"{settings.log.policy} says.",
        markup=False,
    )


@app.command()
def run(config_file: Config) -> None:
    """Run the node until it is told to stop."""
    # Imported here: only this command needs Flower, the data and the web.
    from veilscore.node.operator import OperatorView  # noqa: PLC0415
    from veilscore.node.service import VERSION, NodeService  # noqa: PLC0415
    from veilscore.node.web.app import node_app  # noqa: PLC0415
    from veilscore.runtime.allocation import return_large_blocks  # noqa: PLC0415
    from veilscore.runtime.supervise import port_is_free  # noqa: PLC0415
    from veilscore.runtime.web.server import WebServer  # noqa: PLC0415
    from veilscore.runtime.web.tokens import AccessToken  # noqa: PLC0415

    logging.basicConfig(
        level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s"
    )
    logging.getLogger("httpx").setLevel(logging.WARNING)  # a line for every poll
    return_large_blocks()
    settings = config.read(config_file)
    token = AccessToken.read(settings.web.token_file)
    with concerning(settings.party):
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
    with LocalNode(config_file) as node:
        found = node.status()
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
    with LocalNode(config_file) as node:
        node.decide(run_id, approved=True)
    typer.echo(f"Approved: this node takes part in run {run_id}.")


@app.command()
def refuse(run_id: str, config_file: Config) -> None:
    """Keep this node out of a run that waits for approval."""
    with LocalNode(config_file) as node:
        node.decide(run_id, approved=False)
    typer.echo(f"Refused: this node takes no part in run {run_id}.")


@app.command()
def doctor(config_file: Config, *, as_json: AsJson = False) -> None:
    """Check files, keys, certificates, data and ports; say what to do.

    Ends with exit code 1 if anything is wrong.
    """
    from veilscore.node.doctor import examine  # noqa: PLC0415
    from veilscore.runtime import checkup  # noqa: PLC0415

    findings = examine(config.read(config_file))
    raise typer.Exit(checkup.show(findings, as_json=as_json))


def score(
    config_file: Config,
    csv: Annotated[Path, typer.Option(help="Borrowers to score, one a row.")],
    out: Annotated[Path, typer.Option(help="The file to write.")],
    consent: Annotated[str, typer.Option(help="Reference of the consent.")],
    encoding: Annotated[Encoding, typer.Option(help="Of the file.")] = "utf-8",
    id_column: Annotated[str, typer.Option()] = "id",
    id_type: Annotated[
        EntityKind | None, typer.Option("--type", help="Of all ids; or --type-column.")
    ] = None,
    type_column: Annotated[
        str | None, typer.Option(help="Whose cells say the type; or --type.")
    ] = None,
    purpose: Annotated[Purpose, typer.Option()] = "pre_loan",
    model: Model = "",
    holder: Annotated[
        str,
        typer.Option(
            help="Of a whole model, the data holder to ask; without it this node "
            "scores by its own card, or asks the only holder."
        ),
    ] = "",
    batch: Annotated[
        int, typer.Option(min=1, max=1000, help="Entities in one request.")
    ] = 1000,
    *,
    as_json: AsJson = False,
) -> None:
    """Ask for scores of a file of borrowers, joint or of a whole model.

    If this node has a card of a whole model and no other holder is named, it scores by
    that: nobody is asked, nothing leaves the node.

    Ends with exit code 5 if none could be scored.
    """
    if (id_type is None) == (type_column is None):
        raise typer.BadParameter(
            "give one of the two", param_hint="--type-column / --type"
        )
    borrowers = Borrowers(csv, encoding, id_column, id_type, type_column)
    question = Question(purpose, consent, model, holder, batch)
    with LocalNode(config_file) as node, progress.asking(quiet=as_json) as watch:
        result = score_file(node, borrowers, question, out, watch)
    tell(result, csv, out, as_json=as_json)
    if result.at_home:
        typer.echo("Scored here, by this node's own card; nobody was asked.")


def _read_source(path: Path) -> str:
    """Return the tables of a data source if a node.toml may hold them."""
    data = files.read(path)
    loads(data, _SourceFile, path)
    return data.decode("utf-8-sig")
