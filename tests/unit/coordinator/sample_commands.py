"""Commands as an installed part would bring them."""

# typer.Option is not fully typed; what it returns is never used here.
# pyright: reportUnknownMemberType=false

from typing import Annotated

import typer

from veilscore.coordinator.errors import RunFailedError
from veilscore.runtime.errors import PortInUseError, WireError

app = typer.Typer(help="A part with two commands.")


@app.command()
def take(port: int) -> None:
    """Fail as if the port were taken."""
    raise PortInUseError(f"port {port} is held", place="[here]:1", remedy="Wait.")


@app.command()
def hear() -> None:
    """Fail with a sentence that another party has chosen."""
    raise WireError(
        "\x1b]0;owned\x07\x1b[2J\x9b31mno\u202e\r\u3000线", remedy="Wait\n."
    )


def work(
    number: int, *, as_json: Annotated[bool, typer.Option("--json")] = False
) -> None:
    """Do some work."""
    if number == 0:
        raise ZeroDivisionError
    if number < 0:
        raise RunFailedError("step counts: data", party="bank")
    typer.echo(f'{{"number": {number}}}' if as_json else str(number))
