"""The same table gives the same columns from CSV, Parquet and a database."""

import gzip
import sqlite3
import sys
from decimal import Decimal
from importlib import import_module
from pathlib import Path

import numpy as np
import pytest

from veilscore.node.columns import CategoryColumn, Columns, NumericColumn
from veilscore.node.errors import SourceError
from veilscore.node.sources.loading import load_columns
from veilscore.node.sources.origin import CHUNK_ROWS, Origin
from veilscore.node.sources.settings import SourceSettings
from veilscore.runtime.settings import Settings, load

CONTRACT = """
[source.id]
column = "编号"
type = "opaque"
[[source.feature]]
column = "amount"
kind = "numeric"
missing = ["-1"]
[[source.feature]]
column = "行业"
kind = "categorical"
[source.label]
column = "y"
"""
ROWS: list[tuple[str, float | None, str | None, int | None]] = [
    ("甲", 1.5, "01", 0),
    ("乙", None, "02", 1),
    ("丙", -1.0, None, None),
]
HEADER = ("编号", "amount", "行业", "y", "unused")


class File(Settings):
    source: SourceSettings


def declared(folder: Path, source: str) -> Columns:
    path = folder / "node.toml"
    path.write_text(f"[source]\n{source}\n{CONTRACT}", encoding="utf-8")
    return load_columns(load(path, File).source, "局")


def refused(folder: Path, source: str) -> SourceError:
    with pytest.raises(SourceError) as caught:
        declared(folder, source)
    assert caught.value.party == "局"
    assert caught.value.remedy
    return caught.value


def as_csv() -> str:
    lines = [",".join(HEADER)]
    lines += [
        ",".join("" if cell is None else str(cell) for cell in (*row, "u"))
        for row in ROWS
    ]
    return "\r\n".join(lines) + "\r\n"


def check(columns: Columns) -> None:
    assert sorted(columns.ids) == ["X:丙", "X:乙", "X:甲"]
    at = columns.index().rows([f"X:{row[0]}" for row in ROWS])
    amount, industry = columns.take(at).features
    assert isinstance(amount, NumericColumn)
    assert isinstance(industry, CategoryColumn)
    np.testing.assert_array_equal(amount.values, [1.5, np.nan, np.nan])
    assert industry.levels == ("01", "02")
    assert industry.codes.tolist() == [0, 1, -1]
    assert columns.labels[at].tolist() == [0, 1, -1]


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "gb18030"])
def test_csv(tmp_path: Path, encoding: str) -> None:
    (tmp_path / "t.csv").write_text(as_csv(), encoding=encoding, newline="")
    setting = "\nencoding = 'gb18030'" if encoding == "gb18030" else ""
    check(declared(tmp_path, f"csv = 't.csv'{setting}"))


def test_gzipped_csv(tmp_path: Path) -> None:
    packed = gzip.compress(as_csv().encode())
    (tmp_path / "t.csv.gz").write_bytes(packed)
    check(declared(tmp_path, "csv = 't.csv.gz'"))
    (tmp_path / "t.csv.gz").write_bytes(packed[:-9])
    assert "cannot be read" in refused(tmp_path, "csv = 't.csv.gz'").what
    (tmp_path / "t.csv.gz").write_text(as_csv())
    assert "cannot be read" in refused(tmp_path, "csv = 't.csv.gz'").what


def test_a_wrong_encoding_names_the_other_one(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text(as_csv(), encoding="gb18030")
    error = refused(tmp_path, "csv = 't.csv'")
    assert "is not utf-8 text" in error.what
    assert 'encoding = "gb18030"' in error.remedy


def test_a_missing_or_unreadable_file(tmp_path: Path) -> None:
    error = refused(tmp_path, "csv = 'none.csv'")
    assert error.what == "the file does not exist"
    assert str(tmp_path / "none.csv") in error.place
    (tmp_path / "folder").mkdir()
    assert "cannot be read" in refused(tmp_path, "csv = 'folder'").what


def test_chunks_join_seamlessly(tmp_path: Path) -> None:
    count = CHUNK_ROWS + 3
    rows = (f"{at},{at},{at % 3},{at % 2}\n" for at in range(count))
    (tmp_path / "t.csv").write_text("编号,amount,行业,y\n" + "".join(rows))
    columns = declared(tmp_path, "csv = 't.csv'")
    amount = columns.features[0]
    assert isinstance(amount, NumericColumn)
    assert amount.values.tolist() == list(range(count))
    with (tmp_path / "t.csv").open("a") as file:
        file.write("last,word,1,1\n")
    error = refused(tmp_path, "csv = 't.csv'")
    assert error.place.endswith(f"data row {count + 1}")


def write_parquet(path: Path, **cells: list[object]) -> None:
    table = import_module("pyarrow").table(cells)
    import_module("pyarrow.parquet").write_table(table, path)


def test_parquet(tmp_path: Path) -> None:
    ids, amounts, industries, labels = zip(*ROWS, strict=True)
    write_parquet(
        tmp_path / "t.parquet",
        编号=list(ids),
        amount=[None if a is None else Decimal(str(a)) for a in amounts],
        行业=list(industries),
        y=[float("nan") if y is None else float(y) for y in labels],
    )
    check(declared(tmp_path, "parquet = 't.parquet'"))


def test_typed_codes_read_like_text(tmp_path: Path) -> None:
    write_parquet(
        tmp_path / "t.parquet",
        编号=[509901, 509902, 509903],
        amount=[1, 2, -1],
        行业=[3.0, float("nan"), 4.0],
        y=[True, False, None],
    )
    columns = declared(tmp_path, "parquet = 't.parquet'")
    industry = columns.features[1]
    assert isinstance(industry, CategoryColumn)
    assert tuple(columns.ids) == ("X:509901", "X:509902", "X:509903")
    assert industry.levels == ("3", "4")
    assert columns.labels.tolist() == [1, 0, -1]


def test_ids_as_floating_point_are_refused(tmp_path: Path) -> None:
    write_parquet(
        tmp_path / "t.parquet", 编号=[5.0, 6.0], amount=[1, 2], 行业=[1, 2], y=[0, 1]
    )
    error = refused(tmp_path, "parquet = 't.parquet'")
    assert "lose digits" in error.what
    assert error.place.endswith("data row 1")


def test_parquet_refusals(tmp_path: Path) -> None:
    assert "does not exist" in refused(tmp_path, "parquet = 'none'").what
    (tmp_path / "t.parquet").write_bytes(b"PAR1 no PAR1")
    assert "as Parquet" in refused(tmp_path, "parquet = 't.parquet'").what
    write_parquet(tmp_path / "t.parquet", 编号=["a"], amuont=[1], 行业=["1"], y=[0])
    error = refused(tmp_path, "parquet = 't.parquet'")
    assert "did you mean `amuont`?" in error.what


def test_parquet_without_its_package(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    error = refused(tmp_path, "parquet = 't.parquet'")
    assert "pyarrow, which is not installed" in error.what
    assert "veilscore[parquet]" in error.remedy


def write_sqlite(path: Path) -> None:
    with sqlite3.connect(path) as connection:
        connection.execute(
            'CREATE TABLE "loan book" ("编号" TEXT, amount NUMERIC, "行业" TEXT, '
            "y INTEGER, unused DATE)"
        )
        connection.executemany(
            "INSERT INTO \"loan book\" VALUES (?, ?, ?, ?, 'no date')", ROWS
        )
    connection.close()


SQLITE = "sql = 'sqlite:///t.db'\ntable = 'loan book'"


def test_a_database_beside_the_file(tmp_path: Path) -> None:
    write_sqlite(tmp_path / "t.db")
    before = (tmp_path / "t.db").read_bytes()
    check(declared(tmp_path, SQLITE))
    assert (tmp_path / "t.db").read_bytes() == before
    check(declared(tmp_path, SQLITE.replace("loan book", "main.loan book")))


def test_a_database_in_a_folder_of_any_name(tmp_path: Path) -> None:
    folder = tmp_path / "数据 #1 %41"
    folder.mkdir()
    write_sqlite(folder / "t.db")
    check(declared(folder, SQLITE))


def test_a_missing_database_is_not_created(tmp_path: Path) -> None:
    error = refused(tmp_path, SQLITE)
    assert "cannot be opened" in error.what
    assert "t.db" in error.place
    assert [path.name for path in tmp_path.iterdir()] == ["node.toml"]


def test_a_missing_table_or_column(tmp_path: Path) -> None:
    write_sqlite(tmp_path / "t.db")
    error = refused(tmp_path, SQLITE.replace("loan book", "loans"))
    assert "table does not exist" in error.what
    assert "table `loans`" in error.place
    with sqlite3.connect(tmp_path / "t.db") as connection:
        connection.execute('ALTER TABLE "loan book" RENAME amount TO amounts')
    connection.close()
    error = refused(tmp_path, SQLITE)
    assert "did you mean `amounts`?" in error.what


def test_a_cell_the_driver_cannot_read_is_not_quoted(tmp_path: Path) -> None:
    write_sqlite(tmp_path / "t.db")
    with sqlite3.connect(tmp_path / "t.db") as connection:
        connection.execute(
            "UPDATE \"loan book\" SET 编号 = CAST(x'736563726574ff' AS TEXT)"
        )
    connection.close()
    error = refused(tmp_path, SQLITE)
    assert "OperationalError" in error.what
    assert "secret" not in str(error)
    assert error.__cause__ is None


@pytest.mark.parametrize(
    ("url", "what"),
    [
        ("no url", "not a database URL"),
        ("postgresql://reader@host:hunter2/db", "not a database URL"),
        ("nosuch://reader@host/db", "no driver for nosuch"),
        ("postgresql+psycopg2://reader@host/db", "no driver for postgresql+psycopg2"),
    ],
)
def test_a_url_nobody_can_open(tmp_path: Path, url: str, what: str) -> None:
    error = refused(tmp_path, f"sql = '{url}'\ntable = 't'")
    assert what in error.what
    assert "hunter2" not in str(error)


def test_a_password_belongs_into_a_file(tmp_path: Path) -> None:
    source = "sql = 'nosuch://reader:hunter2@host/db?key=hunter3'\ntable = 't'"
    error = refused(tmp_path, source)
    assert "holds a password" in error.what
    assert "password_file" in error.remedy
    assert "reader:***@host" in error.place
    assert "hunter" not in str(error)
    source = source.replace(":hunter2", "") + "\npassword_file = 'pw'"
    assert "password file" in refused(tmp_path, source).what
    (tmp_path / "pw").write_text("hunter4\n")
    (tmp_path / "pw").chmod(0o640)
    error = refused(tmp_path, source)
    assert "other users of this machine" in error.what
    assert "chmod 600" in error.remedy
    (tmp_path / "pw").chmod(0o600)
    error = refused(tmp_path, source)
    assert "no driver" in error.what
    assert "hunter" not in str(error)
    settings = load(tmp_path / "node.toml", File)
    assert "hunter" not in repr(settings)


def test_an_origin_names_party_source_column_and_row() -> None:
    error = Origin("bank", "t.csv").error("is odd", "Fix it", column="x", row=7)
    assert str(error) == "bank, t.csv, column `x`, data row 7: is odd. Remedy: Fix it"
