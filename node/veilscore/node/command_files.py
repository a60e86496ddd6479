"""The files of a command that scores: how they are named, opened, refused, told of."""

import json
import os
from collections.abc import Callable, Generator, Iterable, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal, TypeAlias

import typer

from veilscore.node.errors import SourceError
from veilscore.node.sources.origin import Origin
from veilscore.runtime.errors import ConfigError

Encoding = Literal["utf-8", "gb18030"]
Watch: TypeAlias = Callable[[int, int], None]
"""Hears of how many rows were asked about so far, of all."""


@dataclass(frozen=True, slots=True)
class CommandOrigin(Origin):
    """A file whose columns a command or a form names, not ``[source]``."""

    remedy: str  # for a column that is not there once

    def require(self, columns: Iterable[str], found: Sequence[str]) -> None:
        """Raise SourceError unless each column is there once."""
        for column in columns:
            if found.count(column) != 1:
                twice = column in found
                raise self.error(
                    "the column is there twice" if twice else "no such column",
                    f"{self.remedy}: {', '.join(found)}",
                    column=column,
                )


@contextmanager
def encoding_named() -> Generator[None]:
    """Let the remedy for a file in another encoding name the command's option."""
    try:
        yield
    except SourceError as error:
        if isinstance(error.__cause__, UnicodeDecodeError):
            error.remedy = "Name its encoding by --encoding: utf-8 or gb18030"
        raise


def errors_beside(out: Path, source: Path) -> Path:
    """Return the file for the rows that failed, once both outputs can be written.

    Raises ConfigError for one that could not be written in the end.
    """
    errors = out.with_name(f"{out.stem}.errors{out.suffix}")
    for path in (out, errors):
        if path.is_dir():
            what = "this is a folder"
        elif path.resolve() == source.resolve():
            what = "the file that is scored would be overwritten"
        elif not os.access(path.parent, os.W_OK | os.X_OK):
            what = "nothing can be written there"
        else:
            continue
        raise ConfigError(
            what,
            place=str(path),
            remedy="Name another file by --out, in a folder that you may write to.",
        )
    return errors


@dataclass(frozen=True, slots=True)
class Outcome:
    """How many rows were scored, where the others are listed, and what was asked.

    ``requests`` are the ids of all requests, by which the log holds them.
    """

    scored: int
    failed: int
    errors: str
    requests: tuple[str, ...]


def tell(result: Outcome, source: Path, out: Path, *, as_json: bool) -> None:
    """End a command with its outcome, in words or as JSON.

    Raises SourceError, or typer.Exit with its code, if no row of the source was scored.
    """
    if as_json:
        typer.echo(json.dumps(asdict(result)))
        raise typer.Exit(0 if result.scored else SourceError.exit_code)
    if not result.scored:
        raise SourceError(
            "no row could be scored",
            place=str(source),
            remedy=f"Correct the rows for the reasons in {result.errors}",
        )
    typer.echo(
        f"{result.scored} scored, {result.failed} failed; see {out}"
        + (f" and {result.errors}" if result.failed else "")
    )
