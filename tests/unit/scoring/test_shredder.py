"""The file of keys: what is destroyed is in no byte of it, what is left still opens."""

import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from veilscore.keys.errors import FileError
from veilscore.keys.key_tree import LEAVES, ROOT, first_leaves, leaf
from veilscore.node.records.shredder import NO_TAG, Shredder

NOW = 1_790_000_000.0
FIRST_TAG, SECOND_TAG = b"a tag of sixteen", b"another sixteen "


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "shredder.db"


@pytest.fixture
def shredder(path: Path) -> Iterator[Shredder]:
    opened = Shredder(path, NOW)
    yield opened
    opened.close()


def written(path: Path) -> bytes:
    """Return every byte of the file and what SQLite keeps beside it."""
    return b"".join(each.read_bytes() for each in path.parent.glob(path.name + "*"))


def test_only_its_owner_can_read_it(shredder: Shredder, path: Path) -> None:
    shredder.note(shredder.take(NOW)[0], [FIRST_TAG])
    for each in path.parent.glob(path.name + "*"):
        assert stat.S_IMODE(each.stat().st_mode) == 0o600


def test_a_file_that_others_can_read_is_refused(shredder: Shredder, path: Path) -> None:
    shredder.close()
    path.chmod(0o640)
    with pytest.raises(FileError) as caught:
        Shredder(path, NOW)
    assert caught.value.place == str(path)


def test_no_tree_is_used_twice_whatever_was_left(
    shredder: Shredder, path: Path
) -> None:
    taken = [shredder.take(NOW) for _ in range(600)]  # more than are made at a time
    shredder.close()
    again = Shredder(path, NOW)
    taken += [again.take(NOW) for _ in range(10)]
    again.close()
    assert len({number for number, _ in taken}) == len({root for _, root in taken})
    assert len({root for _, root in taken}) == 610


def test_a_tree_is_on_disk_before_it_is_used(shredder: Shredder, path: Path) -> None:
    """Though taking it writes nothing: the file alone has it, without its journal."""
    number, root = shredder.take(NOW)
    copy = path.with_name("copy.db")
    copy.touch(0o600)
    copy.write_bytes(path.read_bytes())
    other = Shredder(copy, NOW)
    assert other.nodes(number) == {ROOT: root}
    other.close()


def test_a_destroyed_tree_is_in_no_byte_of_the_file(
    shredder: Shredder, path: Path
) -> None:
    (gone, lost), (stays, kept) = shredder.take(NOW), shredder.take(NOW)
    shredder.note(gone, [FIRST_TAG])
    shredder.note(stays, [SECOND_TAG])
    assert lost in written(path)
    assert FIRST_TAG in written(path)
    shredder.destroy([gone])
    assert lost not in written(path)
    assert FIRST_TAG not in written(path)
    assert shredder.nodes(gone) == {}
    assert shredder.find(FIRST_TAG) == []
    assert shredder.nodes(stays) == {ROOT: kept}
    assert shredder.find(SECOND_TAG) == [(stays, 0)]


def test_a_destroyed_leaf_is_gone_and_the_others_are_there(
    shredder: Shredder, path: Path
) -> None:
    number, root = shredder.take(NOW)
    shredder.note(number, [FIRST_TAG, SECOND_TAG, FIRST_TAG])
    shredder.destroy([], [(number, 2 + 1, 1)])
    assert root not in written(path)
    assert SECOND_TAG not in written(path)
    left = shredder.nodes(number)
    expected = first_leaves(root, 5)
    for index, key in enumerate(expected):
        assert leaf(left, index) == (None if index == 3 else key)
    assert LEAVES + 3 not in left
    assert shredder.find(FIRST_TAG) == [(number, 0), (number, 2)]
    # Then the next one: nodes that were split are in no byte either.
    shredder.destroy([], [(number, 2, 0)])
    assert not any(
        key in written(path)
        for node, key in left.items()
        if node not in shredder.nodes(number)
    )
    assert shredder.find(FIRST_TAG) == [(number, 2)]
    assert shredder.knows(number)


def test_a_tag_is_found_at_its_place_only(shredder: Shredder) -> None:
    number, _ = shredder.take(NOW)
    shredder.note(number, [b"0123456789abcdef", b"ghijklmnopqrstuv"])
    assert shredder.find(b"89abcdefghijklmn") == []  # across two tags
    assert shredder.find(NO_TAG) == []


def test_trees_that_nothing_uses_grow_old(shredder: Shredder, path: Path) -> None:
    used, _ = shredder.take(NOW)
    shredder.take(NOW)
    assert shredder.unused(NOW, {used}) == []
    shredder.close()
    later = Shredder(path, NOW + 100)
    old = later.unused(NOW + 50, {used})
    assert len(old) == 255
    assert used not in old
    later.close()
