"""A bank's folder and its running node, for commands that score a file."""

import csv
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.unit.web.sample_node import TOKEN, SampleNode, sample_node_app
from tests.unit.web.serving import serving
from veilscore.keys import files
from veilscore.runtime import cli

NODE_TOML = """
party = "bank"
state = "state"
passphrase_file = "passphrase"
keystore = "keystore"
kit = "kit.json"
coordinator_fingerprint_file = "coordinator.fingerprint"
[log]
policy = "log-policy.txt"
[web]
port = {port}
token_file = "web.token"
"""


@dataclass
class CommandDesk:
    """A bank's folder, its node, and what the last command ended with."""

    folder: Path
    node: SampleNode
    capsys: pytest.CaptureFixture[str]
    told: str = ""

    def __post_init__(self) -> None:
        self.node.reset()

    @property
    def out(self) -> Path:
        return self.folder / "scores.csv"

    @property
    def errors(self) -> Path:
        return self.folder / "scores.errors.csv"

    def run(self, *words: str) -> int:
        """Run a command with the node's configuration; return the exit code."""
        config = ("--config", str(self.folder / "node.toml"))
        with pytest.raises(SystemExit) as caught:
            cli.main([*words, *config])
        told = self.capsys.readouterr()
        self.told = told.out + told.err
        code = caught.value.code
        assert isinstance(code, int)
        return code


@contextmanager
def running_node() -> Generator[tuple[SampleNode, str]]:
    """Serve a sample node; yields it and its address."""
    node = SampleNode()
    with serving(sample_node_app(node)) as address:
        yield node, address


def write_folder(folder: Path, address: str) -> None:
    """Make a folder of the node that answers at this address."""
    port = address.rpartition(":")[2]
    (folder / "node.toml").write_text(NODE_TOML.format(port=port))
    files.create(folder / "web.token", TOKEN.encode())


def rows(path: Path) -> list[list[str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.reader(file))
