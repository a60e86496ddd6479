"""Scoring a file of borrowers through the running node.

The output has one row a scored borrower; rows that fail are listed in a second file
with the reason. Each row that was asked about names its request, which is empty for
what the node scored by its own card of a whole model. Both are for this
institution's eyes: only their owner can read them. Each appears whole or not at all,
after everything was asked.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from veilscore.keys.entity_ids import EntityKind, normalise
from veilscore.keys.errors import EntityIdError
from veilscore.node.command_files import (
    CommandOrigin,
    Encoding,
    Outcome,
    Watch,
    encoding_named,
    errors_beside,
)
from veilscore.node.local import LocalNode
from veilscore.node.scoring.settings import Purpose
from veilscore.node.sources.csv_file import read_csv, write_csv

_UNKNOWN: Final = "a data holder of the model does not know the entity"
_LONGEST_ID: Final = 200  # characters, as the node's interface takes them


@dataclass(frozen=True, slots=True)
class Borrowers:
    """A CSV file of ids; either all are of ``id_type`` or ``type_column`` says it."""

    path: Path
    encoding: Encoding
    id_column: str
    id_type: EntityKind | None
    type_column: str | None


@dataclass(frozen=True, slots=True)
class Question:
    """What is asked about them; ``model`` is a hash in hex, empty: the newest.

    ``holder``: whose card of a whole model scores, empty: see ``whom_to_ask``.
    """

    purpose: Purpose
    consent: str
    model: str
    holder: str
    at_once: int  # entities in one request


@dataclass(frozen=True, slots=True)
class JointOutcome(Outcome):
    """An outcome, which model scored, and whether nobody was asked for it."""

    model: str
    at_home: bool


@dataclass(frozen=True, slots=True)
class _Row:
    number: int
    kind: EntityKind
    entity: str  # as it stands in the file


def score_file(
    node: LocalNode, borrowers: Borrowers, question: Question, out: Path, watch: Watch
) -> JointOutcome:
    """Score every row whose id is valid and that the model can score.

    ``watch`` hears of how many were asked about so far, of all.

    Raises ConfigError for an output that cannot be written and SourceError for a file
    that cannot be read, both before anything is asked; else what the node refuses.
    """
    errors = errors_beside(out, borrowers.path)
    unread: list[tuple[int, str]] = []
    rows = list(_read(borrowers, unread))
    failed = [(number, reason, "") for number, reason in unread]
    scored: list[tuple[str, int, float, str]] = []
    requests: list[str] = []
    model, at_home = question.model, False
    for start in range(0, len(rows), question.at_once):
        watch(start, len(rows))
        part = rows[start : start + question.at_once]
        answer = node.scores(_request(part, question, model))
        model = answer.model  # of all that follow, even if another is trained meanwhile
        at_home = answer.at_home
        if not at_home:
            requests.append(answer.request)
        for row, found in zip(part, answer.scores, strict=True):
            if found.score is None or found.probability_of_default is None:
                failed.append((row.number, _UNKNOWN, answer.request))
            else:
                pd = found.probability_of_default
                scored.append((row.entity, found.score, pd, answer.request))
    watch(len(rows), len(rows))
    write_csv(errors, ("row", "reason", "request"), sorted(failed))
    write_csv(out, ("id", "score", "probability_of_default", "request"), scored)
    return JointOutcome(
        len(scored), len(failed), str(errors), tuple(requests), model, at_home
    )


def _request(rows: Sequence[_Row], question: Question, model: str) -> dict[str, object]:
    request: dict[str, object] = {
        "entities": [{"type": row.kind, "id": row.entity} for row in rows],
        "purpose": question.purpose,
        "consent": question.consent,
    }
    named = {"model": model, "holder": question.holder}
    return {**request, **{name: value for name, value in named.items() if value}}


def _read(borrowers: Borrowers, failed: list[tuple[int, str]]) -> Iterator[_Row]:
    """Yield the rows that can be asked about; enter the others in ``failed``."""
    id_column, type_column = borrowers.id_column, borrowers.type_column
    columns = [id_column] if type_column is None else [id_column, type_column]
    remedy = "Name another by --id-column or --type-column"
    origin = CommandOrigin("", str(borrowers.path), remedy)
    number = 0
    seen: dict[str, int] = {}
    with encoding_named():
        for chunk in read_csv(borrowers.path, borrowers.encoding, columns, origin):
            ids = chunk[id_column]
            one = [borrowers.id_type] * len(ids)
            words = one if type_column is None else chunk[type_column]
            for word, entity in zip(words, ids, strict=True):
                number += 1
                try:
                    row = _Row(number, _kind(str(word)), str(entity))
                    first = seen.setdefault(_checked(row), number)
                except EntityIdError as error:
                    failed.append((number, error.what))
                    continue
                if first == number:
                    yield row
                else:
                    failed.append((number, f"the same entity stands in row {first}"))


def _kind(word: str) -> EntityKind:
    try:
        return EntityKind(word.strip())
    except ValueError as error:
        known = ", ".join(EntityKind)
        raise EntityIdError(f"{word!r} is no type of id; known are {known}") from error


def _checked(row: _Row) -> str:
    """Return the one spelling of an id that the node will take."""
    if len(row.entity) > _LONGEST_ID:
        raise EntityIdError(f"the id is over {_LONGEST_ID} characters long")
    return normalise(row.kind, row.entity)
