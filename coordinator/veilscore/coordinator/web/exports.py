"""The lists of the pages as CSV and JSON, written row by row.

A cell of a CSV that begins like a formula gets an apostrophe before it: parties write
some of these texts, and spreadsheets would run them.
"""

import csv
import io
import json
from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime
from typing import Final

from fastapi.responses import StreamingResponse

from veilscore.coordinator.log import LogService
from veilscore.keys.registry import PartyRecord
from veilscore.keys.tlog.reader import Entry

Row = Mapping[str, str | int]
EVENT_COLUMNS: Final = (
    "index",
    "time",
    "actor",
    "type",
    "correlation",
    "seq",
    "key_id",
    "body_sha256",
)
PARTY_COLUMNS: Final = ("name", "roles", "joined", "fingerprint")
_PAGE: Final = 500
_FORMULA: Final = ("=", "+", "-", "@", "\t", "\r")


def event_rows(
    log: LogService, *, actor: str, kind: str, correlation: str
) -> Iterator[Row]:
    """Yield all events that fit, the newest first."""
    before: int | None = None
    while entries := log.events(
        actor=actor, kind=kind, correlation=correlation, before=before, limit=_PAGE
    ):
        yield from map(_event_row, entries)
        before = entries[-1].index


def _event_row(entry: Entry) -> Row:
    opened = entry.opened
    time = datetime.fromtimestamp(opened.event.time_ms / 1000, UTC)
    return {
        "index": entry.index,
        "time": time.isoformat(timespec="milliseconds"),
        "actor": opened.event.actor,
        "type": opened.kind,
        "correlation": opened.event.correlation,
        "seq": opened.event.seq,
        "key_id": opened.signed.key_id.hex(),
        "body_sha256": opened.head.digest.hex(),
    }


def party_row(record: PartyRecord) -> Row:
    """Describe a registered party."""
    return {
        "name": record.name,
        "roles": " ".join(sorted(record.roles)),
        "joined": record.joined.isoformat(),
        "fingerprint": record.key.fingerprint.hex(),
    }


def csv_response(columns: Iterable[str], rows: Iterable[Row]) -> StreamingResponse:
    """Stream rows as CSV (RFC 4180)."""
    return StreamingResponse(
        _csv_lines(tuple(columns), rows), media_type="text/csv; charset=utf-8"
    )


def _csv_lines(columns: tuple[str, ...], rows: Iterable[Row]) -> Iterator[str]:
    line = io.StringIO()
    writer = csv.writer(line)

    def written(cells: Iterable[str | int]) -> str:
        writer.writerow(cells)
        text = line.getvalue()
        line.seek(0)
        line.truncate()
        return text

    yield written(columns)
    for row in rows:
        yield written([_harmless(row[column]) for column in columns])


def _harmless(cell: str | int) -> str | int:
    return f"'{cell}" if isinstance(cell, str) and cell.startswith(_FORMULA) else cell


def json_response(rows: Iterable[Row]) -> StreamingResponse:
    """Stream rows as one JSON array."""
    return StreamingResponse(_json_lines(rows), media_type="application/json")


def _json_lines(rows: Iterable[Row]) -> Iterator[str]:
    separator = "["
    for row in rows:
        yield f"{separator}\n{json.dumps(row)}"
        separator = ","
    yield "[]\n" if separator == "[" else "\n]\n"
