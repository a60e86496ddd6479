"""A table of loans in which every id, column, level and number is a canary.

Shaped like the public data sets of the labs, so that the lab deals it out to the
holders.
"""

import csv
import gzip
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from tests.attacks.canary_forms import (
    Canary,
    CanaryId,
    CanaryNumber,
    fresh_number,
    fresh_text,
)

_ENTITIES: Final = 480
_LEVELS: Final = 6
_UNKNOWN: Final = 0.1  # of all entities, to each holder


@dataclass(frozen=True, slots=True)
class Planted:
    """What was planted, and which columns hold texts."""

    secrets: list[Canary | CanaryNumber]
    categorical: list[str]


def plant(data: Path, label_holder: str, parties: Sequence[str]) -> Planted:
    """Write the data set \"canaries\": two numbers and a text for each party."""
    columns = {party: [fresh_text() for _ in range(3)] for party in parties}
    levels = {party: [fresh_text() for _ in range(_LEVELS)] for party in parties}
    ids = [fresh_text() for _ in range(_ENTITIES)]
    secrets: list[Canary | CanaryNumber] = [
        CanaryId(f"id {number}", entity) for number, entity in enumerate(ids)
    ]
    for party in parties:
        secrets += [Canary(f"a column of {party}", name) for name in columns[party]]
        secrets += [Canary(f"a level of {party}", level) for level in levels[party]]
    rows: list[list[object]] = []
    for number, entity in enumerate(ids):
        bad = number % 3 == 0
        cells: list[object] = []
        for at, party in enumerate(parties):
            values = [fresh_number(0.3 * bad), fresh_number(-0.2 * bad)]
            secrets += [CanaryNumber(f"a number of {party}", value) for value in values]
            cells += [*values, levels[party][(number + at * bad) % _LEVELS]]
        rows.append([entity, int(bad), *cells])
    names = [name for party in parties for name in columns[party]]
    _write(data / "loans.csv.gz", ["id", "y", *names], rows)
    judging = [[entity, int(number % 4 == 0)] for number, entity in enumerate(ids)]
    _write(data / "split.csv.gz", ["id", "test"], judging)
    scheme = {"label_holder": label_holder, "parties": columns}
    (data / "vertical.json").write_text(json.dumps({"canaries": scheme}))
    return Planted(secrets, [columns[party][2] for party in parties])


def plant_regions(data: Path, parties: Sequence[str]) -> Planted:
    """Write the data set of members: two numbers and a text, which all of them have.

    How columns are called is in the contract, so that is no secret.
    """
    levels = [fresh_text() for _ in range(_LEVELS)]
    ids = [fresh_text() for _ in range(_ENTITIES)]
    secrets: list[Canary | CanaryNumber] = [
        *(CanaryId(f"id {number}", entity) for number, entity in enumerate(ids)),
        *(Canary("a level", level) for level in levels),
    ]
    rows: list[list[object]] = []
    for number, entity in enumerate(ids):
        bad = number % 5 < 2
        values = [fresh_number(0.3 * bad), fresh_number(-0.2 * bad)]
        secrets += [CanaryNumber("a number", value) for value in values]
        rows.append([entity, int(bad), *values, levels[(number + bad) % _LEVELS]])
    _write(data / "loans.csv.gz", ["id", "y", "income", "debt", "sector"], rows)
    judging = [[entity, int(number % 4 == 0)] for number, entity in enumerate(ids)]
    _write(data / "split.csv.gz", ["id", "test"], judging)
    regions = [[each, parties[at % len(parties)]] for at, each in enumerate(ids)]
    _write(data / "regions.csv.gz", ["id", "region"], regions)
    return Planted(secrets, ["sector"])


def forget(path: Path) -> None:
    """Leave a tenth of a holder's rows out; no two holders have the same order."""
    heading, *rows = path.read_text(encoding="utf-8").splitlines(keepends=True)
    kept = rows[round(len(rows) * _UNKNOWN) :]
    path.write_text("".join([heading, *kept]), encoding="utf-8")


def _write(path: Path, names: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    with gzip.open(path, "wt", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(names)
        writer.writerows(rows)
