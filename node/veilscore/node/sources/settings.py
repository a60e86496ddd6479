"""The declared contract of a data source: the ``[source]`` table of a node's file.

Only what is declared is read. A column can play one part only, so a label cannot
slip in among the features.
"""

from typing import Annotated, Literal, Self

from pydantic import AfterValidator, Field, ValidationInfo, model_validator

from veilscore.keys.entity_ids import EntityKind
from veilscore.runtime.settings import LocalPath, Settings, beside

Name = Annotated[str, Field(min_length=1)]


class IdSettings(Settings):
    """Which column names the entity, and what kind of id it holds."""

    column: Name
    type: EntityKind | None = None
    type_column: Name | None = None  # whose cells are the words of EntityKind
    max_rejected_share: float = Field(default=0.05, ge=0, le=1)

    @model_validator(mode="after")
    def _one_kind(self) -> Self:
        if (self.type is None) == (self.type_column is None):
            raise ValueError("needs either `type` or `type_column`")
        return self


class FeatureSettings(Settings):
    """One feature; an empty cell and NULL are missing whatever is declared."""

    column: Name
    kind: Literal["numeric", "categorical"]
    missing: tuple[str, ...] = ()


class LabelSettings(Settings):
    """The outcome (1 bad, 0 good, empty: none) and which rows judge a model."""

    column: Name
    holdout_column: Name | None = None
    holdout_share: float | None = Field(default=None, gt=0, lt=1)

    @model_validator(mode="after")
    def _one_holdout(self) -> Self:
        if self.holdout_column is not None and self.holdout_share is not None:
            raise ValueError("has both `holdout_column` and `holdout_share`")
        return self


def _sqlite_beside(url: str, info: ValidationInfo) -> str:
    # A long import, for nodes whose source is a database.
    from sqlalchemy import make_url  # noqa: PLC0415
    from sqlalchemy.exc import ArgumentError  # noqa: PLC0415

    try:
        parsed = make_url(url)
    except (ArgumentError, ValueError):
        return url  # refused when it is opened, with the party's name
    if parsed.get_backend_name() != "sqlite" or not parsed.database:
        return url
    database = str(beside(parsed.database, info))
    return parsed.set(database=database).render_as_string(hide_password=False)


class SourceSettings(Settings):
    """A holder's table: exactly one of ``csv``, ``parquet`` and ``sql``."""

    csv: LocalPath | None = None
    encoding: Literal["utf-8", "gb18030"] | None = None  # of csv; utf-8 if not given
    parquet: LocalPath | None = None
    sql: Annotated[str, AfterValidator(_sqlite_beside)] | None = Field(
        default=None, repr=False
    )
    table: Name | None = None  # of sql; "schema.table" names another schema
    password_file: LocalPath | None = None  # of sql
    id: IdSettings
    feature: tuple[FeatureSettings, ...] = Field(min_length=1)
    label: LabelSettings | None = None

    @model_validator(mode="after")
    def _one_source(self) -> Self:
        kinds = [self.csv, self.parquet, self.sql]
        if sum(kind is not None for kind in kinds) != 1:
            raise ValueError("needs exactly one of `csv`, `parquet` and `sql`")
        if (self.sql is None) != (self.table is None):
            raise ValueError("needs `table` with `sql`, and only then")
        if self.sql is None and self.password_file is not None:
            raise ValueError("has `password_file` without `sql`")
        if self.csv is None and self.encoding is not None:
            raise ValueError("has `encoding` without `csv`")
        return self

    @model_validator(mode="after")
    def _one_part_a_column(self) -> Self:
        names = self.columns()
        twice = {name for name in names if names.count(name) > 1}
        if twice:
            raise ValueError(f"declares a column twice: {', '.join(sorted(twice))}")
        return self

    def columns(self) -> list[str]:
        """Return the names of all declared columns."""
        names = [self.id.column, self.id.type_column]
        names += [feature.column for feature in self.feature]
        if self.label is not None:
            names += [self.label.column, self.label.holdout_column]
        return [name for name in names if name is not None]
