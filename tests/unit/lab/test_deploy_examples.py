"""The example files, read by the programs they are for."""

from collections.abc import Iterator
from pathlib import Path
from typing import get_args

import pytest
from pydantic import BaseModel

from tests.unit.lab.test_lab_files import registry_of
from veilscore.coordinator import config as coordinator_config
from veilscore.coordinator.config import CoordinatorSettings
from veilscore.coordinator.contract import ContractSettings, read_contract
from veilscore.lab.lab_file import read_lab
from veilscore.node import config as node_config
from veilscore.node.config import NodeSettings

EXAMPLES = Path(__file__).resolve().parents[3] / "deploy" / "examples"


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
