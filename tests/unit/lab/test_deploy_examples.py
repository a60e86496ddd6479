"""The example files and typed commands, read by the programs they are for."""

import re
import tomllib
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import get_args

import click
import pytest
import yaml
from pydantic import BaseModel, ConfigDict

from tests.deploy_documents import DEPLOY, ROOT, blocks_of, commands_of, text_of
from tests.unit.lab.test_lab_files import registry_of
from veilscore.coordinator import config as coordinator_config
from veilscore.coordinator.config import CoordinatorSettings
from veilscore.coordinator.contract import read_contract
from veilscore.coordinator.horizontal_contract import (
    ColumnSettings,
    HorizontalSettings,
    TrainingSettings,
)
from veilscore.coordinator.vertical_contract import VerticalSettings
from veilscore.keys import files
from veilscore.keys.registry import Role
from veilscore.keys.tlog.note import NoteKey
from veilscore.lab.lab_file import read_lab
from veilscore.models.horizontal.run import terms_of
from veilscore.models.horizontal.terms import NOISY, Members, Privacy, Terms
from veilscore.node import config as node_config
from veilscore.node.config import NodeSettings
from veilscore.node.hosting.card_file import CardFile, read_card
from veilscore.node.setup import NewNode, create
from veilscore.runtime.witness import config as witness_config
from veilscore.runtime.witness.config import WitnessSettings

EXAMPLES = DEPLOY / "examples"
TYPED = (
    "README.md",
    "README.zh-CN.md",
    "VERIFY.md",
    "compose/compose.yaml",
    "systemd/veilscore-coordinator.service",
    "systemd/veilscore-node.service",
    "systemd/veilscore-witness.service",
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
        ("contract", VerticalSettings),
        ("horizontal_contract", HorizontalSettings),
        ("hosted_card", CardFile),
        ("witness", WitnessSettings),
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
    # As cautious as a file that says nothing, but for a budget, which has no default.
    default = type(settings.training)()
    assert settings.training.privacy
    assert not settings.training.privacy.required
    assert settings.training.model_copy(update={"privacy": None}) == default


def test_a_witness_reads_its_example() -> None:
    settings = witness_config.read(EXAMPLES / "witness.toml")
    assert settings.state == EXAMPLES / "state"
    assert NoteKey.parse(settings.logs[0]).name.startswith("veilscore/")


def test_a_bureau_reads_its_example_of_a_hosted_card(tmp_path: Path) -> None:
    path = tmp_path / "hosted_card.toml"
    files.create(path, (EXAMPLES / path.name).read_bytes())
    card = read_card(path, "bureau")
    assert (card.form.holder, card.form.card) == ("bureau", "farm-credit")
    filled = card.form.fill_in(
        {"annual_income": 12.0, "kind": "boat", "debt_ratio": 0.25}
    )
    products = map(int.__mul__, card.exponents, filled)
    assert card.intercept + sum(products) == 520 + 30 - 90 - 25


def test_the_contract_example_says_the_defaults() -> None:
    registry = registry_of(read_lab("demo"))
    found = read_contract(
        (EXAMPLES / "contract.toml").read_bytes(), registry, "00" * 16
    )
    shortest = VerticalSettings(
        label_holder="bank", feature_holders=("regulator", "agriculture")
    )
    assert found.key_bits == shortest.key_bits
    assert found.min_count == shortest.min_count
    assert found.ridge == shortest.ridge
    assert found.max_columns == shortest.max_columns
    assert found.max_rows == shortest.max_rows
    assert (found.polish_steps, found.exact) == (shortest.steps, shortest.exact)
    assert found.base_odds == shortest.scale.base_odds


def test_the_horizontal_example_says_the_defaults_of_training() -> None:
    registry = registry_of(read_lab("demo"))
    text = (EXAMPLES / "horizontal_contract.toml").read_bytes()
    found = read_contract(text, registry, "00" * 16)
    privacy = found.horizontal.privacy
    noise = Privacy(privacy.clip, privacy.noise, privacy.count_noise)
    members = Members(most=3, most_rows=found.max_rows)
    default = Terms(run=found.run, members=members)
    noisy = replace(default, privacy=noise, **NOISY)  # type: ignore[arg-type] # fields
    assert terms_of(found, 3) == noisy
    for name in NOISY:
        line = re.search(rf"^{name} = .*\[([^\]:]+)", text.decode(), re.MULTILINE)
        assert line, f"{name} in brackets"
        assert tomllib.loads(f"it = {line[1]}")["it"] == getattr(default, name)
    shortest = HorizontalSettings(
        members=("bank", "regulator", "agriculture"),
        max_rows=found.max_rows,
        horizontal=TrainingSettings(columns={"income": ColumnSettings(kind="numeric")}),
    )
    assert found.min_count == shortest.min_count
    assert found.horizontal.own == shortest.horizontal.own
    assert found.horizontal.pull == shortest.horizontal.pull


def parse(arguments: list[str]) -> None:
    """Let the program parse a command without running it; raises UsageError."""
    name, *rest = ["00" * 32 if each in {"HEX", "HASH"} else each for each in arguments]
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
    new = NewNode(
        *(folder, "bank", [Role.DATA_HOLDER], 2048, declared, 8081, 9101, None),
        safe_primes=False,
    )
    create(new, lambda _: None)
    source = node_config.read(folder / "node.toml").source
    assert source is not None
    assert source.csv == folder / "borrowers.csv"


class Build(BaseModel):
    """What an image is made of."""

    model_config = ConfigDict(extra="forbid")

    context: str
    dockerfile: str


class Service(BaseModel):
    """One container, in the words of Compose that our file uses and no others."""

    model_config = ConfigDict(extra="forbid")

    image: str
    build: Build
    command: list[str]
    volumes: list[str]
    depends_on: list[str] = []
    restart: str
    stop_grace_period: str
    read_only: bool
    tmpfs: list[str]
    cap_drop: list[str]
    security_opt: list[str]


class Compose(BaseModel):
    """The file; what its ``x-`` blocks hold has been merged into the services."""

    services: dict[str, Service]
    volumes: dict[str, None]


@pytest.fixture(scope="module")
def compose() -> Compose:
    return Compose.model_validate(yaml.safe_load(text_of("compose/compose.yaml")))


def dockerfile_of(service: Service) -> Path:
    context = (DEPLOY / "compose" / service.build.context).resolve()
    assert (context / "pyproject.toml").is_file()
    return context / service.build.dockerfile


def test_every_container_runs_a_command_that_exists(compose: Compose) -> None:
    assert compose.services.keys() == {
        "coordinator",
        "bank",
        "regulator",
        "agriculture",
    }
    for name, service in compose.services.items():
        parse(service.command)
        assert service.command[0] == (
            "coordinator" if name == "coordinator" else "node"
        )
        # The image starts the program itself, and is the one its file is built as.
        dockerfile = dockerfile_of(service).read_text()
        assert '\nENTRYPOINT ["veilscore"]\n' in dockerfile
        assert f" -t {service.image} .\n" in dockerfile


def test_containers_find_what_they_mount_and_wait_for(compose: Compose) -> None:
    used: set[str] = set()
    for name, service in compose.services.items():
        assert set(service.depends_on) <= compose.services.keys()
        (made,) = re.findall(
            r"install -d -o veilscore -g veilscore -m 0700 (.*)",
            dockerfile_of(service).read_text(),
        )
        mounts = [each.split(":") for each in service.volumes]
        ours = {source: target for source, target, *mode in mounts if not mode}
        assert ours.keys() <= compose.volumes.keys()
        # The user of the image may write where the image made the folder.
        assert set(ours.values()) == set(made.split())
        used |= ours.keys()
        # Keys of a party are in no other party's volume.
        assert ours[name] == "/party"
        data = [mount for mount in mounts if mount[0] not in ours]
        assert data == (
            [] if name == "coordinator" else [[f"./data/{name}", "/data", "ro"]]
        )
        config = service.command[service.command.index("--config") + 1]
        assert Path(config).parent == Path("/party")
    assert used == compose.volumes.keys()


def test_containers_can_map_code_from_their_temporary_folder(compose: Compose) -> None:
    # Docker mounts a tmpfs noexec unless told otherwise; rbcl maps its code from there.
    for service in compose.services.values():
        assert service.tmpfs == ["/tmp:exec"]  # noqa: S108 - of the container
        assert service.read_only
