"""Deal out one real table: column by column, or by the region that rows belong to.

By columns every party has all rows and one has the label; by regions every party has
all columns of its own rows, with their labels.
"""

import csv
import gzip
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final, cast

import numpy as np

from veilscore.lab.errors import LabError
from veilscore.lab.lab_file import DataSettings

ID: Final = "id"
LABEL: Final = "y"
HOLDOUT: Final = "test"  # 1: judges a model and trains none
_REGION: Final = "region"

Row = Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Share:
    """What one holder gets of a table; label and holdout column if ``labelled``."""

    columns: tuple[str, ...]
    rows: Sequence[Row]
    labelled: bool


def deal(settings: DataSettings, folder: Path) -> dict[str, Share]:
    """Return every holder's share of the table, by the holder's name.

    Raises LabError if the data are not as the lab file says.
    """
    judging = _column(folder / settings.split, HOLDOUT)
    rows = [
        {**row, HOLDOUT: judging[row[ID]]} for row in read_rows(folder / settings.file)
    ]
    if settings.vertical is not None:
        return _by_columns(settings, folder / settings.vertical, rows)
    regions = _column(folder / str(settings.regions), _REGION)
    shares = _by_regions(settings, regions, rows)
    for region, most in settings.most_rows.items():
        if region not in shares:
            raise no_share(region, shares, settings, folder)
        shares[region] = _cut(shares[region], most, settings.seed)
    return shares


def no_share(
    holder: str, shares: Mapping[str, Share], settings: DataSettings, folder: Path
) -> LabError:
    """Return what is wrong with a lab that names a holder without a share."""
    if settings.regions is not None:
        what, file = f"there is no region {holder!r}", settings.regions
    else:
        what = f"the scheme {settings.scheme!r} has no party {holder!r}"
        file = str(settings.vertical)
    return LabError(
        what,
        place=str(folder / file),
        remedy=f"Name one of {', '.join(shares)} as `holder`.",
    )


def levels_of(column: str, shares: Mapping[str, Share]) -> tuple[str, ...]:
    """Return the levels of a categorical column, as a codebook of all holders."""
    return tuple(
        sorted(
            {
                row[column].strip()
                for share in shares.values()
                if column in share.columns
                for row in share.rows
            }
            - {""}
        )
    )


def read_rows(path: Path) -> Iterator[dict[str, str]]:
    """Yield the rows of a table, csv.gz; raises LabError if it cannot be read."""
    try:
        with gzip.open(path, "rt", encoding="utf-8", newline="") as file:
            yield from csv.DictReader(file)
    except OSError as error:
        raise _unreadable(path, error) from error


def _by_columns(
    settings: DataSettings, path: Path, rows: Sequence[Row]
) -> dict[str, Share]:
    label_holder, parties = _read_scheme(path, str(settings.scheme))
    return {
        party: Share(tuple(columns), rows, labelled=party == label_holder)
        for party, columns in parties.items()
    }


def _by_regions(
    settings: DataSettings, regions: Mapping[str, str], rows: Sequence[Row]
) -> dict[str, Share]:
    without = {ID, LABEL, HOLDOUT, *settings.leave_out}
    columns = tuple(name for name in rows[0] if name not in without)
    dealt: dict[str, list[Row]] = {region: [] for region in sorted({*regions.values()})}
    for row in rows:
        dealt[regions[row[ID]]].append(row)
    return {region: Share(columns, own, labelled=True) for region, own in dealt.items()}


def _cut(share: Share, most: int, seed: int) -> Share:
    """Leave so many rows to learn from, drawn by the seed, and all that judge."""
    learning = [at for at, row in enumerate(share.rows) if row[HOLDOUT] != "1"]
    rng = np.random.default_rng(seed)
    kept = {*rng.choice(learning, min(most, len(learning)), replace=False).tolist()}
    rows = [
        row for at, row in enumerate(share.rows) if at in kept or row[HOLDOUT] == "1"
    ]
    return replace(share, rows=rows)


def _column(path: Path, name: str) -> dict[str, str]:
    return {row[ID]: row[name] for row in read_rows(path)}


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
