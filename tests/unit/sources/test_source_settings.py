"""A source is declared completely and without contradiction, or not at all."""

from pathlib import Path

import pytest

from veilscore.keys.entity_ids import EntityKind
from veilscore.node.sources.settings import SourceSettings
from veilscore.runtime.errors import ConfigError
from veilscore.runtime.settings import Settings, load

GOOD = """
[source]
csv = "loans.csv"
encoding = "gb18030"
[source.id]
column = "id"
type = "uscc"
[[source.feature]]
column = "log_capital"
kind = "numeric"
missing = ["", "-1"]
[source.label]
column = "y"
holdout_column = "test"
"""


class File(Settings):
    source: SourceSettings


def read(folder: Path, text: str) -> SourceSettings:
    path = folder / "node.toml"
    path.write_text(text)
    return load(path, File).source


def test_the_example_is_read(tmp_path: Path) -> None:
    source = read(tmp_path, GOOD)
    assert source.csv == tmp_path / "loans.csv"
    assert source.id.type is EntityKind.USCC
    assert source.id.max_rejected_share == 0.05
    assert source.feature[0].missing == ("", "-1")
    assert source.columns() == ["id", "log_capital", "y", "test"]


@pytest.mark.parametrize(
    ("old", "new", "complaint"),
    [
        ('csv = "loans.csv"\n', "", "`source` needs exactly one of `csv`"),
        ("[source]", '[source]\nparquet = "p"', "exactly one of `csv`, `parquet`"),
        ("[source]", '[source]\ntable = "t"', "needs `table` with `sql`"),
        ("[source]", '[source]\npassword_file = "p"', "`password_file` without"),
        ('csv = "loans.csv"', 'parquet = "p"', "has `encoding` without `csv`"),
        ('"gb18030"', '"latin-1"', "`source.encoding` should be 'utf-8' or 'gb18"),
        ('type = "uscc"', "", "`source.id` needs either `type` or `type_column`"),
        ('"uscc"', '"passport"', "`source.id.type` should be 'uscc', 'resident' or"),
        ("holdout_column", "holdout_colum", "did you mean `holdout_column`?"),
        ('"test"', '"test"\nholdout_share = 0.3', "both `holdout_column` and"),
        ('column = "y"', 'column = "log_capital"', "twice: log_capital"),
        ('"log_capital"', '""', "`source.feature#1.column` "),
        ('kind = "numeric"', "", "`source.feature#1.kind` is missing"),
    ],
)
def test_contradictions(tmp_path: Path, old: str, new: str, complaint: str) -> None:
    assert old in GOOD
    with pytest.raises(ConfigError) as caught:
        read(tmp_path, GOOD.replace(old, new, 1))
    assert complaint in caught.value.what
