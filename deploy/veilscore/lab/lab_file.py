"""The file of a lab: who takes part, on what data, in which runs.

What goes into a party's own file (``training``, ``scoring``) and into a run's contract
is passed on as it is; the party and the coordinator check it, as in production.
"""

from importlib import resources
from pathlib import Path
from typing import Annotated, Literal, Self, cast

from pydantic import Field, model_validator

from veilscore.keys.entity_ids import EntityKind
from veilscore.lab.holders import HOLDERS
from veilscore.lab.population import REGIONS
from veilscore.runtime.errors import ConfigError
from veilscore.runtime.settings import Settings, load

DATA_VARIABLE = "VEILSCORE_DATA"

Name = Annotated[str, Field(min_length=1)]
Port = Annotated[int, Field(ge=1, le=65535)]
Place = Annotated[int, Field(ge=1, le=REGIONS)]
Table = dict[str, object]


class EconomySettings(Settings):
    """``[economy]``: invented data, made on the spot."""

    entities: int = Field(ge=100)
    seed: int = Field(ge=0)
    holdout_share: float = Field(default=0.3, gt=0, lt=1)
    dirty_holder: Name | None = None  # writes ids as clerks type them
    # Of its 43 places, which each region has: a party of a region knows its entities.
    regions: dict[Name, tuple[Place, ...]] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _places_apart(self) -> Self:
        places = [place for region in self.regions.values() for place in region]
        if len(set(places)) < len(places):
            raise ValueError("puts a place into two regions")
        return self

    def places(self, region: str | None) -> tuple[int, ...] | None:
        """Return a region's places, from 0; None for all there are."""
        if region is None:
            return None
        return tuple(place - 1 for place in self.regions[region])


class DataSettings(Settings):
    """``[data]``: one real table, dealt out to the parties by columns or by regions.

    Files are relative to the folder that the command line or VEILSCORE_DATA names.
    """

    file: Name  # csv.gz: id, y (1 = bad), features
    split: Name  # csv.gz: id, test (1: judges a model and trains none)
    vertical: Name | None = None  # json: which party of a scheme has which columns
    scheme: Name | None = None
    regions: Name | None = None  # csv.gz: id, region; all parties have all columns
    leave_out: tuple[Name, ...] = ()
    # A region that has just begun: so many rows to learn from, drawn by the seed.
    most_rows: dict[Name, Annotated[int, Field(ge=1)]] = Field(default_factory=dict)
    seed: Annotated[int, Field(ge=0)] = 0
    categorical: tuple[Name, ...] = ()
    id_type: EntityKind = EntityKind.OPAQUE

    @model_validator(mode="after")
    def _one_way_to_deal(self) -> Self:
        by_columns = self.vertical is not None and self.scheme is not None
        if by_columns == (self.regions is not None) or (
            self.regions is not None and (self.vertical or self.scheme)
        ):
            raise ValueError("needs either `vertical` and `scheme`, or `regions`")
        if by_columns and (self.leave_out or self.most_rows):
            raise ValueError("has `leave_out` or `most_rows`, which are for `regions`")
        return self


class PartySettings(Settings):
    """``[[party]]``: one institution; ports not given are chosen at the start."""

    name: Name
    holder: Name  # of the economy, a party of the scheme, or a region of the table
    region: Name | None = None  # of the economy; else it knows entities of all
    roles: tuple[Literal["data_holder", "requester"], ...] = ("data_holder",)
    training: Table = Field(default_factory=dict)
    scoring: Table = Field(default_factory=dict)
    web_port: Port | None = None
    runtime_port: Port | None = None


class RunSettings(Settings):
    """``[[run]]``: one training run; its contract without the parties.

    One with a table ``horizontal`` is a horizontal run; else it is a vertical one.
    """

    name: Name
    parties: tuple[Name, ...] = ()  # all data holders of the lab if none are named
    contract: Table = Field(default_factory=dict)

    @property
    def is_horizontal(self) -> bool:
        """Whether all parties have the same columns and their own labels."""
        return "horizontal" in self.contract

    @property
    def horizontal(self) -> Table:
        """The table of a horizontal run; empty in a vertical one."""
        return cast("Table", self.contract.get("horizontal", {}))


class ScoreSettings(Settings):
    """``[score]``: who asks for how many scores of the last run's model.

    Where every holder has the whole model, ``holder`` alone answers, about its own
    entities; else all do, about the requester's.
    """

    requester: Name
    holder: Name | None = None
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
            ("holder", [(party.holder, party.region) for party in self.party]),
            ("run", [run.name for run in self.run]),
        ):
            if len(set(names)) < len(names):
                raise ValueError(f"names a {what} twice")
        return self

    @model_validator(mode="after")
    def _known_holders(self) -> Self:
        if self.economy is None:
            if any(party.region for party in self.party):
                raise ValueError("names a `region`, which only an economy has")
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
        regions = {party.region for party in self.party if party.region}
        unknown = sorted(regions - self.economy.regions.keys())
        if unknown:
            raise ValueError(f"names a region without places: {', '.join(unknown)}")
        return self

    @model_validator(mode="after")
    def _known_parties(self) -> Self:
        named = {name for run in self.run for name in run.parties}
        unknown = sorted(named - {*self.data_holders})
        if unknown:
            raise ValueError(f"a run names no data holder with {', '.join(unknown)}")
        return self

    @model_validator(mode="after")
    def _known_requester(self) -> Self:
        requesters = {p.name for p in self.party if "requester" in p.roles}
        if self.score.requester not in requesters:
            raise ValueError("needs a party in `score.requester` that is a requester")
        if self.score.holder not in (None, *self.data_holders):
            raise ValueError("needs a data holder in `score.holder`")
        problem = self._unanswered()
        if problem:
            raise ValueError(problem)
        return self

    @property
    def data_holders(self) -> tuple[str, ...]:
        """The parties that hold data."""
        return tuple(p.name for p in self.party if "data_holder" in p.roles)

    def parties_of(self, run: RunSettings) -> tuple[str, ...]:
        """Return the parties of a run."""
        return run.parties or self.data_holders

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
        fewer = self.model_copy(update={"run": tuple(runs[name] for name in wanted)})
        problem = fewer._unanswered()  # noqa: SLF001 - another of this class
        if problem:
            raise ConfigError(
                f"the lab {problem}",
                place=self.name,
                remedy="Name a run last in which `score` has its parties.",
            )
        return fewer

    def _unanswered(self) -> str:
        """Return why nobody could answer for the last run's model, or nothing."""
        run, score = self.run[-1], self.score
        parties = self.parties_of(run)
        asked = (score.requester, score.holder) if run.is_horizontal else ()
        if None in asked:
            return "needs `score.holder`: its last run is a horizontal one"
        missing = [name for name in asked or (score.requester,) if name not in parties]
        if missing:
            return f"asks {missing[0]!r} for scores of a run that it is not in"
        return ""


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
