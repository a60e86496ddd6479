"""Scoring a file of borrowers through the running node.

The output has one row a scored borrower; rows that fail are listed in a second file
with the reason. Both files appear complete or not at all.
"""

import csv
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from veilscore.fault import Fault
from veilscore.keys.entity_ids import EntityKind, normalise
from veilscore.node.errors import SourceError
from veilscore.node.local import LocalNode

PER_REQUEST = 1000


@dataclass(frozen=True, slots=True)
class Batch:
    """How to read the file and what to ask."""

    id_column: str
    id_type: str
    type_column: str
    purpose: str
    consent: str
    model: str


@dataclass(frozen=True, slots=True)
class Row:
    """One borrower of the file; ``number`` counts from 1, the header apart."""

    number: int
    kind: EntityKind
    entity: str


def score_file(
    node: LocalNode, batch: Batch, source: Path, out: Path
) -> dict[str, Any]:
    """Score every row; returns counts, the model and the path of the error file."""
    failed: list[tuple[int, str]] = []
    rows = list(_read(batch, source, failed))
    scores: list[tuple[Row, dict[str, Any]]] = []
    model = batch.model
    for start in range(0, len(rows), PER_REQUEST):
        part = rows[start : start + PER_REQUEST]
        request = {
            "entities": [{"type": row.kind, "id": row.entity} for row in part],
            "purpose": batch.purpose,
            "consent": batch.consent,
        }
        if model:
            request["model"] = model
        answer = node.scores(request)
        model = answer["model"]
        scores += zip(part, answer["scores"], strict=True)
    errors = out.with_name(f"{out.stem}.errors{out.suffix}")
    _write(
        out,
        ("id", "score", "probability_of_default"),
        (
            (row.entity, found["score"], found["probability_of_default"])
            for row, found in scores
        ),
    )
    _write(errors, ("row", "reason"), iter(failed))
    return {
        "scored": len(scores),
        "failed": len(failed),
        "model": model,
        "errors": str(errors),
    }


def _read(batch: Batch, source: Path, failed: list[tuple[int, str]]) -> Iterator[Row]:
    try:
        with source.open(newline="", encoding="utf-8-sig") as file:
            reader = csv.DictReader(file)
            _check_columns(batch, source, reader.fieldnames or ())
            seen: set[str] = set()
            for number, cells in enumerate(reader, start=1):
                raw = cells[batch.id_column] or ""
                try:
                    kind = _kind(batch, cells)
                    entity = normalise(kind, raw)
                except Fault as fault:
                    failed.append((number, fault.what))
                    continue
                if entity in seen:
                    failed.append((number, "the same entity stands in an earlier row"))
                    continue
                seen.add(entity)
                yield Row(number, kind, raw)
    except (OSError, UnicodeDecodeError) as error:
        raise SourceError(
            "the file of borrowers cannot be read",
            place=str(source),
            remedy="give a CSV file in UTF-8",
        ) from error


def _check_columns(batch: Batch, source: Path, present: Sequence[str]) -> None:
    for column in (batch.id_column, batch.type_column):
        if column and column not in present:
            raise SourceError(
                f"there is no column {column!r}",
                place=str(source),
                remedy=f"the file has: {', '.join(present)}",
            )


def _kind(batch: Batch, cells: dict[str, str]) -> EntityKind:
    word = cells[batch.type_column] if batch.type_column else batch.id_type
    try:
        return EntityKind(word.strip())
    except ValueError as error:
        known = ", ".join(EntityKind)
        raise SourceError(f"{word!r} is no type of id; known are {known}") from error


def _write(
    path: Path, header: tuple[str, ...], rows: Iterator[tuple[Any, ...]]
) -> None:
    new = path.with_name(path.name + ".new")
    with new.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(header)
        writer.writerows(rows)
    new.replace(path)
