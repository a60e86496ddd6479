"""The file of a lab: who takes part, on what data, in which runs.

What goes into a party's own file (``training``, ``scoring``) and into a run's contract
is passed on as it is; the party and the coordinator check it, as in production.
"""

from importlib import resources
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from veilscore.keys.entity_ids import EntityKind
from veilscore.lab.holders import HOLDERS
from veilscore.runtime.errors import ConfigError
from veilscore.runtime.settings import Settings, load

DATA_VARIABLE = "VEILSCORE_DATA"

Name = Annotated[str, Field(min_length=1)]
Port = Annotated[int, Field(ge=1, le=65535)]
Table = dict[str, object]


class EconomySettings(Settings):
    """``[economy]``: invented data, made on the spot."""

    entities: int = Field(ge=100)
    seed: int = Field(ge=0)
    holdout_share: float = Field(default=0.3, gt=0, lt=1)
    dirty_holder: Name | None = None  # writes ids as clerks type them


class DataSettings(Settings):
    """``[data]``: one real table, dealt out to the parties column by column.

    Files are relative to the folder that the command line or VEILSCORE_DATA names.
    """

    file: Name  # csv.gz: id, y (1 = bad), features
    split: Name  # csv.gz: id, test (1: judges a model and trains none)
    vertical: Name  # json: which party of a scheme has which columns
    scheme: Name
    categorical: tuple[Name, ...] = ()
    id_type: EntityKind = EntityKind.OPAQUE


class PartySettings(Settings):
    """``[[party]]``: one institution; ports not given are chosen at the start."""

    name: Name
    holder: Name  # of the economy, or a party of the scheme
    roles: tuple[Literal["data_holder", "requester"], ...] = ("data_holder",)
    training: Table = Field(default_factory=dict)
    scoring: Table = Field(default_factory=dict)
    web_port: Port | None = None
    runtime_port: Port | None = None


class RunSettings(Settings):
    """``[[run]]``: one training run; its contract without the parties."""

    name: Name
    contract: Table = Field(default_factory=dict)


class ScoreSettings(Settings):
    """``[score]``: who asks for how many scores of the last run's model."""

    requester: Name
    entities: int = Field(ge=1)


class CoordinatorSettings(Settings):
    """``[coordinator]``: ports not given are chosen at the start."""

    hub_port: Port | None = None
    flower_port: Port | None = None
    web_port: Port | None = None


class LabFile(Settings):
    """A whole lab."""

    name: Name
    key_bits: int = 3072
    safe_primes: bool = False  # the keys are thrown away: a search would not pay
    minutes: float | None = None  # about how long it takes on two cores
    economy: EconomySettings | None = None
    data: DataSettings | None = None
    coordinator: CoordinatorSettings = CoordinatorSettings()
    witnesses: Annotated[int, Field(ge=0, le=16)] = 0  # of the log; all must cosign
    party: tuple[PartySettings, ...] = Field(min_length=2)
    run: tuple[RunSettings, ...] = Field(min_length=1)
    score: ScoreSettings

    @model_validator(mode="after")
    def _one_origin(self) -> Self:
        if (self.economy is None) == (self.data is None):
            raise ValueError("needs either `economy` or `data`")
        return self

    @model_validator(mode="after")
    def _different_names(self) -> Self:
        for what, names in (
            ("party", [party.name for party in self.party]),
            ("holder", [party.holder for party in self.party]),
            ("run", [run.name for run in self.run]),
        ):
            if len(set(names)) < len(names):
                raise ValueError(f"names a {what} twice")
        return self

    @model_validator(mode="after")
    def _known_holders(self) -> Self:
        if self.economy is None:
            return self
        named = {party.holder for party in self.party}
        if self.economy.dirty_holder is not None:
            named.add(self.economy.dirty_holder)
        unknown = sorted(named - HOLDERS.keys())
        if unknown:
            raise ValueError(
                f"names a holder that the economy lacks: {', '.join(unknown)} "
                f"(it has {', '.join(HOLDERS)})"
            )
        return self

    @model_validator(mode="after")
    def _known_requester(self) -> Self:
        requesters = {p.name for p in self.party if "requester" in p.roles}
        if self.score.requester not in requesters:
            raise ValueError("needs a party in `score.requester` that is a requester")
        return self

    def only(self, names: str | None) -> "LabFile":
        """Return the lab with the runs of a list like "default,exact" alone."""
        if names is None:
            return self
        wanted = [name.strip() for name in names.split(",")]
        runs = {run.name: run for run in self.run}
        unknown = [name for name in wanted if name not in runs]
        if unknown:
            raise ConfigError(
                f"the lab has no run {unknown[0]!r}",
                place=self.name,
                remedy=f"Name some of {', '.join(runs)}.",
            )
        return self.model_copy(update={"run": tuple(runs[name] for name in wanted)})


def shipped_labs() -> dict[str, Path]:
    """Return the lab files that come with the program, by name."""
    # The distribution is never a zip: Flower and uvicorn read files beside code too.
    folder = Path(str(resources.files("veilscore.lab") / "labs"))
    return {path.stem: path for path in sorted(folder.glob("*.toml"))}


def read_lab(name: str) -> LabFile:
    """Load a lab file, or a shipped lab by its name; raises ConfigError."""
    shipped = shipped_labs()
    if not Path(name).exists() and name in shipped:
        return load(shipped[name], LabFile)
    return load(Path(name), LabFile)
