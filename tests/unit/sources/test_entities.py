"""Ids without Python objects: what a tuple and a dict of them would say."""

from collections import Counter
from collections.abc import Iterable

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from numpy.typing import NDArray

from veilscore.node import entities
from veilscore.node.entities import Entities, EntityIndex

IDS = ["X:农户 17", "X:", "R:11010519491231002X", "X:\0", "X:\0\0", "X:\ud800", "U:é"]
TEXTS = st.lists(st.text(st.characters(codec=None), max_size=6), max_size=30)


@given(TEXTS)
@example(IDS)
def test_ids_are_what_they_were(ids: list[str]) -> None:
    held = Entities.of(ids)
    assert list(held) == ids
    assert [held[row] for row in range(len(ids))] == ids
    assert [held[row - len(ids)] for row in range(len(ids))] == ids
    assert list(held[1::2]) == ids[1::2]
    encoded = [entity.encode(errors="surrogatepass") for entity in ids]
    assert [held.encoded(row) for row in range(len(ids))] == encoded
    for cut in range(len(ids)):
        parts = (Entities.of(ids[:cut]), Entities.of([]), Entities.of(ids[cut:]))
        assert list(Entities.joined(parts)) == ids


@given(TEXTS, st.lists(st.text(max_size=6), max_size=9))
@example(IDS, ["X:\0\0\0", "X:农户"])
def test_lookup_equals_that_of_a_dict(ids: list[str], others: list[str]) -> None:
    once = list(dict.fromkeys(ids))
    rows = {entity: row for row, entity in enumerate(once)}
    asked = [*others, *once[::-1], *once]
    found = EntityIndex(Entities.of(once)).rows(asked)
    assert found.tolist() == [rows.get(entity, -1) for entity in asked]


def by_length(ids: Iterable[bytes], count: int) -> NDArray[np.uint64]:
    """Hash as badly as can be."""
    return np.fromiter(map(len, ids), np.uint64, count)


@pytest.mark.parametrize("badly", [False, True])
def test_repeats_and_rows_are_found_whatever_the_hash(
    monkeypatch: pytest.MonkeyPatch, *, badly: bool
) -> None:
    if badly:
        monkeypatch.setattr(entities, "_hashes", by_length)
    rng = np.random.default_rng(3)
    for _ in range(200):
        ids = [f"X:{number}" for number in rng.integers(0, 40, rng.integers(0, 25))]
        seen: dict[str, int] = {}
        repeats = [
            (seen[entity], row)
            for row, entity in enumerate(ids)
            if seen.setdefault(entity, row) != row
        ]
        index = EntityIndex(Entities.of(ids))
        expected = repeats[0] if repeats else (0, 0)
        assert index.repeats() == (len(repeats), expected)
        known = {entity for entity, count in Counter(ids).items() if count}
        rows = index.rows([f"X:{number}" for number in range(50)])
        assert {ids[row] for row in rows.tolist() if row >= 0} == known


def test_more_ids_than_are_handled_at_once() -> None:
    ids = [f"X:{number}" for number in range(70_000)]
    held = Entities.of(ids)
    assert list(held.take(range(0, 70_000, 7_777))) == ids[::7_777]
    index = EntityIndex(held)
    assert index.rows(ids[65_500:65_600]).tolist() == list(range(65_500, 65_600))
    twice = EntityIndex(Entities.joined([held, held[5:7]]))
    assert twice.repeats() == (2, (5, 70_000))


@pytest.mark.parametrize("row", [3, -4])
def test_no_row_beyond_the_last(row: int) -> None:
    with pytest.raises(IndexError):
        Entities.of("abc")[row]


def test_repr_shows_no_id() -> None:
    assert repr(Entities.of(["X:secret"])) == "Entities(1)"
    assert "secret" not in repr(EntityIndex(Entities.of(["X:secret"])))
