"""Write a holder's table of the demo economy as a node reads it.

Two things make a data source: a CSV file, streamed chunk by chunk, and the
``[source]`` table of the node's configuration that declares it.
"""

import csv
from collections.abc import Collection, Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from veilscore.lab.economy import Economy, Table
from veilscore.lab.holders import HOLDERS, Column
from veilscore.lab.identities import as_typed_by_hand
from veilscore.lab.population import OF_CLERK, stream

_ID, _TYPE = "id", "id_type"


def write_csv(
    folder: Path,
    economy: Economy,
    holder: str,
    entities: int,
    *,
    name: str = "",
    places: Collection[int] | None = None,
    typed_by_hand: bool = False,
) -> Path:
    """Write ``name.csv`` of a holder's first ``entities`` and return its path.

    ``name`` is the holder's if not given. ``places``, from 0: those of whose entities
    it knows; None for all. ``typed_by_hand`` writes ids in the forms and with the typos
    of manual entry.
    """
    path = folder / f"{name or holder}.csv"
    part = path.with_suffix(".part")
    columns = HOLDERS[holder].columns
    label = HOLDERS[holder].label
    with part.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        heads = [column.name for column in columns]
        writer.writerow([_ID, _TYPE, *heads, *([label] if label else [])])
        for number, whole in enumerate(economy.tables(holder, entities)):
            table = whole if places is None else whole.within(places)
            ids, types = economy.ids(table.who)
            if typed_by_hand:
                ids = as_typed_by_hand(ids, stream(economy.seed, OF_CLERK, number))
            writer.writerows(zip(ids, types, *_cells(table, columns), strict=True))
    part.replace(path)
    return path


def _cells(table: Table, columns: tuple[Column, ...]) -> Iterator[list[str]]:
    for column in columns:
        yield _texts(table.columns[column.name], column)
    if table.labels is not None:
        yield ["" if label < 0 else str(label) for label in table.labels.tolist()]


def _texts(values: NDArray[np.float32], column: Column) -> list[str]:
    if column.levels:
        return [column.levels[int(value)] for value in values.tolist()]
    form = f"%.{column.decimals}f"
    return [
        column.code if missing else form % value
        for value, missing in zip(
            values.tolist(), np.isnan(values).tolist(), strict=True
        )
    ]


def declaration(holder: str, *, holdout_share: float, name: str = "") -> str:
    """Return the ``[source]`` table, in TOML, of a file that ``write_csv`` wrote."""
    lines = [
        "[source]",
        f'csv = "{name or holder}.csv"',
        "[source.id]",
        f'column = "{_ID}"',
        f'type_column = "{_TYPE}"',
    ]
    for column in HOLDERS[holder].columns:
        lines += [
            "[[source.feature]]",
            f'column = "{column.name}"',
            f'kind = "{column.kind}"',
        ]
        if column.code:
            lines.append(f'missing = ["{column.code}"]')
    if HOLDERS[holder].label:
        lines += [
            "[source.label]",
            f'column = "{HOLDERS[holder].label}"',
            f"holdout_share = {holdout_share}",
        ]
    return "\n".join(lines) + "\n"
