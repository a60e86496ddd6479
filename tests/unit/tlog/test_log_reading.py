"""What everybody may ask of a log costs little, whatever is asked."""

import sqlite3
from collections.abc import Sequence
from contextlib import closing
from itertools import combinations
from typing import Any

import pytest

from tests.unit.tlog.sample_log import SampleLog
from veilscore.keys.errors import ProofError
from veilscore.keys.tlog.database import Database
from veilscore.keys.tlog.reader import LogReader
from veilscore.keys.tlog.tiles import Tile
from veilscore.keys.tlog.tree import leaf_hash


class Explained(Database):
    """A file that says how SQLite answers each question."""

    plans: list[str]

    def rows(
        self, types: Sequence[type], query: str, *bound: object
    ) -> list[tuple[Any, ...]]:
        steps = super().rows(
            (int, int, int, str), f"EXPLAIN QUERY PLAN {query}", *bound
        )
        self.plans.append("; ".join(detail for *_, detail in steps))
        return super().rows(types, query, *bound)


def plan(log: SampleLog, **sought: str | int) -> str:
    database = Explained(log.path, read_only=True)
    database.plans = []
    reader = LogReader(database)
    reader.entries(**sought)  # type: ignore[arg-type] # of this module
    reader.close()
    (found,) = database.plans
    return found


SOUGHT = {
    "actor": "bank",
    "kind": "score_decided",
    "correlation": "0003",
    "before": 40,
}
FILTERS = [
    dict(chosen)
    for count in range(1, len(SOUGHT) + 1)
    for chosen in combinations(SOUGHT.items(), count)
]


@pytest.mark.parametrize("sought", FILTERS, ids=" ".join)
def test_an_index_has_every_answer_in_its_order(
    log: SampleLog, sought: dict[str, str | int]
) -> None:
    log.fill(50, "bank", "bureau")
    found = plan(log, **sought)
    assert "TEMP B-TREE" not in found
    if "correlation" in sought:
        wanted = "INDEX entry_correlation (correlation=?"
    elif {"actor", "kind"} <= {*sought}:
        wanted = "INDEX entry_actor_kind (actor=? AND kind=?"
    elif "actor" in sought:
        wanted = "INDEX entry_actor (actor=?"
    elif "kind" in sought:
        wanted = "INDEX entry_kind (kind=?"
    else:
        wanted = "INTEGER PRIMARY KEY (rowid<?"
    assert wanted in found
    assert ("idx<?" in found or "rowid<?" in found) == ("before" in sought)


def test_a_log_without_the_newer_indexes_gets_them_when_it_is_opened(
    log: SampleLog,
) -> None:
    log.fill(10, "bank")
    log.store.close()
    with closing(sqlite3.connect(log.path)) as file:
        file.execute("DROP INDEX entry_actor").close()
        file.execute("DROP INDEX entry_actor_kind").close()
    log.reopen()
    assert "entry_actor" in plan(log, actor="bank")
    assert len(log.store.entries(actor="bank")) == 10


def test_a_hash_is_found_where_one_begins_only(log: SampleLog) -> None:
    log.fill(300, "bank")
    for index in (0, 7, 255, 256, 299):
        digest = leaf_hash(log.store.entry(index).opened.leaf)
        assert log.store.find_leaf(digest) == index
    data = log.store.tile(Tile(0, 0))
    for at in (1, 31, 33):
        with pytest.raises(ProofError):
            log.store.find_leaf(data[at : at + 32])
