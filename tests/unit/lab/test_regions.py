"""Parties that have the same columns, each about the entities of its own region."""

from pathlib import Path

import numpy as np
import pytest

from tests.unit.lab.small_regions import BEGUN, COLUMNS, LAB, REGIONS, Regions
from tests.unit.lab.test_holdings import as_a_node_loads, assert_same
from tests.unit.lab.test_lab_files import registry_of
from veilscore.coordinator.contract import read_contract
from veilscore.keys.entity_ids import EntityKind
from veilscore.lab.errors import LabError
from veilscore.lab.holdings import Holding, make_holdings
from veilscore.lab.lab_file import LabFile, read_lab
from veilscore.lab.plain import PlainTable, read_table
from veilscore.lab.training import contract, joint_contract
from veilscore.runtime.settings import load

RUN = "5b" * 16
OF = {"bank-e": "east", "bank-n": "north", "bank-w": "west"}


@pytest.mark.parametrize("party", OF)
def test_a_node_has_all_columns_of_its_region(
    tmp_path: Path, regions: Regions, party: str
) -> None:
    table = regions.tables[party]
    columns = as_a_node_loads(regions.holdings[party], tmp_path)
    assert_same(table, columns)
    assert [feature.name for feature in columns.features] == COLUMNS
    assert (columns.labels >= 0).all()
    np.testing.assert_array_equal(table.judging, columns.holdout)
    if party != "bank-w":
        assert len(columns) == REGIONS[OF[party]]


def test_a_region_that_has_begun_keeps_the_rows_that_judge(regions: Regions) -> None:
    west = regions.tables["bank-w"]
    assert (~west.judging).sum() == BEGUN
    assert 0.3 * REGIONS["west"] < west.judging.sum() < 0.4 * REGIONS["west"]


def test_nobody_has_a_row_of_another_region(regions: Regions) -> None:
    ids = [set(table.rows) for table in regions.tables.values()]
    assert len(set[str]().union(*ids)) == sum(map(len, ids))


def test_the_seed_draws_the_rows(tmp_path: Path, regions: Regions) -> None:
    def begun(seed: int) -> set[str]:
        folder = tmp_path / str(seed)
        folder.mkdir(exist_ok=True)
        assert regions.lab.data is not None
        data = regions.lab.data.model_copy(update={"seed": seed})
        lab = regions.lab.model_copy(update={"data": data})
        table = read_table(dict(make_holdings(lab, regions.data, folder))["bank-w"])
        return {entity for entity, at in table.rows.items() if not table.judging[at]}

    assert begun(0) == begun(0)
    assert len(begun(1)) == BEGUN
    assert begun(0) != begun(1)


@pytest.mark.parametrize(
    ("before", "after", "what"),
    [
        ("{ west = ", "{ coast = ", "there is no region 'coast'"),
        ('holder = "north"', 'holder = "coast"', "there is no region 'coast'"),
        ('"regions.csv.gz"', '"none.csv.gz"', "cannot be read"),
    ],
)
def test_regions_that_are_not_as_the_lab_says(
    tmp_path: Path, regions: Regions, before: str, after: str, what: str
) -> None:
    path = tmp_path / "lab.toml"
    path.write_text(LAB.replace(before, after))
    with pytest.raises(LabError, match=what) as caught:
        list(make_holdings(load(path, LabFile), regions.data, tmp_path))
    assert caught.value.remedy


def test_members_and_columns_are_filled_in(regions: Regions) -> None:
    joint, private = regions.lab.run
    text = joint_contract(regions.lab, joint, regions.holdings)
    asked = read_contract(text.encode(), registry_of(regions.lab), RUN)
    assert [entry.party for entry in asked.roster] == [*OF]
    assert not asked.label_holder
    assert asked.min_count == 4
    assert (asked.horizontal.rounds, asked.horizontal.own) == (25, "nothing")
    columns = [
        (each.name, each.text, [*each.levels]) for each in asked.horizontal.columns
    ]
    assert columns == [("income", False, []), ("debt", False, []), ("trade", True, [])]

    text = joint_contract(regions.lab, private, regions.holdings)
    asked = read_contract(text.encode(), registry_of(regions.lab), RUN)
    assert asked.horizontal.HasField("privacy")
    *_, trade = asked.horizontal.columns
    assert [*trade.levels] == ["farming", "retail", "transport"]


def test_a_contract_of_ones_own_columns_stays(regions: Regions) -> None:
    joint, _ = regions.lab.run
    only = {"max_rows": 900, "horizontal": {"columns": {"debt": "numeric"}}}
    run = joint.model_copy(update={"contract": only})
    text = joint_contract(regions.lab, run, regions.holdings)
    asked = read_contract(text.encode(), registry_of(regions.lab), RUN)
    assert [each.name for each in asked.horizontal.columns] == ["debt"]


@pytest.fixture(scope="module")
def economy(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Holding]:
    """Return what the parties of the lab with two regions and a county hold."""
    folder = tmp_path_factory.mktemp("two-regions")
    return dict(make_holdings(read_lab("two_regions"), None, folder))


def test_regions_of_the_economy(tmp_path: Path, economy: dict[str, Holding]) -> None:
    lab = read_lab("two_regions")
    assert lab.economy is not None
    tables: dict[str, PlainTable] = {}
    for party in lab.party:
        holding = economy[party.name]
        table = tables[party.name] = read_table(holding)
        folder = tmp_path / party.name
        folder.mkdir()
        columns = as_a_node_loads(holding, folder)
        assert_same(table, columns)
        if holding.label:
            np.testing.assert_array_equal(table.judging, columns.holdout)
        assert party.region is not None
        own = {f"{place:02d}" for place in lab.economy.regions[party.region]}
        places = {
            entity[4:6] if kind == EntityKind.RESIDENT else entity[6:8]
            for kind, entity in table.written
        }
        assert places <= own
    known = {
        region: set[str]().union(
            *(tables[p.name].rows for p in lab.party if p.region == region)
        )
        for region in lab.economy.regions
    }
    assert sum(map(len, known.values())) == len(set[str]().union(*known.values()))
    county = tables["county-bank"]
    assert 50 <= ((county.labels >= 0) & ~county.judging).sum() < 200
    shared = tables["north-bank"].rows.keys() & tables["north-agriculture"].rows.keys()
    assert len(shared) > 500


def test_both_kinds_of_run_name_their_parties(economy: dict[str, Holding]) -> None:
    lab = read_lab("two_regions")
    runs = {run.name: run for run in lab.run}
    text = contract(lab, runs["south"], "south-bank")
    asked = read_contract(text.encode(), registry_of(lab), RUN)
    assert asked.label_holder == "south-bank"
    assert [entry.party for entry in asked.roster] == [
        *("south-agriculture", "south-bank", "south-regulator")
    ]
    text = joint_contract(lab, runs["banks"], economy)
    asked = read_contract(text.encode(), registry_of(lab), RUN)
    assert [entry.party for entry in asked.roster] == [
        *("county-bank", "north-bank", "south-bank")
    ]
    assert len(asked.horizontal.columns) == len(economy["north-bank"].features)
    tables = [read_table(economy[entry.party]) for entry in asked.roster]
    most = max(int(((each.labels >= 0) & ~each.judging).sum()) for each in tables)
    assert most <= asked.max_rows < 2 * most
