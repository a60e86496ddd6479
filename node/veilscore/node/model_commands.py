"""``veilscore node card``, ``hosted-card`` and ``model ...``: models as files.

A card is the institution's secret. A manifest is public, and all that a bank needs to
ask for scores of a model that others trained.
"""

# typer.Option is not fully typed; what it returns is never used here.
# pyright: reportUnknownMemberType=false

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

from veilscore.keys import files
from veilscore.node import config, setup
from veilscore.node.local import LocalNode
from veilscore.node.web.models import LONGEST_MANIFEST
from veilscore.runtime.errors import ConfigError

if TYPE_CHECKING:
    from veilscore.models.scorecard import Card
    from veilscore.node.shelf import ShelvedModel

models = typer.Typer(
    help="Manifests of models, for who only asks.", no_args_is_help=True
)

_HASH_BYTES: Final = 32


def _model_hash(text: str) -> str:
    """Refuse what is no hash of a model; empty stays empty."""
    try:
        found = bytes.fromhex(text)
    except ValueError:
        found = b"?"
    if len(found) not in {0, _HASH_BYTES}:
        raise typer.BadParameter(f"a model's hash is {2 * _HASH_BYTES} hex digits")
    return found.hex()


Config = Annotated[Path, typer.Option("--config", help="The node's node.toml.")]
Model = Annotated[
    str,
    typer.Option(callback=_model_hash, help="Its hash; without it the newest."),
]


def card(
    config_file: Config,
    out: Annotated[Path, typer.Option(help="The JSON file to write.")],
    model: Model = "",
) -> None:
    """Write this node's own card of a model for its operator to read.

    It is the institution's secret: bins, points and weights of its own columns or, from
    a horizontal run, the whole model.
    """
    from veilscore.models.card_file import encode  # noqa: PLC0415

    _, own = _own_card(config_file, model)
    files.replace(out, encode(own))


def hosted_card(
    config_file: Config,
    out: Annotated[Path, typer.Option(help="The TOML file to write.")],
    name: Annotated[str, typer.Option(help="What its budgets are kept under.")],
    model: Model = "",
) -> None:
    """Write this node's own card of a whole model as the file of a hosted card.

    Name the file under hosting.card in node.toml and hand out its form, which
    `veilscore node form` makes. It is the institution's secret.
    """
    from veilscore.node.hosting.card_file import decode  # noqa: PLC0415
    from veilscore.node.hosting.trained_card import encode  # noqa: PLC0415

    shelved, own = _own_card(config_file, model)
    if not shelved.whole:
        raise ConfigError(
            "this node's card is a part of the model, and no score without the others",
            party=own.holder,
            remedy="Host a card of a horizontal run: name its model by --model.",
        )
    data = encode(own, name)
    made = decode(data, out, own.holder)
    files.create(out, data)
    typer.echo(
        f"Wrote {out}: {made.form.inputs} inputs; an answer is charged "
        f"{made.form.bits} bits an applicant, the card has {made.entropy_bits}."
    )


@models.command()
def export(
    config_file: Config,
    out: Annotated[Path, typer.Option(help="The file to write.")],
    model: Model = "",
) -> None:
    """Write a model's manifest, for a requester that was not in its run.

    It is public: holders, hashes of their cards, the scale; no card.
    """
    shelved = _find(config_file, model)
    files.replace(out, shelved.manifest.SerializeToString(deterministic=True))
    typer.echo(f"Wrote {out}, the manifest of model {shelved.hash.hex()}.")


@models.command()
def add(
    file: Annotated[Path, typer.Argument(help="The manifest that a party exported.")],
    config_file: Config,
) -> None:
    """Take in the manifest of a model that others trained, to ask for its scores.

    The running node takes it. Requests that name no model ask for the newest, which
    this one then is. Compare its hash with what the parties of its run registered in
    the audit log: whom a forged manifest names would learn who is asked about.
    """
    data = files.read(file)
    if len(data) > LONGEST_MANIFEST:
        raise ConfigError(
            f"the file is over {LONGEST_MANIFEST} bytes long",
            place=str(file),
            remedy="Name a file that `veilscore node model export` wrote.",
        )
    with LocalNode(config_file) as node:
        added = node.add_model(data)
    typer.echo(f"Model {added.model} of run {added.run}.")
    kind = "one of them gives a score" if added.whole else "a score is their sum"
    typer.echo(f"Its holders, {kind}: {', '.join(added.holders)}.")


def _own_card(config_file: Path, model: str) -> "tuple[ShelvedModel, Card]":
    shelved = _find(config_file, model)
    if shelved.card is None:
        raise _absent(config_file, "this node has no card of the model")
    return shelved, shelved.card


def _find(config_file: Path, model: str) -> "ShelvedModel":
    from veilscore.node.shelf import Shelf  # noqa: PLC0415

    settings = config.read(config_file)
    shelf = Shelf(settings.state / "models", setup.open_keystore(settings))
    found = shelf.get(bytes.fromhex(model)) if model else shelf.latest()
    if found is None:
        raise _absent(config_file, "there is no such model on the shelf")
    return found


def _absent(config_file: Path, what: str) -> ConfigError:
    return ConfigError(
        what,
        party=config.read(config_file).party,
        remedy="While the node runs, its models are listed by: "
        f"veilscore node status --config {config_file}",
    )
