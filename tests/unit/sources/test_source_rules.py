"""A table that breaks its contract is refused with one error that repeats no cell."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from veilscore.keys.entity_ids import complete_resident, complete_uscc
from veilscore.models.errors import DataError
from veilscore.node.columns import CategoryColumn, Columns, NumericColumn
from veilscore.node.errors import SourceError
from veilscore.node.sources.loading import load_columns
from veilscore.node.sources.settings import SourceSettings

Declaration = dict[str, object]
LABELLED: Declaration = {
    "id": {"column": "id", "type": "opaque"},
    "feature": [
        {"column": "x", "kind": "numeric", "missing": ["-1", "NA"]},
        {"column": "c", "kind": "categorical", "missing": ["?"]},
    ],
    "label": {"column": "y", "holdout_column": "test"},
}
PLAIN: Declaration = {
    "id": {"column": "id", "type": "opaque"},
    "feature": [{"column": "x", "kind": "numeric"}],
}


@pytest.fixture
def load(tmp_path: Path) -> Callable[[Declaration, str], Columns]:
    def loaded(declaration: Declaration, text: str) -> Columns:
        path = tmp_path / "loans.csv"
        path.write_text(text, encoding="utf-8")
        # Not strict: what a settings file says is Python data here.
        source = SourceSettings.model_validate(
            {**declaration, "csv": path}, strict=False
        )
        return load_columns(source, "bank-a")

    return loaded


Load = Callable[[Declaration, str], Columns]


def refused(load: Load, declaration: Declaration, text: str) -> SourceError:
    with pytest.raises(SourceError) as caught:
        load(declaration, text)
    error = caught.value
    assert error.party == "bank-a"
    assert "loans.csv" in error.place
    assert error.remedy
    return error


def table(*rows: str) -> str:
    return "id,x,c,y,test\n" + "\n".join(rows) + "\n"


GOOD = ("a,1,01,0,0", "b,2.5,02,1,0", "c,-1,?,,0", "d,NA,01,0,1", "e,,02,1,1")


def test_cells_become_arrays(load: Load) -> None:
    columns = load(LABELLED, table(*GOOD))
    x, c = columns.features
    assert isinstance(x, NumericColumn)
    assert isinstance(c, CategoryColumn)
    assert tuple(columns.ids) == ("X:a", "X:b", "X:c", "X:d", "X:e")
    np.testing.assert_array_equal(x.values, [1, 2.5, np.nan, np.nan, np.nan])
    assert c.levels == ("01", "02")  # leading zeros are kept
    assert c.codes.tolist() == [0, 1, -1, 0, 1]
    assert columns.labels.tolist() == [0, 1, -1, 0, 1]
    assert columns.holdout.tolist() == [False, False, False, True, True]
    assert columns.rejected == ()


def test_a_holder_without_labels_has_none(load: Load) -> None:
    columns = load(PLAIN, "id,x\na,1\nb,2\n")
    assert columns.labels.tolist() == [-1, -1]
    assert not columns.holdout.any()


def test_a_numeric_missing_code_is_a_number_however_written(load: Load) -> None:
    rows = ("a,-1.0,01,0,0", "b, -1 ,01,1,0", "c,3,02,0,1", "d,4,02,1,1")
    x = load(LABELLED, table(*rows)).features[0]
    assert isinstance(x, NumericColumn)
    np.testing.assert_array_equal(x.values, [np.nan, np.nan, 3, 4])


@given(
    values=st.lists(
        st.none() | st.floats(-1e300, 1e300),
        min_size=2,
        max_size=50,
    ).filter(lambda values: len({v for v in values if v is not None} - {-1.0}) > 1)
)
@settings(max_examples=50, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_numbers_survive_exactly(load: Load, values: list[float | None]) -> None:
    rows = "".join(
        f"{at},{'' if value is None else repr(value)}\n"
        for at, value in enumerate(values)
    )
    x = load(PLAIN, "id,x\n" + rows).features[0]
    assert isinstance(x, NumericColumn)
    expected = [np.nan if value is None else value for value in values]
    np.testing.assert_array_equal(x.values, expected)


def test_ids_are_normalised_and_bad_ones_listed(load: Load) -> None:
    firm = complete_uscc("9151000012345678")
    person = complete_resident("50990119700101001")
    wrong = f"{person[:16]}{(int(person[16]) + 1) % 10}{person[17]}"
    declaration: Declaration = {
        "id": {"column": "id", "type_column": "kind", "max_rejected_share": 0.6},
        "feature": [{"column": "x", "kind": "numeric"}],
    }
    columns = load(
        declaration,
        f"id,kind,x\n {firm.lower()},uscc,1\n{wrong},resident,2\n"
        f"{person[:6]} {person[6:]},resident,3\n{firm},passport,4\n",
    )
    assert tuple(columns.ids) == (f"U:{firm}", f"R:{person}")
    assert [reject.row for reject in columns.rejected] == [2, 4]
    assert "check digit" in columns.rejected[0].reason
    assert "type" in columns.rejected[1].reason
    for reject in columns.rejected:
        assert wrong not in repr(reject)
        assert firm not in repr(reject)
    x = columns.features[0]
    assert isinstance(x, NumericColumn)
    assert x.values.tolist() == [1, 3]


def test_too_many_bad_ids_refuse_the_table(load: Load) -> None:
    declaration: Declaration = {**PLAIN, "id": {"column": "id", "type": "uscc"}}
    error = refused(load, declaration, "id,x\nabc,1\nabd,2\n")
    assert "2 of 2 rows have no valid id" in error.what
    assert "the first is row 1" in error.what
    assert "abc" not in str(error)


def test_duplicates_after_normalisation_name_two_rows_and_no_id(load: Load) -> None:
    wide = "key1".translate({ord(sign): ord(sign) + 0xFEE0 for sign in "key1"})
    error = refused(load, PLAIN, f"id,x\nkey1,1\nkey2,2\n{wide},3\nkey1,4\n")
    assert "2 ids are there already" in error.what
    assert "data rows 1 and 3" in error.what
    assert "key1" not in str(error)


def test_row_numbers_of_duplicates_count_rejected_rows(load: Load) -> None:
    declaration: Declaration = {
        **PLAIN,
        "id": {"column": "id", "type": "opaque", "max_rejected_share": 0.5},
    }
    error = refused(load, declaration, "id,x\na,1\n  ,2\na,3\n")
    assert "data rows 1 and 3" in error.what


@pytest.mark.parametrize(
    ("text", "what", "place"),
    [
        ("", "the file is empty", ""),
        ("id,x,c,y,test\n", "the table has no rows", ""),
        ("id,x,c,Y1,test\na,1,1,1,0\n", "not there", "`y`"),
        ("id,x,c,y,tset\na,1,1,1,0\n", "(did you mean `tset`?)", "`test`"),
        ("id,x,x,c,y,test\na,1,1,1,1,0\n", "more than once", "`x`"),
        (table(*GOOD, "f,secret,01,1,0"), "not a finite number", "`x`, data row 6"),
        (table(*GOOD, "f,inf,01,1,0"), "not a finite number", "`x`, data row 6"),
        (table(*GOOD, "f,nan,01,1,0"), "not a finite number", "`x`, data row 6"),
        (table(*GOOD, "f,1_0,01,1,0"), "not a finite number", "`x`, data row 6"),
        (table(*GOOD, "f,3,01,2,0"), "neither 0 nor 1", "`y`, data row 6"),
        (table(*GOOD, "f,3,01,bad,0"), "neither 0 nor 1", "`y`, data row 6"),
        (table(*GOOD, "f,3,01,1,x"), "neither 0 nor 1", "`test`, data row 6"),
        (table(*GOOD, "f,3,01,1"), "4 cells and the header has 5", "data row 6"),
        (table("a,1,1,0,0", "b,2,2,0,0"), "trained on have 2 good and 0 bad", "`y`"),
        (table("a,1,1,,0", "b,2,2,,0"), "0 good and 0 bad", "`y`"),
        (table(*GOOD[:4]), "held out have 1 good and 0 bad", "`y`"),
        (table("a,7,1,0,0", "b,7.0,2,1,0"), "the same value", "`x`"),
        (table("a,1,1,0,0", "b,2,1,1,0"), "the same value", "`c`"),
        (table(*GOOD, "f,-1e301,01,1,0"), "beyond 1e+300", "`x`, data row 6"),
        (table("a,NA,1,0,0", "b,-1,2,1,0"), "every cell of the column", "`x`"),
        (table("a,1,?,0,0", "b,2,,1,0"), "every cell of the column", "`c`"),
        (table(*GOOD, 'f,1,"open,1,0'), "not CSV", ""),
    ],
)
def test_every_breach_is_named(load: Load, text: str, what: str, place: str) -> None:
    error = refused(load, LABELLED, text)
    assert what in error.what
    assert place in error.place
    assert "secret" not in str(error)


@pytest.mark.parametrize(
    ("kind", "cells"),
    [
        ("numeric", ["5"] * 999 + ["7"]),
        ("numeric", ["5"] * 995 + ["6", "7", "8", "9", "10"]),
        ("categorical", [str(number) for number in range(1000)]),
    ],
)
def test_a_column_that_one_run_could_not_use_another_may(
    load: Load, kind: str, cells: list[str]
) -> None:
    """As of all firms few have a loan, and of the rows of a run a third."""
    declaration: Declaration = {
        "id": {"column": "id", "type": "opaque"},
        "feature": [{"column": "x", "kind": kind}],
    }
    text = "id,x\n" + "\n".join(f"{at},{cell}" for at, cell in enumerate(cells))
    (column,) = load(declaration, text).features
    with pytest.raises(DataError, match="fall into one bin"):
        column.cut()
    few = np.arange(len(cells) - 10, len(cells))
    assert column.take(few).cut()


def test_a_column_is_not_constant_while_some_cells_are_missing(load: Load) -> None:
    rows = ("a,7,1,0,0", "b,,2,1,0")
    assert len(load(LABELLED, table(*rows))) == 2


def test_blank_lines_do_not_count(load: Load) -> None:
    error = refused(load, PLAIN, "\nid,x\n\na,1\n\nb,two\n\n")
    assert error.place.endswith("data row 2")


def test_the_hash_holdout_ignores_order_and_other_rows(load: Load) -> None:
    declaration: Declaration = {
        **PLAIN,
        "label": {"column": "y", "holdout_share": 0.3},
    }
    rows = [f"{at},{at},{at % 2}" for at in range(400)]
    whole = load(declaration, "id,x,y\n" + "\n".join(rows))
    part = load(declaration, "id,x,y\n" + "\n".join(reversed(rows[:200])))
    assert 0.2 < whole.holdout.mean() < 0.4
    assert part.holdout.tolist() == whole.holdout[:200][::-1].tolist()
