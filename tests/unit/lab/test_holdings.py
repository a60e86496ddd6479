"""What the lab writes for a party is what that party's node loads."""

from pathlib import Path

import numpy as np
import pytest

from tests.unit.lab.small_lab import LAB, ROWS, Small
from veilscore.keys.entity_ids import normalise
from veilscore.lab.errors import LabError
from veilscore.lab.holdings import Holding, make_holdings
from veilscore.lab.lab_file import LabFile, read_lab
from veilscore.lab.plain import PlainTable, read_table
from veilscore.node.columns import Columns, NumericColumn
from veilscore.node.sources.loading import load_columns
from veilscore.node.sources.settings import SourceSettings
from veilscore.runtime.errors import ConfigError
from veilscore.runtime.settings import Settings, load


class File(Settings):
    source: SourceSettings


def as_a_node_loads(holding: Holding, folder: Path) -> Columns:
    moved = holding.moved(folder)
    assert not holding.path.exists()
    path = folder / "node.toml"
    path.write_text(moved.source)
    columns = load_columns(load(path, File).source, "party")
    moved.moved(holding.path.parent)
    return columns


def assert_same(table: PlainTable, columns: Columns) -> None:
    assert tuple(table.rows) == tuple(columns.ids)
    assert table.rejected == len(columns.rejected)
    for feature in columns.features:
        values = table.columns[feature.name]
        if isinstance(feature, NumericColumn):
            np.testing.assert_array_equal(values, feature.values)
        else:
            assert values == feature.texts()
    np.testing.assert_array_equal(table.labels, columns.labels)


@pytest.mark.parametrize("party", ["bank-a", "registry-b"])
def test_a_dealt_table(tmp_path: Path, small: Small, party: str) -> None:
    columns = as_a_node_loads(small.holdings[party], tmp_path)
    assert_same(small.tables[party], columns)
    assert len(columns) == ROWS
    names = [feature.name for feature in columns.features]
    if party == "bank-a":
        assert names == ["income", "debt"]
        np.testing.assert_array_equal(small.tables[party].judging, columns.holdout)
    else:
        assert names == ["age", "region"]
        assert not (columns.labels >= 0).any()


def test_holders_have_their_rows_in_different_orders(small: Small) -> None:
    ids = [list(table.rows) for table in small.tables.values()]
    assert ids[0] != ids[1]
    assert set(ids[0]) == set(ids[1])


def test_the_demo_economy_with_ids_typed_by_hand(tmp_path: Path) -> None:
    lab = read_lab("demo")
    assert lab.economy is not None
    economy = lab.economy.model_copy(update={"entities": 2_000})
    smaller = lab.model_copy(update={"economy": economy})
    tables: dict[str, PlainTable] = {}
    for party, holding in make_holdings(smaller, None, tmp_path):
        tables[party] = read_table(holding)
        folder = tmp_path / f"{party}-node"
        folder.mkdir()
        assert_same(tables[party], as_a_node_loads(holding, folder))
    assert tables["agriculture"].rejected
    assert not tables["bank"].rejected
    written = tables["agriculture"].written
    assert [normalise(kind, entity) for kind, entity in written] == list(
        tables["agriculture"].rows
    )


@pytest.mark.parametrize(
    ("before", "after", "what"),
    [
        ('scheme = "two"', 'scheme = "three"', "there is no scheme 'three'"),
        ('holder = "registry"', 'holder = "school"', "no party 'school'"),
        ('"loans.csv.gz"', '"none.csv.gz"', "cannot be read"),
        ('"vertical.json"', '"none.json"', "cannot be read"),
        ('"loans.csv.gz"', '"vertical.json"', "cannot be read"),
    ],
)
def test_data_that_are_not_as_the_lab_says(
    tmp_path: Path, small: Small, before: str, after: str, what: str
) -> None:
    path = tmp_path / "lab.toml"
    path.write_text(LAB.replace(before, after))
    with pytest.raises(LabError, match=what) as caught:
        list(make_holdings(load(path, LabFile), small.data, tmp_path))
    assert caught.value.remedy


@pytest.mark.parametrize("given", [None, Path("no-such-folder")])
def test_real_data_must_be_named(
    tmp_path: Path, small: Small, given: Path | None
) -> None:
    with pytest.raises(ConfigError, match="not part of the program") as caught:
        list(make_holdings(small.lab, given, tmp_path))
    assert "VEILSCORE_DATA" in caught.value.remedy
