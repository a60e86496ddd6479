"""What the documents of ``deploy`` tell people to type."""

import re
import shlex
from pathlib import Path

import click

from veilscore.runtime.cli import Commands

DEPLOY = Path(__file__).resolve().parents[1] / "deploy"
ROOT = Commands("veilscore")


def text_of(name: str) -> str:
    """Return a document of ``deploy``."""
    return (DEPLOY / name).read_text(encoding="utf-8")


def blocks_of(text: str) -> list[str]:
    """Return the code blocks of a text."""
    return text.split("```")[1::2]


def commands_of(text: str) -> list[list[str]]:
    """Return the arguments of every ``veilscore`` command in documents or comments.

    ``v SERVICE ...`` is how compose.yaml shortens ``docker compose run``.
    """
    lines = re.sub(r"\\\n#? *", "", text).splitlines()
    found = [
        re.search(r"(?:^|[ /])(?:veilscore|v \w+) ([a-z][^─]*)$", at) for at in lines
    ]
    words = [shlex.split(each[1], comments=True) for each in found if each]
    known = ROOT.list_commands(click.Context(ROOT))
    return [each for each in words if each[0] in known]


class WalkThrough:
    """The first contact of deploy/README.md, to be played command by command."""

    def __init__(self) -> None:
        (self.text,) = re.findall(
            r"\*\*1\. .*?(?=\*\*Later)", text_of("README.md"), re.DOTALL
        )
        commands = commands_of("\n".join(blocks_of(self.text)))
        self._commands = {" ".join(words): words for words in commands}
        self.unplayed = set(self._commands)

    def typed(self, start: str, **instead: str) -> list[str]:
        """Return the one command that starts so, with words or parts of them replaced.

        ``typed("node join", bank="regulator")`` is what the regulator types.
        """
        (line,) = [line for line in self._commands if line.startswith(start)]
        self.unplayed.discard(line)
        words = self._commands[line]
        for name, value in instead.items():
            words = [word.replace(name, value) for word in words]
        return ["veilscore", *words]
