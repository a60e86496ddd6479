"""What each party of a lab brings: its data file and the declaration of it.

Either the demo economy writes the files, or one real table is dealt out (``dealing``),
every holder's rows in an order of its own. A holder gets its own cells only.
"""

import csv
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from hashlib import blake2b
from pathlib import Path
from typing import Literal

from veilscore.keys.entity_ids import EntityKind
from veilscore.lab.dealing import HOLDOUT, ID, LABEL, deal, levels_of, no_share
from veilscore.lab.economy import Economy
from veilscore.lab.economy_files import declaration, write_csv
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


@dataclass(frozen=True, slots=True)
class Feature:
    """One declared column and the code that stands for a missing cell in it.

    ``levels``: of a categorical column that several holders have, as their codebook.
    """

    column: str
    kind: Kind
    missing: str = ""
    levels: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Holding:
    """One holder's file and how its node declares it.

    ``id_type`` is None where a column of the file says it; ``label`` and ``holdout``
    are columns, empty where there are none. ``holdout_share``: of rows that judge,
    chosen by their ids, where no column says so.
    """

    path: Path
    source: str  # the [source] tables, TOML
    features: tuple[Feature, ...]
    id_type: EntityKind | None
    label: str
    holdout: str
    holdout_share: float = 0.0

    def moved(self, folder: Path) -> "Holding":
        """Move the file into a folder, where its node looks for it."""
        return replace(self, path=self.path.replace(folder / self.path.name))


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
        holder = HOLDERS[party.holder]
        name = f"{party.region}-{holder.name}" if party.region else holder.name
        path = write_csv(
            folder,
            economy,
            holder.name,
            settings.entities,
            name=name,
            places=settings.places(party.region),
            typed_by_hand=holder.name == settings.dirty_holder,
        )
        share = settings.holdout_share
        yield (
            party.name,
            Holding(
                path,
                declaration(holder.name, holdout_share=share, name=name),
                tuple(
                    Feature(each.name, each.kind, each.code, each.levels)
                    for each in holder.columns
                ),
                id_type=None,
                label=holder.label,
                holdout="",
                holdout_share=share if holder.label else 0.0,
            ),
        )


def _from_table(
    lab: LabFile, settings: DataSettings, data: Path, folder: Path
) -> Iterator[tuple[str, Holding]]:
    shares = deal(settings, data)
    for party in lab.party:
        if party.holder not in shares:
            raise no_share(party.holder, shares, settings, data)
        own = shares[party.holder]
        heads = [ID, *own.columns, *([LABEL, HOLDOUT] if own.labelled else [])]
        path = folder / f"{party.holder}.csv"
        with path.open("w", encoding="utf-8", newline="") as file:
            writer = csv.writer(file, lineterminator="\n")
            writer.writerow(heads)
            for row in sorted(own.rows, key=lambda row: _order(party.holder, row[ID])):
                writer.writerow([row[head] for head in heads])
        features = tuple(
            Feature(name, "categorical", levels=levels_of(name, shares))
            if name in settings.categorical
            else Feature(name, "numeric")
            for name in own.columns
        )
        yield (
            party.name,
            Holding(
                path,
                _declare(path.name, settings.id_type, features, labelled=own.labelled),
                features,
                settings.id_type,
                label=LABEL if own.labelled else "",
                holdout=HOLDOUT if own.labelled else "",
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
        "id": {"column": ID, "type": str(id_type)},
        "feature": [{"column": each.column, "kind": each.kind} for each in features],
    }
    if labelled:
        source["label"] = {"column": LABEL, "holdout_column": HOLDOUT}
    return to_toml({"source": source})
