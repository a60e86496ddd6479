"""Scoring a file of applicants by a form, through the running node.

Applicants need no id: rows are numbered, from 1. The output has one row a scored
applicant, which names its request; rows that the form has no input for are listed with
the reason in a second file. Both are for this institution's eyes: only their owner can
read them. Each appears whole or not at all, after everything was asked.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from veilscore.models.binning import CategoricalBins
from veilscore.models.errors import DataError
from veilscore.models.hosted import Applicant, Feature, Form, OneHot, Value
from veilscore.node.command_files import (
    CommandOrigin,
    Encoding,
    Outcome,
    Watch,
    encoding_named,
    errors_beside,
)
from veilscore.node.hosting.form_file import encode
from veilscore.node.local import LocalNode
from veilscore.node.scoring.settings import Purpose
from veilscore.node.sources.cells import number_of, text_of
from veilscore.node.sources.csv_file import read_csv, write_csv


@dataclass(frozen=True, slots=True)
class Applicants:
    """A CSV file with a column for every feature of the form."""

    path: Path
    encoding: Encoding


@dataclass(frozen=True, slots=True)
class HostedQuestion:
    """What is asked about them."""

    form: Form
    purpose: Purpose
    consent: str
    at_once: int  # applicants in one request


def score_applicants(
    node: LocalNode,
    applicants: Applicants,
    question: HostedQuestion,
    out: Path,
    watch: Watch,
) -> Outcome:
    """Score every row that the form has an input for.

    Raises ConfigError for an output that cannot be written and SourceError for a file
    that cannot be read, both before anything is asked; else what the node refuses.
    """
    errors = errors_beside(out, applicants.path)
    failed: list[tuple[int, str]] = []
    rows = list(read_applicants(applicants, question.form, failed))
    scored: list[tuple[int, int | float, str]] = []
    requests: list[str] = []
    for start in range(0, len(rows), question.at_once):
        watch(start, len(rows))
        part = rows[start : start + question.at_once]
        answer = node.hosted_scores(_request([row for _, row in part], question))
        requests.append(answer.request)
        scored += [
            (number, score, answer.request)
            for (number, _), score in zip(part, answer.scores, strict=True)
        ]
    watch(len(rows), len(rows))
    write_csv(errors, ("row", "reason"), failed)
    write_csv(out, ("row", "score", "request"), scored)
    return Outcome(len(scored), len(failed), str(errors), tuple(requests))


def read_applicants(
    applicants: Applicants, form: Form, failed: list[tuple[int, str]]
) -> Iterator[tuple[int, Applicant]]:
    """Yield rows that can be asked about and their numbers; enter others in ``failed``.

    Raises SourceError for a file that cannot be read.
    """
    names = [feature.name for feature in form.features]
    remedy = "The form needs one column of that name; the file has"
    origin = CommandOrigin("", str(applicants.path), remedy)
    number = 0
    with encoding_named():
        for chunk in read_csv(applicants.path, applicants.encoding, names, origin):
            for cells in zip(*(chunk[name] for name in names), strict=True):
                number += 1
                try:
                    row = _read(form, dict(zip(names, cells, strict=True)))
                except DataError as error:
                    failed.append((number, f"{error.place}: {error.what}"))
                else:
                    yield number, row


def _read(form: Form, cells: Mapping[str, object]) -> Applicant:
    row = {each.name: _value(each, cells[each.name]) for each in form.features}
    form.fill_in(row)  # raises what the node would
    return row


def _value(feature: Feature, cell: object) -> Value:
    if isinstance(feature, OneHot) and isinstance(feature.bins, CategoricalBins):
        return text_of(cell) or None
    try:
        number = number_of(cell)
    except ValueError as error:
        raise DataError("a number is expected", place=feature.name) from error
    return None if math.isnan(number) else number  # which stands for missing


def _request(
    applicants: Sequence[Applicant], question: HostedQuestion
) -> dict[str, object]:
    return {
        "form": encode(question.form).decode(),
        "applicants": applicants,
        "purpose": question.purpose,
        "consent": question.consent,
    }
