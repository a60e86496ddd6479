"""The data a node works on: loaded once at start, checked, with a list of rejects.

Stays here. The rejects file names row numbers and reasons, never ids.
"""

import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from veilscore.node.columns import Columns, RejectedRow
from veilscore.node.config import NodeSettings
from veilscore.node.entities import Entities
from veilscore.node.errors import RejectedIdsError
from veilscore.node.sources.csv_file import write_csv
from veilscore.node.sources.loading import load_columns
from veilscore.runtime.allocation import return_free_pages

REJECTS = "rejected_rows.csv"


@dataclass(frozen=True, slots=True)
class Snapshot:
    """The loaded data and when it was loaded (seconds since 1970)."""

    columns: Columns
    loaded: float


def load_snapshot(settings: NodeSettings) -> Snapshot:
    """Load the declared source, or nothing for a party that only asks for scores.

    Raises SourceError naming party, place and remedy. If that is for too many rows
    without a valid id, they are listed first; otherwise no file is written then.
    """
    if settings.source is None:
        nothing = Columns(
            Entities.of(()), (), np.zeros(0, np.int8), np.zeros(0, np.bool_)
        )
        return Snapshot(nothing, time.time())
    path = settings.state / REJECTS
    try:
        columns = load_columns(settings.source, settings.party)
    except RejectedIdsError as error:
        _write_rejects(path, error.rejected)
        error.remedy += f"; all such rows stand with their reason in {path}"
        raise
    _write_rejects(path, columns.rejected)
    return_free_pages()  # of all columns' parts: 40 bytes a row
    return Snapshot(columns, time.time())


def _write_rejects(path: Path, rejected: tuple[RejectedRow, ...]) -> None:
    """List the rows whose id failed its check, in one piece; replaces the last list."""
    rows = ((item.row, item.column, item.reason) for item in rejected)
    write_csv(path, ("row", "column", "reason"), rows)
