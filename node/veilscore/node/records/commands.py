"""``veilscore node disclose``, ``asked-about``, ``erase`` and ``consent ...``.

They ask the running node. What they print or write names people: it is for the
institution's own staff, and for the auditor or the person that it is shown to.
"""

# typer.Option is not fully typed; what it returns is never used here.
# pyright: reportUnknownMemberType=false

import json
from datetime import UTC, datetime, time
from pathlib import Path
from typing import Annotated, Final, get_args

import click
import typer

from veilscore.keys import files
from veilscore.keys.entity_ids import EntityKind
from veilscore.node.local import LocalNode
from veilscore.node.scoring.settings import Purpose
from veilscore.node.web.records import LONGEST_DOCUMENT

consents = typer.Typer(help="Consents that this node collected.", no_args_is_help=True)

Config = Annotated[Path, typer.Option("--config", help="The node's node.toml.")]
_Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]
_Entity = Annotated[str, typer.Option(metavar="ID", help="The firm or person.")]
_Reference = Annotated[str, typer.Argument(help="Reference of the consent.")]
_Kind = Annotated[EntityKind, typer.Option("--type", help="Of the id.")]
_Day: Final = ["%Y-%m-%d"]
_PURPOSE: Final = click.Choice(get_args(Purpose))


def disclose(
    request: Annotated[str, typer.Argument(help="As the log names it.")],
    config_file: Config,
    out: Annotated[Path, typer.Option(help="The file to write.")],
    entity: _Entity = "",
    kind: _Kind = EntityKind.USCC,
    row: Annotated[
        int, typer.Option(min=0, help="Of ciphertexts of a hosted query, from 1.")
    ] = 0,
) -> None:
    """Write what an auditor may see of a request: its terms, and one entity.

    `veilscore audit verify BUNDLE --opening FILE` checks it.
    """
    wanted = {"request": request, "entity": _named(kind, entity), "row": row}
    with LocalNode(config_file) as node:
        files.create(out, node.disclose(wanted))
    typer.echo(f"Wrote {out}, which only its owner can read.")


def asked_about(
    entity: Annotated[str, typer.Argument(metavar="ID", help="The firm or person.")],
    config_file: Config,
    kind: _Kind = EntityKind.USCC,
    *,
    as_json: _Json = False,
) -> None:
    """List the requests about one entity that this node made or answered."""
    with LocalNode(config_file) as node:
        found = node.asked_about({"type": str(kind), "id": entity})
    if as_json:
        typer.echo(json.dumps([each.model_dump() for each in found]))
        return
    for each in found:
        told = [_when(each.time), each.requester, each.purpose, each.consent]
        typer.echo("  ".join([*told, each.decision or "not known", each.request]))
    if not found:
        typer.echo("No request about it is kept here.")


def erase(
    config_file: Config,
    entity: _Entity = "",
    kind: _Kind = EntityKind.USCC,
    request: Annotated[str, typer.Option(help="As the log names it.")] = "",
    before: Annotated[
        datetime | None, typer.Option(formats=_Day, help="A day, in UTC.")
    ] = None,
    *,
    as_json: _Json = False,
) -> None:
    """Destroy the keys of openings, so that nobody can open them any more.

    By entity, by request, or all of before a day. Older copies of shredder.db must be
    destroyed, too.
    """
    if sum((bool(entity), bool(request), before is not None)) != 1:
        raise typer.BadParameter(
            "give one of the three", param_hint="--entity / --request / --before"
        )
    wanted = {
        "entity": _named(kind, entity),
        "request": request or None,
        "before": before.date().isoformat() if before else None,
    }
    with LocalNode(config_file) as node:
        count = node.erase(wanted)
    if as_json:
        typer.echo(json.dumps({"openings": count}))
    else:
        typer.echo(f"{count} openings erased.")


@consents.command()
def register(
    reference: _Reference,
    config_file: Config,
    entity: _Entity,
    purpose: Annotated[
        list[str], typer.Option(click_type=_PURPOSE, help="May be repeated.")
    ],
    until: Annotated[
        datetime, typer.Option(formats=_Day, help="The last day it is valid, in UTC.")
    ],
    document: Annotated[Path, typer.Option(help="The signed document.")],
    kind: _Kind = EntityKind.USCC,
) -> None:
    """Register a consent: requests under its reference must fit it from now on.

    The document stays where it is; the log gets a salted hash of it.
    """
    data = files.read(document)
    if len(data) > LONGEST_DOCUMENT:
        raise typer.BadParameter(
            f"it is over {LONGEST_DOCUMENT} bytes long", param_hint="--document"
        )
    end = datetime.combine(until.date(), time.max, UTC)
    consent = {
        "reference": reference,
        "entity": _named(kind, entity),
        "purposes": purpose,
        "until": int(end.timestamp()),
        "document": data.hex(),
    }
    with LocalNode(config_file) as node:
        event = node.register_consent(consent)
    typer.echo(f"Registered by event {event} of this node.")


@consents.command()
def withdraw(
    reference: _Reference,
    config_file: Config,
    entity: _Entity,
    kind: _Kind = EntityKind.USCC,
) -> None:
    """Withdraw a consent, also for requests that are under way."""
    consent = {"reference": reference, "entity": _named(kind, entity)}
    with LocalNode(config_file) as node:
        node.withdraw_consent(consent)
    typer.echo("Withdrawn.")


@consents.command("list")
def list_all(config_file: Config, *, as_json: _Json = False) -> None:
    """List the consents that are registered here and were not erased."""
    with LocalNode(config_file) as node:
        found = node.consents()
    if as_json:
        typer.echo(json.dumps([each.model_dump() for each in found]))
        return
    for each in found:
        state = f"withdrawn {_when(each.withdrawn)}" if each.withdrawn else "valid"
        told = [each.reference, each.entity, ", ".join(each.purposes)]
        typer.echo("  ".join([*told, f"until {_when(each.until)}", state]))


def _named(kind: EntityKind, entity: str) -> dict[str, str] | None:
    return {"type": str(kind), "id": entity} if entity else None


def _when(seconds: int) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat()
