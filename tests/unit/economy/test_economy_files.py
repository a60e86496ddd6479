"""What the lab writes, a node reads: ids, cells, missing codes and labels."""

from pathlib import Path

import numpy as np
import pytest

from veilscore.keys.entity_ids import EntityKind, normalise
from veilscore.keys.errors import EntityIdError
from veilscore.lab.economy import Economy
from veilscore.lab.economy_files import declaration, write_csv
from veilscore.lab.holders import HOLDERS
from veilscore.lab.identities import Identities, as_typed_by_hand
from veilscore.lab.population import (
    CHUNK,
    TYPES,
    Population,
    draw_population,
    draw_regions,
)
from veilscore.node.columns import CategoryColumn, Columns
from veilscore.node.sources.loading import load_columns
from veilscore.node.sources.settings import SourceSettings
from veilscore.runtime.settings import Settings, load

ENTITIES = 3_000


class File(Settings):
    source: SourceSettings


@pytest.fixture(scope="module")
def economy() -> Economy:
    return Economy(seed=5)


@pytest.fixture(scope="module")
def who() -> Population:
    return draw_population(5, 0, draw_regions(5))


def read(folder: Path, holder: str) -> Columns:
    path = folder / f"{holder}.toml"
    path.write_text(declaration(holder, holdout_share=0.3))
    return load_columns(load(path, File).source, holder)


@pytest.mark.parametrize("name", HOLDERS)
def test_a_node_reads_back_what_was_written(
    tmp_path: Path, economy: Economy, name: str
) -> None:
    path = write_csv(tmp_path, economy, name, ENTITIES)
    assert [each.name for each in tmp_path.iterdir()] == [path.name]
    table = economy.holder(name, ENTITIES)
    columns = read(tmp_path, name)
    ids, types = economy.ids(table.who)
    assert not columns.rejected
    assert tuple(columns.ids) == tuple(
        normalise(EntityKind(kind), entity)
        for entity, kind in zip(ids, types, strict=True)
    )
    for feature, column in zip(columns.features, HOLDERS[name].columns, strict=True):
        written = table.columns[column.name]
        if isinstance(feature, CategoryColumn):
            levels = [feature.levels[code] for code in map(int, feature.codes)]
            assert levels == [column.levels[int(value)] for value in written]
        else:
            np.testing.assert_array_equal(feature.values.astype(np.float32), written)
    if table.labels is not None:
        assert columns.labels.tolist() == table.labels.tolist()
        assert 0.25 < columns.holdout.mean() < 0.35


def test_the_same_file_twice(tmp_path: Path, economy: Economy) -> None:
    first = write_csv(tmp_path, economy, "bank", 500, typed_by_hand=True).read_bytes()
    again = write_csv(tmp_path, Economy(seed=5), "bank", 500, typed_by_hand=True)
    assert again.read_bytes() == first


def test_ids_typed_by_hand_are_read_but_for_the_typos(
    tmp_path: Path, economy: Economy
) -> None:
    write_csv(tmp_path, economy, "agriculture", ENTITIES, typed_by_hand=True)
    typed = read(tmp_path, "agriculture")
    write_csv(tmp_path, economy, "agriculture", ENTITIES)
    clean = read(tmp_path, "agriculture")
    assert 1 <= len(typed.rejected) <= 0.01 * ENTITIES
    assert all("check digit" in reject.reason for reject in typed.rejected)
    left_out = {reject.row - 1 for reject in typed.rejected}
    assert tuple(typed.ids) == tuple(
        entity for row, entity in enumerate(clean.ids) if row not in left_out
    )


def test_ids_are_well_formed_and_never_repeat(who: Population) -> None:
    identities = Identities(seed=5)
    ids, types = identities.of(who)
    after = who.at(np.arange(2_000))
    after.serials[:] += 31 * CHUNK  # the last of 4.2 million
    later, _ = identities.of(after)
    assert len(set(ids + later)) == CHUNK + 2_000
    for at in range(0, CHUNK, 64):
        normalise(EntityKind(types[at]), ids[at])
        division = ids[at][:6] if types[at] == "resident" else ids[at][2:8]
        assert division == f"5099{who.regions[at] + 1:02d}"
        assert (types[at] == "resident") == (TYPES[who.kinds[at]] == "farm_household")


def test_an_economy_larger_than_its_ids_is_refused(who: Population) -> None:
    beyond = who.at(np.flatnonzero(who.kinds == 0)[:1])
    beyond.serials[0] = 21_915_000  # days of birth times sequence numbers
    with pytest.raises(OverflowError):
        Identities(seed=5).of(beyond)


def test_handwriting_varies_and_a_typo_never_passes(who: Population) -> None:
    ids, types = Identities(seed=5).of(who.at(np.arange(20_000)))
    typed = as_typed_by_hand(ids, np.random.default_rng(0))
    wrong = 0
    for entity, kind, written in zip(ids, types, typed, strict=True):
        try:
            known = normalise(EntityKind(kind), written)
        except EntityIdError:
            wrong += 1
        else:
            assert known == normalise(EntityKind(kind), entity)
    assert wrong / 20_000 == pytest.approx(0.003, abs=0.0015)
    assert any(" " in written for written in typed)
    assert any("-" in written for written in typed)
    assert any(written != written.upper() for written in typed)
    assert any(not written.isascii() for written in typed)
