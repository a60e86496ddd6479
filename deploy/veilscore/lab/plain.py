"""Scores in plain sight: every holder's card on every holder's columns, added up.

Only a lab can do this, because it owns all parties. It reads the files with its own
reader and evaluates the cards that each party's operator may export, so that a score
that came through encryption can be compared with the plain sum.
"""

import csv
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from hashlib import blake2b

import numpy as np
from numpy.typing import NDArray

from veilscore.keys.entity_ids import EntityKind, normalise
from veilscore.keys.errors import EntityIdError
from veilscore.lab.holdings import Feature, Holding
from veilscore.models.binning import MISSING, Codes
from veilscore.models.scorecard import Card, Column

Points = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class PlainTable:
    """One holder's file: rows with a valid id only, in the file's order.

    ``labels``: 1 bad, 0 good, -1 none or no label column. ``judging``: 1 where the
    holdout column says so, or the id where there is a share instead.
    """

    written: tuple[tuple[EntityKind, str], ...]  # ids as they stand in the file
    rows: Mapping[str, int]  # by normalised id
    columns: Mapping[str, Column]
    labels: NDArray[np.int8]
    judging: NDArray[np.bool_]
    rejected: int  # rows without a valid id, left out

    def find(self, entities: Sequence[str]) -> NDArray[np.int64]:
        """Return the row of each normalised id, -1 for an entity not known here."""
        return np.array([self.rows.get(entity, -1) for entity in entities], np.int64)

    def codes(self, card: Card, entities: Sequence[str]) -> Codes:
        """Return bin codes, (entities, features); an unknown entity is missing."""
        at = self.find(entities)
        own = card.codes(self.columns)
        codes: Codes = np.full((len(at), own.shape[1]), MISSING, np.uint16)
        codes[at >= 0] = own[at[at >= 0]]
        return codes


def read_table(holding: Holding) -> PlainTable:
    """Read a party's file."""
    with holding.path.open(encoding="utf-8", newline="") as file:
        lines = list(csv.DictReader(file))
    kept: list[dict[str, str]] = []
    written: list[tuple[EntityKind, str]] = []
    rows: dict[str, int] = {}
    judging: list[bool] = []
    for line in lines:
        kind = holding.id_type or EntityKind(line["id_type"])
        try:
            entity = normalise(kind, line["id"])
        except EntityIdError:
            continue  # the node leaves such a row out, too
        rows[entity] = len(kept)
        kept.append(line)
        written.append((kind, line["id"]))
        marked = _digit(line, holding.holdout, 0) == 1
        judging.append(marked or _position(entity) < holding.holdout_share)
    return PlainTable(
        tuple(written),
        rows,
        {each.column: _column(kept, each) for each in holding.features},
        np.array([_digit(line, holding.label, -1) for line in kept], np.int8),
        np.array(judging, np.bool_),
        rejected=len(lines) - len(kept),
    )


def plain_scores(
    cards: Mapping[str, Card],
    tables: Mapping[str, PlainTable],
    entities: Sequence[str],
) -> dict[str, Points]:
    """Return every party's partial score of every entity, shape (entities,) each."""
    return {
        party: card.partial_codes(tables[party].codes(card, entities)).astype(np.int64)
        for party, card in cards.items()
    }


def _column(lines: Sequence[Mapping[str, str]], feature: Feature) -> Column:
    cells = [line[feature.column].strip() for line in lines]
    absent = {"", feature.missing}
    if feature.kind == "categorical":
        return [None if cell in absent else cell for cell in cells]
    return np.array([np.nan if cell in absent else float(cell) for cell in cells])


def _position(entity: str) -> float:
    """Place a normalised id in [0, 1), as nodes do that hold a share out."""
    digest = blake2b(entity.encode(), digest_size=8, person=b"holdout").digest()
    return int.from_bytes(digest) / 2**64


def _digit(line: Mapping[str, str], column: str, absent: int) -> int:
    return int(line[column]) if column and line[column] else absent
