"""One keystore for the session, a new node's folder, and its commands."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeAlias

import pytest

from tests.unit.web.sample_node import TOKEN as SAMPLE_TOKEN
from tests.unit.web.sample_node import SampleNode, sample_node_app
from tests.unit.web.serving import serving
from veilscore.keys import files
from veilscore.keys.keystore import Keystore
from veilscore.runtime import cli

Run: TypeAlias = Callable[..., tuple[int, str]]


@pytest.fixture(scope="session")
def keystore(tmp_path_factory: pytest.TempPathFactory) -> Keystore:
    """Return one that takes a quarter of a second to open."""
    path = tmp_path_factory.mktemp("keys") / "node.keystore"
    return Keystore.create(path, b"a passphrase")


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Run:
    """Return the exit code of a command and what it told."""

    def run_one(*arguments: object) -> tuple[int, str]:
        with pytest.raises(SystemExit) as caught:
            cli.main(["node", *(str(argument) for argument in arguments)])
        told = capsys.readouterr()
        code = caught.value.code
        assert isinstance(code, int)
        return code, told.out + told.err

    return run_one


@pytest.fixture
def folder(tmp_path: Path, run: Run) -> Path:
    """Return a new node's folder."""
    made = tmp_path / "bank"
    words = ("--key-bits", "2048", "--quick-key", "--json")
    code, told = run("init", made, "--party", "bank", *words)
    assert code == 0
    assert len(json.loads(told)["fingerprint"]) == 64
    return made


@pytest.fixture
def served(folder: Path) -> Iterator[tuple[SampleNode, Path]]:
    """Yield a node that runs, and its configuration."""
    node = SampleNode()
    files.replace(folder / "web.token", SAMPLE_TOKEN.encode())
    with serving(sample_node_app(node)) as address:
        toml = folder / "node.toml"
        port = address.rpartition(":")[2]
        toml.write_text(toml.read_text().replace("8081", port))
        yield node, toml
