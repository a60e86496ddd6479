"""What each party of a lab brings: its data file and the declaration of it.

Either the demo economy writes the files, or one real table is dealt out column by
column, every holder's rows in an order of its own. A holder gets its own columns only.
"""

import csv
import gzip
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path
from typing import Literal, cast

from veilscore.keys.entity_ids import EntityKind
from veilscore.lab.economy import Economy
from veilscore.lab.economy_files import declaration, write_csv
from veilscore.lab.errors import LabError
from veilscore.lab.holders import HOLDERS
from veilscore.lab.lab_file import (
    DATA_VARIABLE,
    DataSettings,
    EconomySettings,
    LabFile,
)
from veilscore.lab.toml_text import to_toml
from veilscore.runtime.errors import ConfigError

Kind = Literal["numeric", "categorical"]

_ID, _LABEL, _HOLDOUT = "id", "y", "test"


@dataclass(frozen=True, slots=True)
class Feature:
    """One declared column and the code that stands for a missing cell in it."""

    column: str
    kind: Kind
    missing: str = ""


@dataclass(frozen=True, slots=True)
class Holding:
    """One holder's file and how its node declares it.

    ``id_type`` is None where a column of the file says it; ``label`` and ``holdout``
    are columns, empty where there are none.
    """

    path: Path
    source: str  # the [source] tables, TOML
    features: tuple[Feature, ...]
    id_type: EntityKind | None
    label: str
    holdout: str

    def moved(self, folder: Path) -> "Holding":
        """Move the file into a folder, where its node looks for it."""
        path = self.path.replace(folder / self.path.name)
        return Holding(
            path, self.source, self.features, self.id_type, self.label, self.holdout
        )


def make_holdings(
    lab: LabFile, data: Path | None, folder: Path
) -> Iterator[tuple[str, Holding]]:
    """Write each party's file into ``folder``; yield the party's name with it.

    Raises LabError or ConfigError if the data are not as the lab file says.
    """
    if lab.economy is not None:
        yield from _from_economy(lab, lab.economy, folder)
    elif lab.data is not None:
        yield from _from_table(lab, lab.data, _existing(data), folder)


def _from_economy(
    lab: LabFile, settings: EconomySettings, folder: Path
) -> Iterator[tuple[str, Holding]]:
    economy = Economy(settings.seed)
    for party in lab.party:
        name = party.holder
        path = write_csv(
            folder,
            economy,
            name,
            settings.entities,
            typed_by_hand=name == settings.dirty_holder,
        )
        yield (
            party.name,
            Holding(
                path,
                declaration(name, holdout_share=settings.holdout_share),
                tuple(
                    Feature(column.name, column.kind, column.code)
                    for column in HOLDERS[name].columns
                ),
                id_type=None,
                label=HOLDERS[name].label,
                holdout="",
            ),
        )


def _from_table(
    lab: LabFile, settings: DataSettings, data: Path, folder: Path
) -> Iterator[tuple[str, Holding]]:
    label_holder, columns = _read_scheme(data / settings.vertical, settings.scheme)
    judging = {row[_ID]: row[_HOLDOUT] for row in _read_rows(data / settings.split)}
    rows = list(_read_rows(data / settings.file))
    for party in lab.party:
        if party.holder not in columns:
            raise LabError(
                f"the scheme {settings.scheme!r} has no party {party.holder!r}",
                place=str(data / settings.vertical),
                remedy=f"Name one of {', '.join(columns)} as `holder`.",
            )
        own = columns[party.holder]
        labelled = party.holder == label_holder
        extra = [_LABEL, _HOLDOUT] if labelled else []
        path = folder / f"{party.holder}.csv"
        with path.open("w", encoding="utf-8", newline="") as file:
            writer = csv.writer(file, lineterminator="\n")
            writer.writerow([_ID, *own, *extra])
            for row in sorted(rows, key=lambda row: _order(party.holder, row[_ID])):
                cells = row | {_HOLDOUT: judging[row[_ID]]}
                writer.writerow([cells[name] for name in (_ID, *own, *extra)])
        features = tuple(
            Feature(name, "categorical" if name in settings.categorical else "numeric")
            for name in own
        )
        yield (
            party.name,
            Holding(
                path,
                _declare(path.name, settings.id_type, features, labelled=labelled),
                features,
                settings.id_type,
                label=_LABEL if labelled else "",
                holdout=_HOLDOUT if labelled else "",
            ),
        )


def _existing(folder: Path | None) -> Path:
    if folder is None or not folder.is_dir():
        raise ConfigError(
            "this lab works on real data, which are not part of the program",
            place=str(folder or ""),
            remedy=f"Name their folder with --data DIR or in {DATA_VARIABLE}.",
        )
    return folder


def _order(holder: str, entity: str) -> bytes:
    return blake2b(f"{holder} {entity}".encode(), digest_size=8).digest()


def _declare(
    file: str, id_type: EntityKind, features: Sequence[Feature], *, labelled: bool
) -> str:
    source: dict[str, object] = {
        "csv": file,
        "id": {"column": _ID, "type": str(id_type)},
        "feature": [{"column": each.column, "kind": each.kind} for each in features],
    }
    if labelled:
        source["label"] = {"column": _LABEL, "holdout_column": _HOLDOUT}
    return to_toml({"source": source})


def _read_rows(path: Path) -> Iterator[dict[str, str]]:
    try:
        with gzip.open(path, "rt", encoding="utf-8", newline="") as file:
            yield from csv.DictReader(file)
    except OSError as error:
        raise _unreadable(path, error) from error


def _read_scheme(path: Path, scheme: str) -> tuple[str, Mapping[str, Sequence[str]]]:
    try:
        schemes = cast("dict[str, dict[str, object]]", json.loads(path.read_bytes()))
    except OSError as error:
        raise _unreadable(path, error) from error
    if scheme not in schemes:
        raise LabError(
            f"there is no scheme {scheme!r}",
            place=str(path),
            remedy=f"Name one of {', '.join(schemes)}.",
        )
    parties = cast("dict[str, list[str]]", schemes[scheme]["parties"])
    return str(schemes[scheme]["label_holder"]), parties


def _unreadable(path: Path, error: OSError) -> LabError:
    return LabError(
        f"the data cannot be read ({error.strerror or error})",
        place=str(path),
        remedy="Check the data folder; its files must lie as the lab file says.",
    )
