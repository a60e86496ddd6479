"""The example files and typed commands, read by the programs they are for."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import get_args

import click
import pytest
from pydantic import BaseModel

from tests.deploy_documents import DEPLOY, ROOT, blocks_of, commands_of, text_of
from tests.unit.lab.test_lab_files import registry_of
from veilscore.coordinator import config as coordinator_config
from veilscore.coordinator.config import CoordinatorSettings
from veilscore.coordinator.contract import ContractSettings, read_contract
from veilscore.keys.registry import Role
from veilscore.lab.lab_file import read_lab
from veilscore.node import config as node_config
from veilscore.node.config import NodeSettings
from veilscore.node.setup import NewNode, create

EXAMPLES = DEPLOY / "examples"
TYPED = (
    "README.md",
    "README.zh-CN.md",
    "compose/compose.yaml",
    "systemd/veilscore-coordinator.service",
    "systemd/veilscore-node.service",
    "../node/README.md",
    "../coordinator/README.md",
)


def keys_of(annotation: object) -> Iterator[str]:
    """Yield the keys of a settings class and of all tables in it."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        for name, field in annotation.model_fields.items():
            yield name
            yield from keys_of(field.annotation)
    for argument in get_args(annotation):
        yield from keys_of(argument)


@pytest.mark.parametrize(
    ("name", "model"),
    [
        ("coordinator", CoordinatorSettings),
        ("node", NodeSettings),
        ("contract", ContractSettings),
    ],
)
def test_an_example_shows_every_key(name: str, model: type[BaseModel]) -> None:
    text = (EXAMPLES / f"{name}.toml").read_text()
    words = set(text.replace("[", " ").replace("]", " ").replace(".", " ").split())
    assert set(keys_of(model)) <= words


def test_the_coordinator_reads_its_example() -> None:
    settings = coordinator_config.read(EXAMPLES / "coordinator.toml")
    assert settings.keystore == EXAMPLES / "keystore"
    assert settings.hub.address == "coordinator.example.org:9443"


def test_a_node_reads_its_example() -> None:
    settings = node_config.read(EXAMPLES / "node.toml")
    assert settings.source is not None
    assert settings.source.csv == EXAMPLES / "borrowers.csv"
    assert settings.source.label is not None
    # As cautious as a file that says nothing.
    default = type(settings.training)()
    assert settings.training == default


def test_the_contract_example_says_the_defaults() -> None:
    registry = registry_of(read_lab("demo"))
    found = read_contract(
        (EXAMPLES / "contract.toml").read_bytes(), registry, "00" * 16
    )
    shortest = ContractSettings(
        label_holder="bank", feature_holders=("regulator", "agriculture")
    )
    assert found.key_bits == shortest.key_bits
    assert found.min_count == shortest.min_count
    assert found.ridge == shortest.ridge
    assert found.max_columns == shortest.max_columns
    assert found.max_rows == shortest.max_rows
    assert (found.polish_steps, found.exact) == (shortest.steps, shortest.exact)
    assert found.base_odds == shortest.scale.base_odds


def parse(arguments: list[str]) -> None:
    """Let the program parse a command without running it; raises UsageError."""
    name, *rest = ["00" * 32 if each == "HEX" else each for each in arguments]
    context = click.Context(ROOT)
    command = ROOT.get_command(context, name)
    if isinstance(command, click.Group):
        _, command, rest = command.resolve_command(context, rest)
    assert command is not None
    command.make_context(name, rest)


@pytest.mark.parametrize("name", TYPED)
def test_every_command_that_is_typed_exists(name: str) -> None:
    text = text_of(name)
    if name.endswith(".md"):
        text = "\n".join(blocks_of(text))
    commands = commands_of(re.sub(r"\[[^]\n]*\]", "", text))
    assert commands
    for arguments in commands:
        parse(arguments)


def test_a_command_with_a_wrong_word_is_noticed() -> None:
    with pytest.raises(click.UsageError):
        parse(["node", "join", "KIT.json", "--config", "node.toml"])
    with pytest.raises(click.UsageError):
        parse(["train", "contract.toml", "--config", "c.toml", "--fast"])


def test_both_languages_type_the_same() -> None:
    english, chinese = (
        blocks_of(text_of(name)) for name in ("README.md", "README.zh-CN.md")
    )
    typed = [block for block in english if "veilscore " in block]
    assert len(english) == len(chinese)
    assert len(typed) > 8
    for one, other in zip(english[1:], chinese[1:], strict=True):
        assert re.sub(r" *# .*", "", one) == re.sub(r" *# .*", "", other)


def test_the_walk_through_declares_a_table_that_a_node_reads(tmp_path: Path) -> None:
    (declared,) = [
        each for each in blocks_of(text_of("README.md")) if "[source]" in each
    ]
    folder = tmp_path / "bank"
    create(
        NewNode(folder, "bank", [Role.DATA_HOLDER], 2048, declared, 8081, 9101, None)
    )
    source = node_config.read(folder / "node.toml").source
    assert source is not None
    assert source.csv == folder / "borrowers.csv"


def test_containers_can_map_code_from_their_temporary_folder() -> None:
    # Docker mounts a tmpfs noexec unless told otherwise; rbcl maps its code from there.
    text = text_of("compose/compose.yaml")
    (line,) = [line for line in text.splitlines() if line.startswith("  tmpfs:")]
    assert line == '  tmpfs: ["/tmp:exec"]'
