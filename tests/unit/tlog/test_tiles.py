"""Paths and contents of tiles against the C2SP tlog-tiles specification."""

import contextlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.vectors.tlog import make_tree
from veilscore.keys.errors import ProofError
from veilscore.keys.tlog.tiles import (
    MAX_LEAF,
    WIDTH,
    Tile,
    TileEdge,
    bundles_of,
    decode_bundle,
    encode_bundle,
    tile_reader,
    tiles_of,
)
from veilscore.keys.tlog.tree import Edge, leaf_hash, root_of


@pytest.mark.parametrize(
    ("tile", "path"),
    [
        (Tile(0, 0), "tile/0/000"),
        (Tile(0, 1234067), "tile/0/x001/x234/067"),  # the specification's example
        (Tile(1, 1000, 17), "tile/1/x001/000.p/17"),
        (Tile(None, 273, 112), "tile/entries/273.p/112"),
        (Tile(None, 999_999), "tile/entries/x999/999"),
    ],
)
def test_a_tile_has_the_path_of_the_specification(tile: Tile, path: str) -> None:
    assert tile.path == path
    assert Tile.parse(path) == tile


@given(
    st.sampled_from([None, 0, 3, 7]), st.integers(0, 10**15 - 1), st.integers(1, WIDTH)
)
def test_paths_are_read_as_they_are_written(
    level: int | None, number: int, width: int
) -> None:
    tile = Tile(level, number, width)
    assert Tile.parse(tile.path) == tile


@pytest.mark.parametrize(
    "path",
    [
        "",
        "checkpoint",
        "tile/0/00",
        "tile/00/000",
        "tile/8/000",
        "tile/0/x000/001",
        "tile/0/001/000",
        "tile/0/000.p/0",
        "tile/0/000.p/01",
        "tile/0/000.p/256",
        "tile/0/000.p/999",
        "tile/0/000/",
        "/tile/0/000",
        "tile/0/../000",
        "tile/0/\u0660\u0660\u0660",
        "tile/0/000\n",
        "tile/0/" + "x001/" * 5 + "001",
    ],
)
def test_other_spellings_of_a_path_are_refused(path: str) -> None:
    with pytest.raises(ProofError):
        Tile.parse(path)


@given(st.text())
def test_any_text_is_a_path_or_refused(path: str) -> None:
    with contextlib.suppress(ProofError):
        assert Tile.parse(path).path == path


def test_a_tree_of_70000_has_the_tiles_of_the_specification() -> None:
    tiles = list(tiles_of(70_000))
    level_0 = [tile for tile in tiles if tile.level == 0]
    assert len(level_0) == 274
    assert level_0[-1] == Tile(0, 273, 112)
    assert [tile for tile in tiles if tile.level == 1] == [Tile(1, 0), Tile(1, 1, 17)]
    assert [tile for tile in tiles if tile.level == 2] == [Tile(2, 0, 1)]
    assert len(tiles) == 274 + 2 + 1


def test_a_tree_of_256_has_a_full_tile_and_one_hash_above_it() -> None:
    assert list(tiles_of(256)) == [Tile(0, 0), Tile(1, 0, 1)]
    assert list(bundles_of(256)) == [Tile(None, 0)]
    assert list(tiles_of(0)) == []


@given(st.lists(st.binary(max_size=300), max_size=20))
def test_bundles_are_read_as_they_are_written(leaves: list[bytes]) -> None:
    assert decode_bundle(encode_bundle(leaves), len(leaves)) == leaves


def test_a_bundle_holds_the_largest_leaf() -> None:
    leaf = bytes(MAX_LEAF)
    assert decode_bundle(encode_bundle([leaf]), 1) == [leaf]


@pytest.mark.parametrize("data", [b"\0", b"\0\2a", b"\0\1ab", b"", b"\0\0\0\0"])
def test_a_bundle_of_other_length_is_refused(data: bytes) -> None:
    with pytest.raises(ProofError, match="entry bundle"):
        decode_bundle(data, 1)


@given(st.binary(max_size=60), st.integers(0, 10))
def test_any_bytes_are_a_bundle_or_refused(data: bytes, count: int) -> None:
    with contextlib.suppress(ProofError):
        assert encode_bundle(decode_bundle(data, count)) == data


HASHES = [leaf_hash(str(at).encode()) for at in range(70_000)]


def stored(size: int, *batches: int) -> dict[tuple[int, int], bytes]:
    """Return the tiles of a tree that was appended to in batches."""
    tiles: dict[tuple[int, int], bytes] = {}
    edge = TileEdge()
    for batch in (*batches, size):
        end = min(edge.size + batch, size)
        edge, changed = edge.extend(HASHES[edge.size : end])
        tiles |= changed
    assert edge == TileEdge.load(size, lambda level, number: tiles[level, number])
    return tiles


@settings(max_examples=25)
@given(st.integers(0, 1300), st.lists(st.integers(0, 600), max_size=5))
def test_tiles_do_not_depend_on_how_leaves_were_batched(
    size: int, batches: list[int]
) -> None:
    tiles = stored(size, *batches)
    assert tiles == stored(size)
    named = {(tile.level, tile.number): tile.width * 32 for tile in tiles_of(size)}
    assert {where: len(data) for where, data in tiles.items()} == named


def test_every_hash_of_a_large_tree_is_read_from_its_tiles() -> None:
    size = 70_000
    tiles = stored(size)
    read = tile_reader(lambda level, number: tiles[level, number])
    for level, index in [(0, 69_999), (3, 8_749), (8, 272), (9, 0), (15, 1), (16, 0)]:
        start = index << level
        assert read(level, index) == root_of(HASHES[start : start + (1 << level)])
    assert Edge.load(size, read) == Edge().extend(HASHES)
    assert tiles[2, 0] == root_of(HASHES[: 1 << 16])


def test_a_tile_of_level_1_holds_roots_of_256_leaves() -> None:
    leaves = [str(at).encode() for at in range(512)]
    assert stored(512)[1, 0] == make_tree.mth(leaves[:256]) + make_tree.mth(
        leaves[256:]
    )
