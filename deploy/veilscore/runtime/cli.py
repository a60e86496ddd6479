"""``veilscore``: the one command, made of what every installed part contributes.

A part names its commands in the entry-point group ``veilscore.commands``: a Typer app
is mounted under the entry's name, a function becomes the command of that name. Only the
command that was asked for is imported; Flower alone would take a second.

Every ``Fault`` becomes one sentence on standard error and its exit code; if the command
was asked for JSON, one JSON object. A defect keeps its traceback.
"""

import importlib.metadata
import json
import traceback
import unicodedata
from typing import Any, Final

import click

from veilscore.fault import Fault
from veilscore.runtime.long_imports import long_imports

_GROUP: Final = "veilscore.commands"
_OBEYED: Final = {"Cc", "Cf", "Cs", "Zl", "Zp"}  # Unicode's general categories
# In the order of the help; said here, so that the help imports nothing.
_HELP: Final = {
    "node": "Run a node beside an institution's data.",
    "score": "Score the entities of a CSV file through a running node.",
    "hosted-score": "Let a data holder score a CSV file that it cannot read.",
    "coordinator": "Run the coordinator.",
    "train": "Propose a training run and follow it to its end.",
    "audit": "Verify the audit log.",
    "witness": "Watch over audit logs.",
    "lab": "Run all parties on one machine.",
    "demo": "Show a whole run on made-up data.",
}


class Commands(click.Group):
    """The commands of all installed parts, imported when they are called."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the names of all commands."""
        del ctx
        found = {entry.name for entry in _entries()}
        return [*(name for name in _HELP if name in found), *sorted(found - {*_HELP})]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import and return one command."""
        del ctx
        for entry in _entries():
            if entry.name == cmd_name:
                with long_imports():
                    return _as_command(cmd_name, entry.load())
        return None

    def format_commands(
        self, ctx: click.Context, formatter: click.HelpFormatter
    ) -> None:
        """Write the names of all commands and their fixed line of help."""
        rows = [(name, _HELP.get(name, "")) for name in self.list_commands(ctx)]
        with formatter.section("Commands"):
            formatter.write_dl(rows)

    def invoke(self, ctx: click.Context) -> object:
        """Run the command; end with the exit code of the Fault that it raises."""
        as_json = "--json" in ctx.args
        try:
            return super().invoke(ctx)
        except Fault as fault:
            if ctx.params["debug"]:
                traceback.print_exception(fault)
            _print(fault, as_json=as_json)
            ctx.exit(fault.exit_code)


def _entries() -> importlib.metadata.EntryPoints:
    return importlib.metadata.entry_points(group=_GROUP)


def _as_command(name: str, loaded: Any) -> click.Command:  # noqa: ANN401 - theirs
    import typer  # noqa: PLC0415 - the help of this command does without

    if isinstance(loaded, typer.Typer):
        return typer.main.get_group(loaded)
    alone = typer.Typer(add_completion=False)
    alone.command(name)(loaded)
    return typer.main.get_command(alone)


def _print(fault: Fault, *, as_json: bool) -> None:
    if as_json:
        click.echo(json.dumps({"error": fault.fields()}), err=True)
        return
    from rich.console import Console  # noqa: PLC0415 - only for bad news
    from rich.text import Text  # noqa: PLC0415 - with it

    sentence = Text.assemble(("Error", "bold red"), " ", _printable(str(fault)))
    Console(stderr=True, highlight=False).print(sentence, soft_wrap=True)


def _printable(text: str) -> str:
    """Replace what a terminal or a reader's eye would obey, as others may have said it.

    That is control and format characters, bidirectional ones among them.
    """
    return "".join(
        "\ufffd" if unicodedata.category(each) in _OBEYED and each != "\n" else each
        for each in text
    )


def main(arguments: list[str] | None = None) -> None:
    """Run the command that the arguments of the process name."""
    version = importlib.metadata.version("veilscore")
    root = Commands(
        "veilscore",
        help="Federated credit scoring: one fair score from institutions that may "
        "not share their data.",
        params=[
            click.Option(["--debug"], is_flag=True, help="Show tracebacks of errors.")
        ],
        no_args_is_help=True,
        context_settings={"help_option_names": ["-h", "--help"]},
    )
    root = click.version_option(version, prog_name="veilscore")(root)
    root.main(arguments, prog_name="veilscore")
