"""``veilscore node form`` and ``veilscore hosted-score``: what an operator types."""

# typer.Option is not fully typed; what it returns is never used here.
# pyright: reportUnknownMemberType=false

from pathlib import Path
from typing import Annotated

import typer

from veilscore.keys import files
from veilscore.node import config, progress
from veilscore.node.command_files import Encoding, tell
from veilscore.node.errors import TooManyEntitiesError
from veilscore.node.hosting.applicants import (
    Applicants,
    HostedQuestion,
    score_applicants,
)
from veilscore.node.hosting.card_file import read_card
from veilscore.node.hosting.form_file import decode, digest, encode
from veilscore.node.hosting.requesting import most_applicants
from veilscore.node.local import LocalNode
from veilscore.node.scoring.settings import Purpose
from veilscore.node.web.scores import MAX_ENTITIES

Config = Annotated[Path, typer.Option("--config", help="The node's node.toml.")]


def form(
    card: Annotated[Path, typer.Argument(help="The TOML file of a hosted card.")],
    config_file: Config,
    out: Annotated[Path, typer.Option(help="The JSON file to write.")],
) -> None:
    """Write the form of a hosted card, to hand to its requesters.

    It says what they must encrypt, and nothing of the weights but the size of scores.
    """
    settings = config.read(config_file)
    found = read_card(card, settings.party)
    files.replace(out, encode(found.form))
    typer.echo(
        f"{found.form.card}: {found.form.inputs} inputs; an answer is charged "
        f"{found.form.bits} bits an applicant, the card has {found.entropy_bits}."
    )
    typer.echo(f"Named in the log by {digest(found.form).hex()}")


def hosted_score(
    config_file: Config,
    form_file: Annotated[
        Path, typer.Option("--form", help="The form that the data holder handed out.")
    ],
    csv: Annotated[Path, typer.Option(help="Applicants to score, one a row.")],
    out: Annotated[Path, typer.Option(help="The file to write.")],
    consent: Annotated[str, typer.Option(help="Reference of the consent.")],
    encoding: Annotated[Encoding, typer.Option(help="Of the file.")] = "utf-8",
    purpose: Annotated[Purpose, typer.Option()] = "pre_loan",
    batch: Annotated[
        int, typer.Option(min=1, max=MAX_ENTITIES, help="Applicants in one request.")
    ] = MAX_ENTITIES,
    *,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Ask a data holder to score a file of applicants that it cannot read.

    Ends with exit code 5 if none could be scored.
    """
    form = decode(files.read(form_file), str(form_file))
    most = most_applicants(form, config.read(config_file).key_bits)
    if not most:
        raise TooManyEntitiesError(
            "one applicant of this form is more than a request can hold",
            place=str(form_file),
            remedy="Ask the data holder for a card with fewer bins.",
        )
    question = HostedQuestion(form, purpose, consent, min(batch, most))
    with LocalNode(config_file) as node, progress.asking(quiet=as_json) as watch:
        result = score_applicants(node, Applicants(csv, encoding), question, out, watch)
    tell(result, csv, out, as_json=as_json)
