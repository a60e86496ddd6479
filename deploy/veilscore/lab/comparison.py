"""Ask for joint scores and compare each with the plain sum of all cards.

The lab may hold the cards of several parties side by side because it plays all of
their operators; each one exports its own with ``veilscore node card``.
"""

import csv
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from veilscore.keys.entity_ids import EntityKind, normalise
from veilscore.lab.enrolment import Member
from veilscore.lab.outcome import ClearSteps, ScoreOutcome
from veilscore.lab.plain import PlainTable, plain_scores
from veilscore.lab.processes import veilscore
from veilscore.models import card_file
from veilscore.models.scorecard import Card

_SCORING_S = 1800.0
_PER_QUERY = 1000  # as ``veilscore score`` asks
_PD_TOLERANCE = 1e-9

Entity = tuple[EntityKind, str]


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back for one entity."""

    score: int
    probability_of_default: float


def export_card(member: Member, model: str) -> Card:
    """Return a party's card of a model, as its own operator may read it."""
    out = member.folder / "exported.card"
    veilscore(
        *("node", "card", "--config", member.config, "--model", model, "--out", out),
        party=member.name,
    )
    return card_file.decode(out.read_bytes())


def score_and_compare(
    requester: Member,
    model: str,
    asked: Sequence[Entity],
    cards: Mapping[str, Card],
    tables: Mapping[str, PlainTable],
    holder: str = "",
) -> ScoreOutcome:
    """Let the requester ask for these entities' scores; compare every answer.

    Of a whole model ``holder`` alone is asked, and ``cards`` holds its card alone.
    """
    began = time.monotonic()
    answers = ask(requester, model, asked, holder)
    seconds = time.monotonic() - began
    answered = [entity for entity in asked if entity[1] in answers]
    mismatches, example = compare(
        [normalise(kind, entity) for kind, entity in answered],
        [answers[entity] for _, entity in answered],
        cards,
        tables,
    )
    queries = -(-len(asked) // _PER_QUERY)
    return ScoreOutcome(
        len(asked), len(answered), queries, mismatches, seconds, example
    )


def ask(
    member: Member, model: str, entities: Sequence[Entity], holder: str = ""
) -> dict[str, Answer]:
    """Return the scores by id, as ``veilscore score`` writes them."""
    borrowers, scores = member.folder / "borrowers.csv", member.folder / "scores.csv"
    write_borrowers(borrowers, entities)
    veilscore(
        *("score", "--config", member.config, "--csv", borrowers, "--out", scores),
        *("--type-column", "id_type", "--model", model),
        *("--purpose", "pre_loan", "--consent", "lab"),
        *(("--holder", holder) if holder else ()),
        party=member.name,
        timeout_s=_SCORING_S,
    )
    return read_answers(scores)


def write_borrowers(path: Path, entities: Sequence[Entity]) -> None:
    """Write the file that a bank asks about."""
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(("id", "id_type"))
        writer.writerows((entity, kind) for kind, entity in entities)


def read_answers(path: Path) -> dict[str, Answer]:
    """Return the joint scores in a file that ``veilscore score`` wrote, by id."""
    with path.open(encoding="utf-8", newline="") as file:
        return {
            line["id"]: Answer(
                int(line["score"]), float(line["probability_of_default"])
            )
            for line in csv.DictReader(file)
        }


def compare(
    entities: Sequence[str],
    answers: Sequence[Answer],
    cards: Mapping[str, Card],
    tables: Mapping[str, PlainTable],
) -> tuple[int, ClearSteps]:
    """Return how many answers differ from the plain sum, and one step by step.

    ``entities`` are normalised ids in the order of ``answers``. The one shown is the
    median of the entities that all parties know.
    """
    partials = plain_scores(cards, tables, entities)
    total = np.sum([*partials.values()], axis=0)
    scale = next(iter(cards.values())).scale
    expected = scale.default_probability(total.astype(np.float64))
    decrypted = np.array([answer.score for answer in answers])
    given = np.array([answer.probability_of_default for answer in answers])
    wrong = (decrypted != total) | (np.abs(given - expected) > _PD_TOLERANCE)

    known = np.all([tables[party].find(entities) >= 0 for party in cards], axis=0)
    shared = np.flatnonzero(known) if known.any() else np.arange(len(entities))
    shown = shared[np.argsort(total[shared], kind="stable")[len(shared) // 2]]
    return int(wrong.sum()), ClearSteps(
        partials={party: int(points[shown]) for party, points in partials.items()},
        total=int(total[shown]),
        decrypted=int(decrypted[shown]),
        probability_of_default=float(given[shown]),
    )
