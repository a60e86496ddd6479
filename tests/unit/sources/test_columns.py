"""A holder's table in memory is frozen, indexed, and shows nothing of itself."""

import numpy as np
import pytest

from veilscore.models.binning import fit_categorical
from veilscore.node.columns import CategoryColumn, Columns, NumericColumn
from veilscore.node.entities import Entities


@pytest.fixture
def columns() -> Columns:
    return Columns(
        ids=Entities.of(("X:a", "X:b", "X:c")),
        features=(
            NumericColumn("x", np.array([1.0, np.nan, 3.0])),
            CategoryColumn("c", np.array([0, -1, 1], np.int32), ("p", "q")),
        ),
        labels=np.array([0, 1, -1], np.int8),
        holdout=np.array([True, False, False]),
    )


def test_entities_are_found_and_taken_in_order(columns: Columns) -> None:
    taken = columns.take(columns.index().rows(["X:c", "X:a", "X:c"]))
    x, c = taken.features
    assert isinstance(x, NumericColumn)
    assert isinstance(c, CategoryColumn)
    assert tuple(taken.ids) == ("X:c", "X:a", "X:c")
    assert x.values.tolist() == [3.0, 1.0, 3.0]
    assert c.codes.tolist() == [1, 0, 1]
    assert c.levels == ("p", "q")
    assert taken.labels.tolist() == [-1, 0, -1]
    assert taken.holdout.tolist() == [False, True, False]
    assert len(columns.take([])) == 0


@pytest.mark.parametrize("row", [-1, 3])
def test_a_row_outside_the_table_is_an_error(columns: Columns, row: int) -> None:
    with pytest.raises(IndexError):
        columns.take([row])


def test_no_array_can_be_written(columns: Columns) -> None:
    x, c = columns.features
    assert isinstance(x, NumericColumn)
    assert isinstance(c, CategoryColumn)
    for array in (x.values, c.codes, columns.labels, columns.holdout):
        with pytest.raises(ValueError, match="read-only"):
            array[0] = 1


def test_repr_shows_sizes_only(columns: Columns) -> None:
    assert repr(columns) == "Columns(3 entities, 2 features)"
    assert "3.0" not in repr(columns.features[0])
    assert "'p'" not in repr(columns.features[1])


def test_levels_are_cut_as_their_texts_are() -> None:
    levels = ("a", "b", "rare", "unused")
    codes = np.repeat(np.array([-1, 0, 1, 2], np.int32), [30, 400, 300, 2])
    column = CategoryColumn("c", np.random.default_rng(1).permutation(codes), levels)
    bins, found = column.cut()
    assert bins == fit_categorical(column.texts(), column="c")
    assert bins.labels() == ("missing", "= a", "= b", "other")
    np.testing.assert_array_equal(found, bins.apply(column.texts()))
    assert np.bincount(found).tolist() == [30, 400, 300, 2]
